import type { Bars } from '../bars.ts';
import { BatchLayerError, hasCode } from '../errors.ts';
import { sessionAt } from '../session.ts';
import { type Cleanup, deleteCovered } from './cleanup.ts';
import { type AppliedFile, decodeApplied } from './consolidated.ts';
import { dataKey } from './keys.ts';
import { mapAll } from './map-all.ts';
import { type History, mergeSymbol } from './merge-symbol.ts';
import { conditionOf, type ObjectStore, orNone } from './store.ts';
import { type DailyFile, listSymbol, type SymbolFiles } from './symbol-files.ts';
import type { Codec } from './wasm.ts';

export interface ConsolidateSymbolOptions {
  /** Bars to take over after all daily files, winning over them: a bulk import. */
  readonly imported?: Bars | undefined;
  /** Bars to take over for sessions that have none: history that is older than all the rest. */
  readonly filled?: Bars | undefined;
  /** First session within retention: daily files before it are deleted once they are proven applied. None without. */
  readonly retainFrom?: number | undefined;
  /** The current date, in days since 1970-01-01; the system's, in New York, where left out. */
  readonly today?: number | undefined;
  readonly codec?: Codec | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What consolidating a symbol came to. */
export interface SymbolConsolidation {
  readonly symbol: string;
  readonly written: boolean;
  readonly history: History;
  /** The end of the history, as a copy. */
  readonly recent: Bars;
  /** Version of `data.parquet`. */
  readonly etag: string;
  /** Daily files that were taken over now. */
  readonly applied: number;
  /** Sessions of `filled` of which there was another bar, which stayed. */
  readonly kept: Int32Array;
  readonly deleted: readonly DailyFile[];
  /** Why old daily files are still there; the next run tries again. */
  readonly cleanupFailure: BatchLayerError | undefined;
  /** Daily files that are still there. */
  readonly daily: readonly DailyFile[];
}

const MAX_ATTEMPTS = 10;
const CONCURRENT_READS = 8;

/**
 * Merges a symbol's daily files, and bars in hand, into its `data.parquet`.
 *
 * A daily file wins for its session, once: the versions already applied are recorded in `data.parquet` and not read
 * again. When another writer is faster everything is read and planned anew.
 *
 * @returns `undefined` where the symbol has no bars at all
 * @throws BatchLayerError `CorruptObject` for a damaged file, nothing changed; `Conflict` after ten lost races
 */
export async function consolidateSymbol(
  store: ObjectStore,
  listed: SymbolFiles,
  options: ConsolidateSymbolOptions = {},
): Promise<SymbolConsolidation | undefined> {
  const { signal } = options;
  let files = listed;
  for (let attempt = 1; ; attempt++) {
    try {
      return await attemptSymbol(store, files, options);
    } catch (error) {
      // NotFound: a daily file was cleaned up since it was listed, so another run has applied it.
      if (!hasCode(error, 'Conflict', 'NotFound') || attempt === MAX_ATTEMPTS) throw error;
      files = await listSymbol(store, files.symbol, { signal });
    }
  }
}

async function attemptSymbol(
  store: ObjectStore,
  { symbol, daily }: SymbolFiles,
  { retainFrom, today = sessionAt(Date.now()), signal, ...rest }: ConsolidateSymbolOptions,
): Promise<SymbolConsolidation | undefined> {
  const current = await orNone(store.get(dataKey(symbol), { signal }));
  const known = current ? decodeApplied(current.body, symbol) : new Map<number, AppliedFile>();
  const unread = daily.filter((file) => known.get(file.session)?.etag !== file.etag);
  const readOne = async ({ key, session }: DailyFile) => ({ key, session, ...(await store.get(key, { signal })) });
  const read = await mapAll(unread, readOne, { concurrency: CONCURRENT_READS, signal });
  const listed = daily.map(({ session }) => session);
  const merged = mergeSymbol({ symbol, data: current?.body, daily: read, listed, retainFrom, today, ...rest });
  if (!merged.history) return undefined;
  // Commit point: this PUT, over the version that was read, is the commit of a consolidation.
  const etag = merged.bytes
    ? await store.put(dataKey(symbol), merged.bytes, { ...conditionOf(current?.etag), signal })
    : current!.etag;
  const old = retainFrom === undefined ? [] : daily.filter((file) => file.session < retainFrom);
  const { deleted, failure } = await cleanUp(() => deleteCovered(store, symbol, old, merged.read, { signal }), signal);
  const gone = new Set(deleted);
  return {
    symbol,
    etag,
    deleted,
    cleanupFailure: failure,
    written: merged.bytes !== undefined,
    history: merged.history,
    recent: merged.recent,
    applied: merged.applied,
    kept: merged.kept,
    daily: daily.filter((file) => !gone.has(file)),
  };
}

// What was committed is committed, whatever becomes of the files that are no longer needed.
async function cleanUp(
  work: () => Promise<Cleanup>,
  signal: AbortSignal | undefined,
): Promise<{ readonly deleted: readonly DailyFile[]; readonly failure: BatchLayerError | undefined }> {
  try {
    const { deleted, failed } = await work();
    return { deleted, failure: failed[0]?.error };
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof BatchLayerError)) throw error;
    return { deleted: [], failure: error };
  }
}
