import type { Calendar } from '../calendar.ts';
import { BatchLayerError, hasCode } from '../errors.ts';
import { mapAll } from '../lake/map-all.ts';
import type { ObjectStore } from '../lake/store.ts';
import type { Watermark } from '../lake/watermarks.ts';
import { failedSymbol } from '../progress.ts';
import { formatSession } from '../session.ts';
import type { MarketApi } from './api/market-api.ts';
import { fetchTickerBars } from './api/ticker-bars.ts';
import { fetchTickerDetails } from './api/ticker-details.ts';
import { openBulkImport } from './bulk-import.ts';
import { type BarCounts, type DatabaseFailure, type FetchCall, writeToSink } from './fetch-call.ts';
import { openListing } from './land-sessions.ts';
import { missingRow } from './missing-bars.ts';
import { putQuarantine } from './quarantine.ts';
import { knownSessions } from './session-window.ts';
import { missesBar } from './source-row.ts';

/** Sessions of one symbol to ask for. */
export interface SymbolRange {
  readonly symbol: string;
  readonly from: number;
  readonly to: number;
}

export interface IngestHistoriesOptions extends FetchCall {
  /** Whether an answer that begins later than asked for is looked into, and told. */
  readonly findTruncated: boolean;
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
/** A symbol may begin to trade so many sessions after its listing. */
const LISTING_SESSIONS = 5;

/**
 * Brings ranges of single symbols into their `data.parquet`, a call each. What is known of them by then is in the watermarks,
 * also that there are no bars.
 */
export async function ingestHistories(
  store: ObjectStore,
  api: MarketApi,
  ranges: readonly SymbolRange[],
  { calendar, watermarks, missing, findTruncated, sink, now, onProgress, signal }: IngestHistoriesOptions,
): Promise<HistoriesResult> {
  const counts = { fetched: 0, stored: 0, unchanged: 0, skipped: 0, quarantined: 0 };
  const [quarantine, withoutBars]: [string[], string[]] = [[], []];
  const databaseFailures: DatabaseFailure[] = [];
  const bulk = openBulkImport(store, { now, signal });
  const filesOf = await openListing(store, ranges.length, { signal });
  let marks: Watermark[] = [];
  let done = 0;

  const ingestOne = async (range: SymbolRange): Promise<void> => {
    const { symbol, from, to } = range;
    const { isSession } = calendar;
    const { bars, rows, skipped, quarantined } = await fetchTickerBars(api, symbol, { from, to, isSession, signal });
    const key = await putQuarantine(store, `symbol=${symbol}`, { source: 'range', rows: quarantined, signal });
    if (key) quarantine.push(key);
    const [first = -1, last = -1] = [bars.session[0], bars.session.at(-1)];
    const unknownUntil = findTruncated ? await findTruncation(api, calendar, range, first, signal) : undefined;
    if (unknownUntil !== undefined) missing.add(truncated(range, unknownUntil));
    if (bars.session.length > 0) {
      const outcome = await bulk.add(await filesOf(symbol), bars);
      counts[outcome === 'unchanged' ? 'unchanged' : 'stored'] += bars.session.length;
      const symbols = Array<string>(bars.session.length).fill(symbol);
      const failure = await writeToSink({ sink, signal }, symbol, { symbols, bars });
      if (failure) databaseFailures.push(failure);
    } else if (unknownUntil === undefined) withoutBars.push(symbol);
    counts.fetched += rows;
    counts.skipped += skipped;
    counts.quarantined += quarantined.length;
    const dates = new Set(Array.from(bars.session, formatSession));
    const absent = new Map(quarantined.filter(missesBar).map((row) => [row.date, row]));
    for (const date of dates) absent.delete(date);
    for (const row of absent.values()) missing.add(missingRow(row));
    const checkedFrom = unknownUntil ?? dayAfterSession(calendar, from);
    const isChecked = checkedFrom <= to && absent.size === 0;
    marks.push({
      symbol,
      lastSession: last,
      checkedFrom: isChecked ? checkedFrom : -1,
      checkedThrough: isChecked ? to : -1,
    });
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
  return { ...counts, quarantine, withoutBars, databaseFailures };
}

/** The first of the days without a session before `from`: with that, ranges of sessions meet. */
function dayAfterSession(calendar: Calendar, from: number): number {
  return (knownSessions(calendar, from - MAX_CLOSED_DAYS, from - 1).at(-1) ?? from - 1) + 1;
}

/**
 * What of a range is still to be asked for: sessions after those that are known, and the last ones, which may be corrected.
 * Pure.
 *
 * @param window all sessions of the range, ascending
 */
export function planRange(
  symbol: string,
  window: readonly number[],
  mark: Watermark | undefined,
  { correctable, force }: { readonly correctable: ReadonlySet<number>; readonly force: boolean },
): SymbolRange | undefined {
  const [first, last] = [window[0], window.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  const isKnown = !force && mark !== undefined && mark.checkedFrom !== -1 && mark.checkedFrom <= first;
  const from = isKnown ? window.find((session) => session > mark.checkedThrough || correctable.has(session)) : first;
  return from === undefined ? undefined : { symbol, from, to: last };
}

/**
 * The API answers for sessions before the plan's history as if there were no bars. Where an answer begins later than asked for,
 * the day of the listing tells whether that is why.
 *
 * @returns the first session that is known, where earlier ones are not; one after the range where none is
 */
async function findTruncation(
  api: MarketApi,
  calendar: Calendar,
  { symbol, from, to }: SymbolRange,
  first: number,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  const known = first === -1 ? to + 1 : first;
  if (calendar.sessionsBetween(from, known - 1).length === 0) return undefined;
  // As of then: of who is listed no longer there are no details today.
  const details = await fetchTickerDetails(api, symbol, { session: first === -1 ? to : first, signal });
  if (details === undefined) return undefined;
  const listed = Math.max(from, details.listDate ?? -1);
  return calendar.sessionsBetween(listed, known - 1).length > LISTING_SESSIONS ? known : undefined;
}

function truncated({ symbol, from, to }: SymbolRange, known: number) {
  const error = new BatchLayerError(
    'NotEntitled',
    `${symbol}: no bars from ${formatSession(from)} to ${formatSession(Math.min(known - 1, to))}: the plan's history may begin later; ask for less, or change the plan`,
  );
  return { date: null, ...failedSymbol(symbol, error) };
}
