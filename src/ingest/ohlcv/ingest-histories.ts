import type { Bars } from '../../bars.ts';
import type { Calendar } from '../../calendar.ts';
import { BatchLayerError, hasCode } from '../../errors.ts';
import { mapAll } from '../../lake/map-all.ts';
import type { ObjectStore } from '../../lake/store.ts';
import { listSymbol } from '../../lake/symbol-files.ts';
import type { Watermark } from '../../lake/watermarks.ts';
import { failedSymbol } from '../../progress.ts';
import { formatSession } from '../../session.ts';
import { compareSymbols } from '../../symbol.ts';
import type { MarketApi } from '../api/market-api.ts';
import { fetchTickerBars } from '../api/ticker-bars.ts';
import { openBulkImport } from '../bulk-import.ts';
import { type BarCounts, type FetchCall, writeToSink } from './fetch-call.ts';
import { createTruncationFinder, type KnownFrom, type SymbolRange } from './find-truncation.ts';
import { missingRow } from './missing-bars.ts';
import { putQuarantine } from './quarantine.ts';
import { knownSessions } from './session-window.ts';
import { missesBar, type QuarantinedRow } from './source-row.ts';

export interface IngestHistoriesOptions extends FetchCall {
  /** Whether somebody asks for just these: what of them cannot be had is told, and asked for again. */
  readonly isChosen: boolean;
  /** The last session that is no longer corrected: later ones are asked for again. */
  readonly settledThrough: number;
}

export interface HistoriesResult extends BarCounts {
  /** Symbols that have no bars in their range; they are not asked for again. */
  readonly withoutBars: readonly string[];
}

/** Symbols whose watermarks are written at once: as many are asked for again after a crash. */
const BATCH_SYMBOLS = 200;
const CONCURRENT_SYMBOLS = 8;
/** The exchange was never closed for longer. */
const MAX_CLOSED_DAYS = 10;

/**
 * Brings ranges of single symbols into their `data.parquet`, a call each. What is known of them by then is in the watermarks,
 * also that there are no bars.
 */
export async function ingestHistories(
  store: ObjectStore,
  api: MarketApi,
  ranges: readonly SymbolRange[],
  {
    calendar,
    watermarks,
    missing,
    isChosen,
    settledThrough,
    sink,
    databaseFailures,
    now,
    onProgress,
    signal,
  }: IngestHistoriesOptions,
): Promise<HistoriesResult> {
  const counts = { fetched: 0, stored: 0, unchanged: 0, skipped: 0, quarantined: 0 };
  const [quarantine, withoutBars]: [string[], string[]] = [[], []];
  const bulk = openBulkImport(store, { now, signal });
  const findTruncation = createTruncationFinder(api, calendar, { signal });
  let marks: Watermark[] = [];
  let done = 0;

  const ingestOne = async (range: SymbolRange): Promise<void> => {
    const { symbol, from, to } = range;
    const { isSession } = calendar;
    const { bars, rows, skipped, quarantined } = await fetchTickerBars(api, symbol, { from, to, isSession, signal });
    counts.fetched += rows;
    counts.skipped += skipped;
    counts.quarantined += quarantined.length;
    const key = await putQuarantine(store, `symbol=${symbol}`, { source: 'range', rows: quarantined, signal });
    if (key) quarantine.push(key);
    if (bars.session.length > 0) {
      const outcome = await bulk.add(await listSymbol(store, symbol, { signal }), bars);
      counts[outcome === 'unchanged' ? 'unchanged' : 'stored'] += bars.session.length;
      const symbols = Array<string>(bars.session.length).fill(symbol);
      await writeToSink({ sink, databaseFailures, signal }, symbol, { symbols, bars });
    }
    const isComplete = tellMissing(bars, quarantined);
    const { known, isTruncated } = isChosen
      ? await findKnown(range, bars.session[0])
      : { known: from, isTruncated: false };
    if (isTruncated) missing.add(truncated(range, known));
    else if (bars.session.length === 0) withoutBars.push(symbol);
    const checkedFrom = known === from ? dayAfterSession(calendar, from) : known;
    const checkedThrough = Math.min(to, settledThrough);
    const isChecked = checkedFrom <= checkedThrough && (isComplete || !isChosen);
    marks.push({
      symbol,
      lastSession: bars.session.at(-1) ?? -1,
      checkedFrom: isChecked ? checkedFrom : -1,
      checkedThrough: isChecked ? checkedThrough : -1,
    });
  };

  // Rows that were put aside, of sessions that no other row has the bar of.
  const tellMissing = ({ session }: Bars, quarantined: readonly QuarantinedRow[]): boolean => {
    const absent = new Map(quarantined.filter(missesBar).map((row) => [row.date, row]));
    for (const day of session) absent.delete(formatSession(day));
    for (const row of absent.values()) missing.add(missingRow(row));
    return absent.size === 0;
  };

  // The bars are in bronze by now, whatever becomes of this.
  const findKnown = async (range: SymbolRange, first: number | undefined): Promise<KnownFrom> => {
    try {
      return await findTruncation(range, first);
    } catch (error) {
      signal?.throwIfAborted();
      if (!hasCode(error, 'Unavailable', 'NotEntitled', 'NotFound')) throw error;
      return { known: first ?? range.to + 1, isTruncated: true };
    }
  };

  const ingestOrReport = async (range: SymbolRange): Promise<void> => {
    try {
      await ingestOne(range);
    } catch (error) {
      signal?.throwIfAborted();
      if (hasCode(error, 'BadInput')) throw error;
      missing.add({ date: null, ...failedSymbol(range.symbol, error) });
    }
    onProgress?.({ step: 'fetch', done: ++done, total: ranges.length });
  };

  for (let from = 0; from < ranges.length; from += BATCH_SYMBOLS) {
    const batch = ranges.slice(from, from + BATCH_SYMBOLS);
    await mapAll(batch, ingestOrReport, { concurrency: CONCURRENT_SYMBOLS, signal });
    await bulk.finish();
    await watermarks.advance(marks, { signal });
    marks = [];
  }
  return { ...counts, quarantine: quarantine.sort(), withoutBars: withoutBars.sort(compareSymbols) };
}

/** The first of the days without a session before `from`: with that, ranges of sessions meet. */
function dayAfterSession(calendar: Calendar, from: number): number {
  return (knownSessions(calendar, from - MAX_CLOSED_DAYS, from - 1).at(-1) ?? from - 1) + 1;
}

/**
 * What of a range is still to be asked for: the sessions after those that are known. Pure.
 *
 * @param window all sessions of the range, ascending
 */
export function planRange(
  symbol: string,
  window: readonly number[],
  mark: Watermark | undefined,
  { force }: { readonly force: boolean },
): SymbolRange | undefined {
  const [first, last] = [window[0], window.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  const isKnown = !force && mark !== undefined && mark.checkedFrom !== -1 && mark.checkedFrom <= first;
  const from = isKnown ? window.find((session) => session > mark.checkedThrough) : first;
  return from === undefined ? undefined : { symbol, from, to: last };
}

function truncated({ symbol, from, to }: SymbolRange, known: number) {
  const error = new BatchLayerError(
    'NotEntitled',
    `${symbol}: no bars from ${formatSession(from)} to ${formatSession(Math.min(known - 1, to))}: the plan's history may begin later; ask for less, or change the plan`,
  );
  return { date: null, ...failedSymbol(symbol, error) };
}
