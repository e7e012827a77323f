import { z } from 'zod';
import { BatchLayerError } from '../../errors.ts';
import { formatSession } from '../../session.ts';
import { collectSession, type FetchedSession } from '../ohlcv/session-bars.ts';
import { parseAnswer } from './answer.ts';
import { type ApiRow, toSourceRow } from './api-row.ts';
import type { ApiCall, MarketApi } from './market-api.ts';

export interface GroupedOptions extends ApiCall {
  /** Symbols that are skipped. */
  readonly exclude?: readonly string[] | undefined;
  /** The session is long over: an answer without bars, again and again, means that there are none. */
  readonly mayBeEmpty?: boolean | undefined;
}

// Rows are looked at one by one, by hand: there are 12,000.
const GROUPED = z.object({
  adjusted: z.boolean().optional(),
  resultsCount: z.number().optional(),
  results: z.array(z.unknown()).nullish(),
});

/**
 * All bars of one session in one call: raw prices, without over-the-counter markets.
 *
 * An answer without bars, or with fewer than it counts, is asked for again: under load the API has answered so on real
 * sessions.
 *
 * @throws BatchLayerError `Unavailable` where there are no bars (yet), `NotEntitled` where the plan does not reach back so far
 */
export async function fetchGroupedBars(
  api: MarketApi,
  session: number,
  { exclude, mayBeEmpty = false, signal }: GroupedOptions = {},
): Promise<FetchedSession> {
  const path = `/v2/aggs/grouped/locale/us/market/stocks/${formatSession(session)}`;
  let empty: BatchLayerError | undefined;
  const read = (answer: unknown): FetchedSession => {
    const { adjusted, resultsCount, results } = parseAnswer(GROUPED, answer, path);
    if (adjusted === true) throw new BatchLayerError('BadInput', `${path}: has adjusted prices: bronze holds raw ones`);
    const rows = results ?? [];
    if (rows.length === 0) {
      empty = new BatchLayerError('Unavailable', `${path}: has no bars of a trading day: try again later`);
      throw empty;
    }
    if (resultsCount !== undefined && resultsCount !== rows.length) {
      throw new BatchLayerError('Unavailable', `${path}: has ${rows.length} bars of ${resultsCount}: try again later`);
    }
    const collector = collectSession(session, exclude);
    for (const row of rows as ApiRow[]) {
      if (row?.otc === true) collector.skip();
      else collector.add(toSourceRow(row, row?.T));
    }
    return collector.finish();
  };
  try {
    return await api.get(path, { adjusted: false, include_otc: false }, read, { signal });
  } catch (error) {
    // Only where the last answer said so: one before a failure is none.
    if (mayBeEmpty && empty !== undefined && error === empty) return collectSession(session).finish();
    throw error;
  }
}
