import { z } from 'zod';
import type { Bars } from '../../bars.ts';
import { BatchLayerError } from '../../errors.ts';
import { formatSession } from '../../session.ts';
import { createRowStore } from '../ohlcv/row-store.ts';
import { createSessionOf } from '../ohlcv/session-bars.ts';
import { type CheckedRow, conflicting, findFault, type QuarantinedRow, type RowFinding } from '../ohlcv/source-row.ts';
import { parseAnswer } from './answer.ts';
import { type ApiRow, toSourceRow } from './api-row.ts';
import type { ApiCall, MarketApi } from './market-api.ts';

/** What the API has of one symbol in a range of sessions. */
export interface FetchedHistory {
  readonly symbol: string;
  /** In ascending order of session, each once. */
  readonly bars: Bars;
  /** Rows that came. */
  readonly rows: number;
  /** The same row again. */
  readonly skipped: number;
  readonly quarantined: readonly QuarantinedRow[];
}

const MAX_ROWS = 50_000;
const OTHER_DAY: RowFinding = { fault: 'wrong_day', message: 'its time is of no session that was asked for' };
const RANGE = z.object({
  adjusted: z.boolean().optional(),
  results: z.array(z.unknown()).nullish(),
  resultsCount: z.number().optional(),
  next_url: z.string().nullish(),
});

/**
 * The bars of one symbol from one session to another, both included: raw prices.
 *
 * Where the answer says that there is more, the next call begins after its last row: the cursor of this endpoint does not
 * say where it stands, so following it alone would begin anew.
 *
 * @throws BatchLayerError `Unavailable`, `NotEntitled`
 */
export async function fetchTickerBars(
  api: MarketApi,
  symbol: string,
  { from, to, isSession, signal }: ApiCall & Omit<SymbolRange, 'symbol'>,
): Promise<FetchedHistory> {
  const rows: ApiRow[] = [];
  for (let next: number | undefined = from; next !== undefined && next <= to; ) {
    const start: number = next;
    const path = `/v2/aggs/ticker/${encodeURIComponent(symbol)}/range/1/day/${formatSession(start)}/${formatSession(to)}`;
    const query = { adjusted: false, sort: 'asc', limit: MAX_ROWS };
    const page = await api.get(path, query, (answer) => readPage(answer, path), { signal });
    rows.push(...page.rows);
    next = page.hasMore ? sessionAfter(page.rows, start, path) : undefined;
  }
  return collectHistory(rows, { symbol, from, to, isSession });
}

function readPage(answer: unknown, path: string): { readonly rows: readonly ApiRow[]; readonly hasMore: boolean } {
  const { adjusted, resultsCount, results, next_url } = parseAnswer(RANGE, answer, path);
  if (adjusted === true) throw new BatchLayerError('BadInput', `${path}: has adjusted prices: bronze holds raw ones`);
  if (results === null) throw new BatchLayerError('Unavailable', `${path}: has no results: try again later`);
  const rows = (results ?? []) as ApiRow[];
  if (resultsCount !== undefined && resultsCount !== rows.length) {
    throw new BatchLayerError('Unavailable', `${path}: has ${rows.length} bars of ${resultsCount}: try again later`);
  }
  return { rows, hasMore: Boolean(next_url) };
}

function sessionAfter(rows: readonly ApiRow[], start: number, path: string): number {
  const session = createSessionOf()(rows.at(-1)?.t);
  if (session >= start) return session + 1;
  throw new BatchLayerError('Unavailable', `${path}: says that there is more, but not after what: try again later`);
}

interface SymbolRange {
  readonly symbol: string;
  readonly from: number;
  readonly to: number;
  /** Whether there is trading on a day. */
  readonly isSession: (day: number) => boolean;
}

function collectHistory(rows: readonly ApiRow[], { symbol, from, to, isSession }: SymbolRange): FetchedHistory {
  const sessionOf = createSessionOf();
  const store = createRowStore();
  const quarantined: QuarantinedRow[] = [];
  for (const apiRow of rows) {
    const row = toSourceRow(apiRow, symbol);
    const session = sessionOf(row.time);
    const isInRange = from <= session && session <= to;
    const finding = findFault(row) ?? (isInRange && isSession(session) ? undefined : OTHER_DAY);
    if (finding) quarantined.push({ date: formatSession(isInRange ? session : to), ...finding, row });
    else store.add(session, row as CheckedRow);
  }
  const { bars, duplicates, conflicting: different } = store.finish();
  for (const { session, row } of different) quarantined.push({ date: formatSession(session), ...conflicting, row });
  return { symbol, bars, rows: rows.length, skipped: duplicates, quarantined };
}
