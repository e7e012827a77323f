import { checkCount } from '../../check-count.ts';
import { BatchLayerError, hasCode, messageOf } from '../../errors.ts';
import type { ObjectStore, StoreCall } from '../../lake/store.ts';
import { type StoreMetrics, withMetrics } from '../../lake/with-metrics.ts';
import { type FailedSymbol, failedSymbol, type OnProgress } from '../../progress.ts';
import { sessionAt } from '../../session.ts';
import { checkSymbol, compareSymbols } from '../../symbol.ts';
import type { MarketApi } from '../api/market-api.ts';
import { listTickers, type TickerList } from '../api/tickers.ts';
import { fetchDetails } from './fetch-details.ts';
import { applyDetails, type FoundDetails, planDetails } from './plan-details.ts';
import { checkList, type MetadataPlan, planMetadata, type Renaming } from './plan-metadata.ts';
import { type MetadataTable, readMetadataTable, replaceMetadataTable, type SymbolMetadata } from './symbol-metadata.ts';

/** Where else the metadata goes, such as a database. */
export interface MetadataSink {
  /**
   * Makes the sink have these rows, all there are, and no others. Called on every run, also where nothing changed: what
   * missed a run catches up.
   */
  writeMetadata(rows: readonly SymbolMetadata[], call: StoreCall): Promise<void>;
}

export interface IngestMetaOptions {
  /** Whose details to ask for, regardless of their age; all that are due where left out. */
  readonly symbols?: readonly string[] | undefined;
  /** Calls of the API in all, the pages of the ticker list included; a call that is sent again counts once. */
  readonly maxCalls?: number | undefined;
  /** Details of this age are asked for again. */
  readonly detailsMaxAgeDays?: number | undefined;
  /** Of the symbols that were active, how many may be so no longer; above, the list is taken for damaged. 0 to 1. */
  readonly maxLostShare?: number | undefined;
  readonly sink?: MetadataSink | undefined;
  readonly now?: (() => number) | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The first 1,000 symbols of each change. */
export interface ChangedSymbols {
  readonly added: readonly string[];
  readonly delisted: readonly string[];
  readonly renamed: readonly Renaming[];
  readonly recycled: readonly string[];
  readonly missing: readonly string[];
}

export interface IngestMetaResult {
  /** Symbols that are active now. */
  readonly symbols: number;
  /** Ranges of all symbols. */
  readonly rows: number;
  /** Rows of the list of active tickers. */
  readonly listed: number;
  readonly listedInactive: number;
  /** Rows of both whose ticker is no symbol. */
  readonly skipped: number;
  readonly added: number;
  /** Seen for the first time when they were active no longer. */
  readonly addedInactive: number;
  readonly delisted: number;
  readonly renamed: number;
  readonly recycled: number;
  /** Were active, and are in neither list now; nothing was changed. */
  readonly missing: number;
  readonly updated: number;
  readonly changed: ChangedSymbols;
  /** Details that were asked for and answered, be it that there are none. */
  readonly detailsFetched: number;
  /** Of these, tickers that the API has no details of. */
  readonly detailsNotFound: number;
  /** Details that are due and were not asked for. */
  readonly detailsPending: number;
  /** Symbols whose details could not be had; the others went on. */
  readonly failed: readonly FailedSymbol[];
  readonly warnings: readonly string[];
  /** Whether the table was written: not where nothing changed. */
  readonly written: boolean;
  /** Why the sink does not have the rows; left out where it does, or there is none. */
  readonly databaseFailure?: string;
  readonly api: ReturnType<MarketApi['metrics']>;
  readonly metrics: StoreMetrics;
}

const MAX_ATTEMPTS = 5;
const MAX_NAMES = 1_000;

/**
 * Brings the metadata of all symbols up to date: who is listed, who was delisted, renamed or replaced, and the details of
 * those whose turn it is. Everything is committed at the end, in one conditional write, details that were had included where
 * others failed.
 *
 * @throws BatchLayerError, and nothing is changed: `BadInput` for options that are wrong (or fewer calls than the list
 * takes) and an API key that is, `Unavailable` where the list cannot be had whole, `CorruptObject` where the table is
 * damaged, `NotEntitled` for the list
 * @example
 * const { delisted, renamed, detailsPending } = await ingestMeta(store, api, { maxCalls: 500 });
 */
export async function ingestMeta(
  lake: ObjectStore,
  api: MarketApi,
  {
    symbols,
    maxCalls = 2_000,
    detailsMaxAgeDays = 7,
    maxLostShare = 0.1,
    sink,
    now = Date.now,
    onProgress,
    signal,
  }: IngestMetaOptions = {},
): Promise<IngestMetaResult> {
  checkCount('maxCalls', maxCalls, 1);
  checkCount('detailsMaxAgeDays', detailsMaxAgeDays, 0);
  checkShare('maxLostShare', maxLostShare);
  symbols?.forEach(checkSymbol);
  const store = withMetrics(lake);
  const today = sessionAt(now());
  // Before any call: over a damaged table nothing can be planned.
  const base = await readMetadataTable(store, { signal });
  const onPage = (done: number) => onProgress?.({ step: 'list', done });
  const list = await listTickers(api, { maxCalls, onPage, signal });
  const plan = (table: MetadataTable): MetadataPlan => {
    checkList(table.rows, list, maxLostShare);
    return planMetadata(table.rows, list, today);
  };
  const first = plan(base);
  const { due, unknown } = planDetails(first.rows, { symbols, maxAgeDays: detailsMaxAgeDays, today });
  const details = await fetchDetails(api, due.slice(0, maxCalls - list.calls), { onProgress, signal });
  onProgress?.({ step: 'write', done: 0, total: 1 });
  const committed = await commit(store, { base, first, plan, found: details.found, today, signal });
  onProgress?.({ step: 'write', done: 1, total: 1 });
  const databaseFailure = sink && (await writeSink(sink, committed.rows, { signal }));
  return {
    ...countChanges(committed.plan, list),
    symbols: committed.rows.filter(({ active }) => active).length,
    rows: committed.rows.length,
    detailsFetched: details.found.size,
    detailsNotFound: [...details.found.values()].filter((found) => found === undefined).length,
    detailsPending: due.length - details.found.size - details.failed.length,
    failed: [...unknown.map(unknownSymbol), ...details.failed].sort((a, b) => compareSymbols(a.symbol, b.symbol)),
    warnings: details.warnings,
    written: committed.written,
    ...(databaseFailure === undefined ? {} : { databaseFailure }),
    api: api.metrics(),
    metrics: store.metrics(),
  };
}

function checkShare(name: string, value: number): void {
  if (value >= 0 && value <= 1) return;
  throw new BatchLayerError('BadInput', `${name} is ${value}: expected a number from 0 to 1`);
}

function unknownSymbol(symbol: string): FailedSymbol {
  return failedSymbol(symbol, new BatchLayerError('NotFound', `${symbol} is in no list of tickers`));
}

interface CommitInput extends StoreCall {
  readonly base: MetadataTable;
  /** The plan over `base`. */
  readonly first: MetadataPlan;
  /** Plans over another version of the table. */
  readonly plan: (table: MetadataTable) => MetadataPlan;
  readonly found: FoundDetails;
  readonly today: number;
}

/** Writes the table; over one that another run has written meanwhile, everything is planned again. */
async function commit(
  store: ObjectStore,
  { base, first, plan, found, today, signal }: CommitInput,
): Promise<{ readonly plan: MetadataPlan; readonly rows: readonly SymbolMetadata[]; readonly written: boolean }> {
  let [table, planned] = [base, first];
  for (let attempt = 1; ; attempt++) {
    const rows = applyDetails(planned.rows, found, today);
    try {
      return { plan: planned, rows, written: await replaceMetadataTable(store, rows, table, { signal }) };
    } catch (error) {
      if (!hasCode(error, 'Conflict') || attempt === MAX_ATTEMPTS) throw error;
    }
    table = await readMetadataTable(store, { signal });
    planned = plan(table);
  }
}

/** @returns why it failed, or `undefined`: what the lake has is committed, and the sink gets it on the next run */
async function writeSink(
  sink: MetadataSink,
  rows: readonly SymbolMetadata[],
  { signal }: StoreCall,
): Promise<string | undefined> {
  try {
    await sink.writeMetadata(rows, { signal });
    return undefined;
  } catch (error) {
    signal?.throwIfAborted();
    return messageOf(error);
  }
}

function countChanges(plan: MetadataPlan, { active, inactive, skipped }: TickerList) {
  const { added, addedInactive, delisted, renamed, recycled, missing, updated } = plan;
  return {
    listed: active.length,
    listedInactive: inactive.length,
    skipped,
    added: added.length,
    addedInactive: addedInactive.length,
    delisted: delisted.length,
    renamed: renamed.length,
    recycled: recycled.length,
    missing: missing.length,
    updated: updated.length,
    changed: {
      added: added.slice(0, MAX_NAMES),
      delisted: delisted.slice(0, MAX_NAMES),
      renamed: renamed.slice(0, MAX_NAMES),
      recycled: recycled.slice(0, MAX_NAMES),
      missing: missing.slice(0, MAX_NAMES),
    },
  };
}
