import { hasCode } from '../../errors.ts';
import { mapAll } from '../../lake/map-all.ts';
import { type FailedSymbol, failedSymbol, type OnProgress } from '../../progress.ts';
import type { MarketApi } from '../api/market-api.ts';
import { fetchTickerDetails, type TickerDetails } from '../api/ticker-details.ts';
import type { FoundDetails, PlannedDetails } from './plan-details.ts';

export interface FetchedDetails {
  readonly found: FoundDetails;
  readonly failed: readonly FailedSymbol[];
  readonly warnings: readonly string[];
}

const CONCURRENT_CALLS = 8;

/**
 * Asks for the details of many tickers, each in one call. One that fails does not stop the others; a plan that does not
 * include details stops all that were not begun.
 *
 * @throws BatchLayerError `BadInput`, for so would all others be answered
 */
export async function fetchDetails(
  api: MarketApi,
  planned: readonly PlannedDetails[],
  {
    onProgress,
    signal,
  }: { readonly onProgress?: OnProgress | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<FetchedDetails> {
  const found = new Map<string, TickerDetails | undefined>();
  const failed: FailedSymbol[] = [];
  let refusal: string | undefined;
  let done = 0;
  const fetchOne = async ({ symbol, session }: PlannedDetails): Promise<void> => {
    if (refusal !== undefined) return;
    try {
      found.set(symbol, await fetchTickerDetails(api, symbol, { session, signal }));
    } catch (error) {
      signal?.throwIfAborted();
      if (hasCode(error, 'BadInput')) throw error;
      if (hasCode(error, 'NotEntitled')) refusal ??= error.message;
      else failed.push(failedSymbol(symbol, error));
    }
    onProgress?.({ step: 'details', done: ++done, total: planned.length });
  };
  await mapAll(planned, fetchOne, { concurrency: CONCURRENT_CALLS, signal });
  return { found, failed, warnings: refusal === undefined ? [] : [`no more details were asked for: ${refusal}`] };
}
