import { sliceBars } from '../bars.ts';
import { hasCode } from '../errors.ts';
import { mapAll } from '../lake/map-all.ts';
import type { SessionBars } from '../lake/session-file.ts';
import type { ObjectStore, StoreCall } from '../lake/store.ts';
import type { SymbolFiles } from '../lake/symbol-files.ts';
import { type FailedSymbol, failedSymbol } from '../progress.ts';
import { openBulkImport } from './bulk-import.ts';
import { bySymbol, type SymbolBars } from './by-symbol.ts';
import { writeDaily } from './daily-writer.ts';

/** What became of bars on their way into bronze. */
export interface Landing {
  /** Bars that are in bronze now and were not, or were others. */
  readonly stored: number;
  /** Bars that were there already. */
  readonly unchanged: number;
  readonly failed: readonly FailedSymbol[];
}

export interface LandCall extends StoreCall {
  /** Told of each symbol that is done. */
  readonly onSymbol?: (() => void) | undefined;
}

const CONCURRENT_FILES = 16;
const CONCURRENT_SYMBOLS = 8;

/** Writes the bars of a session to daily files, one a symbol. A symbol that fails is told, and the others go on. */
export async function landDaily(
  store: ObjectStore,
  { symbols, bars }: SessionBars,
  { signal, onSymbol }: LandCall,
): Promise<Landing> {
  const failed: FailedSymbol[] = [];
  let unchanged = 0;
  const writeOne = async (symbol: string, i: number): Promise<void> => {
    const outcome = await orFailed(symbol, failed, signal, () =>
      writeDaily(store, symbol, sliceBars(bars, i, i + 1), { signal }),
    );
    unchanged += outcome?.unchanged ?? 0;
    onSymbol?.();
  };
  await mapAll(symbols, writeOne, { concurrency: CONCURRENT_FILES, signal });
  return { stored: symbols.length - failed.length - unchanged, unchanged, failed };
}

/**
 * Merges the bars of many sessions into each symbol's `data.parquet`. Of a symbol whose file was written all bars count as
 * stored.
 *
 * @param files what bronze has, as listed
 */
export async function landBulk(
  store: ObjectStore,
  sessions: readonly SessionBars[],
  {
    files,
    now,
    signal,
    onSymbol,
  }: LandCall & { readonly files: ReadonlyMap<string, SymbolFiles>; readonly now: () => number },
): Promise<Landing> {
  const bulk = openBulkImport(store, { now, signal });
  const failed: FailedSymbol[] = [];
  let [stored, unchanged] = [0, 0];
  const importOne = async ({ symbol, bars }: SymbolBars): Promise<void> => {
    const outcome = await orFailed(symbol, failed, signal, () =>
      bulk.add(files.get(symbol) ?? { symbol, data: undefined, daily: [] }, bars),
    );
    if (outcome === 'unchanged') unchanged += bars.session.length;
    else if (outcome !== undefined) stored += bars.session.length;
    onSymbol?.();
  };
  await mapAll(bySymbol(sessions), importOne, { concurrency: CONCURRENT_SYMBOLS, signal });
  await bulk.finish();
  return { stored, unchanged, failed };
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
