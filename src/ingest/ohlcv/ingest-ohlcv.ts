import { type CalendarOverride, marketCalendar } from '../../calendar.ts';
import { BatchLayerError, hasCode } from '../../errors.ts';
import type { ObjectStore } from '../../lake/store.ts';
import { lakeWatermarks, type WatermarkStore } from '../../lake/watermarks.ts';
import { type StoreMetrics, withMetrics } from '../../lake/with-metrics.ts';
import type { OnProgress } from '../../progress.ts';
import { formatSession } from '../../session.ts';
import { checkSymbol } from '../../symbol.ts';
import { fetchGroupedBars } from '../api/grouped-bars.ts';
import type { ApiMetrics, MarketApi } from '../api/market-api.ts';
import { openCalendar } from '../api/open-calendar.ts';
import { type CorporateActionsResult, ingestCorporateActions } from '../reference/corporate-actions.ts';
import type { BarSource } from './bar-source.ts';
import { type BarSink, type DatabaseFailure, withFailuresTold } from './fetch-call.ts';
import { type HistoriesResult, ingestHistories, planRange } from './ingest-histories.ts';
import { type IngestSessionsOptions, ingestSessions, type SessionsResult } from './ingest-sessions.ts';
import { createMissingLog, type MissingBars, type MissingLog, missingSession, sortMissing } from './missing-bars.ts';
import { MAX_LISTINGS, planListings } from './plan-listings.ts';
import { chooseWindow, notOver, settledThrough, type WindowOptions } from './session-window.ts';

/** What fetching needs, from whatever source. */
export interface FetchOptions extends WindowOptions {
  /** Ask again for everything, whatever is known, and compare every bar. */
  readonly force?: boolean | undefined;
  /** Days on which the exchange does something else than its rules say; they win over what the API announces. */
  readonly overrides?: readonly CalendarOverride[] | undefined;
  /** A database that gets the same bars; its failures never fail the run. */
  readonly sink?: BarSink | undefined;
  /** Kept in a database; in the lake where left out. */
  readonly watermarks?: WatermarkStore | undefined;
  readonly now?: (() => number) | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface IngestOhlcvOptions extends FetchOptions {
  /** Symbols that are skipped: the exchanges' test symbols where left out. */
  readonly exclude?: readonly string[] | undefined;
  /** Only these, each in a call of its own, for as long a history as is asked for. */
  readonly symbols?: readonly string[] | undefined;
}

export interface FetchResult extends SessionsResult {
  /** How many sessions, symbols or bars are missing, and the first 1,000 of them; the next run looks for them again. */
  readonly missingCount: number;
  readonly missing: readonly MissingBars[];
  /** What the database did not take, 1,000 at most; bronze has it. */
  readonly databaseFailures: readonly DatabaseFailure[];
  readonly warnings: readonly string[];
  readonly metrics: StoreMetrics;
}

export interface IngestOhlcvResult extends FetchResult {
  /** Symbols that were asked for by themselves: chosen ones, or new ones for their history. */
  readonly symbolsFetched: number;
  /** Chosen symbols of which everything was known. */
  readonly symbolsKnown: number;
  /** Symbols that have no bars where they were asked for; that is remembered. */
  readonly symbolsWithoutBars: readonly string[];
  /** New symbols whose history the next run asks for. */
  readonly listingsPending: number;
  /** Splits and dividends; `null` where symbols were chosen, or where they could not be had. */
  readonly corporateActions: CorporateActionsResult | null;
  readonly api: ApiMetrics;
}

/**
 * Fetches daily bars from the market data API into bronze: the sessions of the last 30 days that it has not, and the last three
 * anew, a call a session; the history of symbols that are new; and the splits and dividends. With `symbols`, those alone.
 *
 * What fails is told in `missing` and found again by the next run. Days are counted since 1970-01-01.
 *
 * @throws BatchLayerError `BadInput` for a key or options that are wrong; and what the store throws where it does not answer
 *
 * @example
 * const api = openMarketApi({ apiKey });
 * const { stored, missing } = await ingestOhlcv(openStore('file:./lake'), api);
 */
export async function ingestOhlcv(
  lake: ObjectStore,
  api: MarketApi,
  { symbols, overrides = [], exclude, ...options }: IngestOhlcvOptions = {},
): Promise<IngestOhlcvResult> {
  const store = withMetrics(lake);
  const warnings: string[] = [];
  const call = {
    ...withDefaults(store, options),
    calendar: await openCalendar(api, overrides, warnings, options.signal),
  };
  const outcome = symbols
    ? await ingestChosen(store, api, symbols.map(checkSymbol), call)
    : await ingestMarket(store, api, groupedSource(api, exclude), { ...call, warnings });
  return {
    ...outcome,
    missingCount: call.missing.count(),
    missing: sortMissing(call.missing.first),
    databaseFailures: call.databaseFailures,
    warnings,
    api: api.metrics(),
    metrics: store.metrics(),
  };
}

/**
 * Brings bars from another source of whole sessions, such as the vendor's day files, into bronze.
 *
 * @example
 * await ingestFrom(lake, flatFileSource(s3Store({ bucket: 'flatfiles', endpoint: 'https://files.massive.com' })));
 */
export async function ingestFrom(
  lake: ObjectStore,
  source: BarSource,
  { overrides = [], ...options }: FetchOptions = {},
): Promise<FetchResult> {
  const store = withMetrics(lake);
  const call = { ...withDefaults(store, options), calendar: marketCalendar(overrides) };
  const { survey: _survey, window: _window, ...result } = await ingestSessions(store, source, call);
  return {
    ...result,
    missingCount: call.missing.count(),
    missing: sortMissing(call.missing.first),
    databaseFailures: call.databaseFailures,
    warnings: [],
    metrics: store.metrics(),
  };
}

type Outcome = Omit<
  IngestOhlcvResult,
  'missingCount' | 'missing' | 'databaseFailures' | 'warnings' | 'api' | 'metrics'
>;

async function ingestMarket(
  store: ObjectStore,
  api: MarketApi,
  source: BarSource,
  { warnings, ...options }: IngestSessionsOptions & { readonly warnings: string[] },
): Promise<Outcome> {
  const { calendar, watermarks, missing, onProgress, signal } = options;
  const { survey, window, ...sessions } = await ingestSessions(store, source, options);
  const marks = await watermarks.read({ signal });
  const listings = planListings(window, survey, { marks, calendar });
  const histories = await ingestHistories(store, api, listings.slice(0, MAX_LISTINGS), {
    ...options,
    isChosen: false,
    settledThrough: settledThrough(chooseWindow(calendar, options.now(), options)),
  });
  let corporateActions: CorporateActionsResult | null = null;
  try {
    corporateActions = await ingestCorporateActions(store, api, { onProgress, signal });
    warnings.push(...corporateActions.warnings);
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof BatchLayerError) || hasCode(error, 'BadInput')) throw error;
    tellActionsMissing(error, missing, warnings);
  }
  return {
    ...withHistories(sessions, histories),
    symbolsFetched: Math.min(listings.length, MAX_LISTINGS),
    symbolsKnown: 0,
    symbolsWithoutBars: histories.withoutBars,
    listingsPending: Math.max(0, listings.length - MAX_LISTINGS),
    corporateActions,
  };
}

function tellActionsMissing(error: BatchLayerError, missing: MissingLog, warnings: string[]): void {
  // A plan without them lacks nothing that this run could bring.
  if (error.code === 'NotEntitled') warnings.push(`no splits and dividends: ${error.message}`);
  else missing.add({ date: null, symbol: null, code: error.code, message: `splits and dividends: ${error.message}` });
}

async function ingestChosen(
  store: ObjectStore,
  api: MarketApi,
  symbols: readonly string[],
  options: IngestSessionsOptions,
): Promise<Outcome> {
  const { calendar, watermarks, missing, force = false, now, signal } = options;
  const chosenWindow = chooseWindow(calendar, now(), options);
  const { sessions: window, notClosed } = chosenWindow;
  for (const session of notClosed) missing.add(missingSession(session, notOver(calendar, session)));
  const marks = await watermarks.read({ signal });
  const chosen = [...new Set(symbols)];
  const ranges = chosen.flatMap((symbol) => {
    return planRange(symbol, window, marks.get(symbol), { force }) ?? [];
  });
  const histories = await ingestHistories(store, api, ranges, {
    ...options,
    isChosen: true,
    settledThrough: settledThrough(chosenWindow),
  });
  const [first, last] = [window[0], window.at(-1)];
  const none = { sessionsFetched: 0, sessionsRestored: 0, sessionsKnown: 0, sessionsMissing: 0, sessionsEmpty: [] };
  const counts = { fetched: 0, stored: 0, unchanged: 0, skipped: 0, quarantined: 0, quarantine: [] };
  const sessions = {
    firstDate: first === undefined ? null : formatSession(first),
    lastDate: last === undefined ? null : formatSession(last),
    sessions: window.length,
    ...none,
    ...counts,
    fallback: null,
  };
  return {
    ...withHistories(sessions, histories),
    symbolsFetched: ranges.length,
    symbolsKnown: window.length > 0 ? chosen.length - ranges.length : 0,
    symbolsWithoutBars: histories.withoutBars,
    listingsPending: 0,
    corporateActions: null,
  };
}

function withHistories(sessions: SessionsResult, histories: HistoriesResult): SessionsResult {
  return {
    ...sessions,
    fetched: sessions.fetched + histories.fetched,
    stored: sessions.stored + histories.stored,
    unchanged: sessions.unchanged + histories.unchanged,
    skipped: sessions.skipped + histories.skipped,
    quarantined: sessions.quarantined + histories.quarantined,
    quarantine: [...sessions.quarantine, ...histories.quarantine],
  };
}

function withDefaults(
  store: ObjectStore,
  { watermarks, now = Date.now, ...options }: Omit<FetchOptions, 'overrides'>,
): Omit<IngestSessionsOptions, 'calendar'> {
  const databaseFailures: DatabaseFailure[] = [];
  return {
    ...options,
    watermarks: watermarks ? withFailuresTold(watermarks, databaseFailures) : lakeWatermarks(store),
    now,
    missing: createMissingLog(),
    databaseFailures,
  };
}

function groupedSource(api: MarketApi, exclude: readonly string[] | undefined): BarSource {
  return {
    name: 'grouped',
    fetchSession: (session, call) => fetchGroupedBars(api, session, { exclude, ...call }),
  };
}
