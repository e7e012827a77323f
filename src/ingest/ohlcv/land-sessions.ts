import { sliceBars } from '../../bars.ts';
import { hasCode } from '../../errors.ts';
import { mapAll } from '../../lake/map-all.ts';
import { pickSymbols, type SessionBars } from '../../lake/session-file.ts';
import type { ObjectStore, StoreCall } from '../../lake/store.ts';
import { listFiles, listSymbol, type SymbolFiles } from '../../lake/symbol-files.ts';
import { type FailedSymbol, failedSymbol } from '../../progress.ts';
import { openBulkImport } from '../bulk-import.ts';
import { writeBar } from '../daily-writer.ts';
import { bySymbol, type SymbolBars } from './by-symbol.ts';

/** What became of bars on their way into bronze. */
export interface Landing {
  /** Bars that are in bronze now and were not, or were others. */
  readonly stored: number;
  /** Bars that were there already. */
  readonly unchanged: number;
  readonly failed: readonly FailedSymbol[];
}

export interface LandOptions extends StoreCall {
  readonly now: () => number;
  /** Told of each symbol that is done. */
  readonly onSymbol?: (() => void) | undefined;
}

const CONCURRENT_FILES = 16;
const CONCURRENT_SYMBOLS = 8;
/** So many symbols are listed by themselves; for more, bronze is listed once. */
const MAX_LISTED_ALONE = 20;

/**
 * Writes the bars of a session to daily files, one a symbol. A symbol that fails is told, and the others go on.
 *
 * Where the file is there already, with this very bar, another one may have been put over it in `data.parquet` since (decision
 * 004): the bar is merged there.
 */
export async function landDaily(store: ObjectStore, session: SessionBars, options: LandOptions): Promise<Landing> {
  const { signal, onSymbol } = options;
  const failed: FailedSymbol[] = [];
  const there = new Set<string>();
  const writeOne = async (symbol: string, i: number): Promise<void> => {
    const bar = sliceBars(session.bars, i, i + 1);
    const outcome = await orFailed(symbol, failed, signal, () => writeBar(store, symbol, bar, { signal }));
    if (outcome === 'unchanged') there.add(symbol);
    onSymbol?.();
  };
  await mapAll(session.symbols, writeOne, { concurrency: CONCURRENT_FILES, signal });
  const stored = session.symbols.length - failed.length - there.size;
  if (there.size === 0) return { stored, unchanged: 0, failed };
  const merged = await landBulk(store, [pickSymbols(session, there)], { ...options, onSymbol: undefined });
  return { ...merged, stored: stored + merged.stored, failed: [...failed, ...merged.failed] };
}

/**
 * Merges the bars of many sessions into each symbol's `data.parquet`. Of a symbol whose file was written all bars count as
 * stored.

 */
export async function landBulk(
  store: ObjectStore,
  sessions: readonly SessionBars[],
  { now, signal, onSymbol }: LandOptions,
): Promise<Landing> {
  const bulk = openBulkImport(store, { now, signal });
  const failed: FailedSymbol[] = [];
  let [stored, unchanged] = [0, 0];
  // Listed now: an older listing would leave out daily files that the bars have to win over.
  const filesOf = await openListing(store, new Set(sessions.flatMap(({ symbols }) => symbols)).size, { signal });
  const importOne = async ({ symbol, bars }: SymbolBars): Promise<void> => {
    const outcome = await orFailed(symbol, failed, signal, async () => bulk.add(await filesOf(symbol), bars));
    if (outcome === 'unchanged') unchanged += bars.session.length;
    else if (outcome !== undefined) stored += bars.session.length;
    onSymbol?.();
  };
  await mapAll(bySymbol(sessions), importOne, { concurrency: CONCURRENT_SYMBOLS, signal });
  await bulk.finish();
  return { stored, unchanged, failed };
}

/** What bronze has of symbols: few are listed by themselves, for many all of it is listed once. */
async function openListing(
  store: ObjectStore,
  count: number,
  call: StoreCall,
): Promise<(symbol: string) => Promise<SymbolFiles>> {
  if (count <= MAX_LISTED_ALONE) return (symbol) => listSymbol(store, symbol, call);
  const files = await listFiles(store, call);
  return async (symbol) => files.get(symbol) ?? { symbol, data: undefined, daily: [] };
}

async function orFailed<T>(
  symbol: string,
  failed: FailedSymbol[],
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    signal?.throwIfAborted();
    // What is wrong with the store is wrong for every symbol.
    if (hasCode(error, 'BadInput')) throw error;
    failed.push(failedSymbol(symbol, error));
    return undefined;
  }
}
