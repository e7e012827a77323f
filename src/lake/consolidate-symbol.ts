import { allocateBars, type Bars, copyBar, mergeBars, sameBar, sliceBars } from '../bars.ts';
import { BatchLayerError, hasCode } from '../errors.ts';
import { formatSession } from '../session.ts';
import { readBarsFile } from './bronze.ts';
import { deleteCovered } from './cleanup.ts';
import { sameBytes } from './columns.ts';
import { type Consolidated, type DailyVersion, readConsolidated, writeConsolidated } from './consolidated.ts';
import { mapAll } from './map-all.ts';
import type { ObjectStore } from './store.ts';
import { type DailyFile, listSymbol, type SymbolFiles } from './symbol-files.ts';
import type { Codec } from './wasm.ts';

export interface ConsolidateSymbolOptions {
  /** Bars to take over after all daily files, winning over them: a bulk import. */
  readonly imported?: Bars | undefined;
  /** First session within retention: daily files before it are deleted once they are proven applied. None without. */
  readonly retainFrom?: number | undefined;
  readonly codec?: Codec | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What consolidating a symbol came to. */
export interface SymbolConsolidation {
  readonly symbol: string;
  readonly written: boolean;
  readonly bars: Bars;
  readonly generation: number;
  /** Version and digest of `data.parquet`. */
  readonly version: DailyVersion;
  /** Daily files that were taken over now. */
  readonly applied: number;
  readonly deleted: readonly DailyFile[];
  /** Daily files that are still there. */
  readonly daily: readonly DailyFile[];
}

const MAX_ATTEMPTS = 10;
const CONCURRENT_READS = 8;

/** A daily file that was read. */
interface ReadDaily extends DailyVersion {
  readonly session: number;
  readonly bars: Bars;
}

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
  { imported, retainFrom, codec, signal }: ConsolidateSymbolOptions,
): Promise<SymbolConsolidation | undefined> {
  const current = await readConsolidated(store, symbol, { signal });
  const unread = daily.filter((file) => current?.applied.get(file.session)?.etag !== file.etag);
  const read = await mapAll(unread, (file) => readDaily(store, symbol, file, signal), {
    concurrency: CONCURRENT_READS,
    signal,
  });
  const fresh = read.filter((file) => current?.applied.get(file.session)?.digest !== file.digest);
  const plan = planConsolidation(current, { read, fresh, daily, imported, retainFrom });
  if (plan === undefined && current === undefined) return undefined;
  const next = plan ?? current!;
  const version = plan
    ? await writeConsolidated(store, symbol, plan, { etag: current?.etag, codec, signal })
    : { etag: current!.etag, digest: current!.digest };
  const old = retainFrom === undefined ? [] : daily.filter((file) => file.session < retainFrom);
  const deleted = await deleteCovered(store, symbol, old, read, { signal });
  const gone = new Set(deleted);
  return {
    symbol,
    version,
    deleted,
    written: plan !== undefined,
    bars: next.bars,
    generation: next.generation,
    applied: fresh.length,
    daily: daily.filter((file) => !gone.has(file)),
  };
}

interface PlanInput extends Pick<ConsolidateSymbolOptions, 'imported' | 'retainFrom'> {
  readonly daily: readonly DailyFile[];
  /** The daily files whose version is not recorded as applied. */
  readonly read: readonly ReadDaily[];
  /** Those of them whose content is not either. */
  readonly fresh: readonly ReadDaily[];
}

/** What `data.parquet` becomes, or `undefined` where it stays as it is. Pure. */
function planConsolidation(
  current: Consolidated | undefined,
  { daily, read, fresh, imported, retainFrom = Number.NEGATIVE_INFINITY }: PlanInput,
): Consolidated | undefined {
  const before = current?.bars ?? allocateBars(0);
  let bars = fresh.length > 0 ? mergeBars(before, joinDaily(fresh)) : before;
  if (imported) bars = mergeBars(bars, imported);
  if (fresh.length === 0 && (!imported || sameBars(before, bars))) return undefined;
  if (bars.session.length === 0) return undefined;
  const there = new Set(daily.map((file) => file.session));
  const applied = new Map(
    [...(current?.applied ?? [])].filter(([session]) => there.has(session) || session >= retainFrom),
  );
  for (const { session, digest, etag } of read) applied.set(session, { digest, etag });
  const generation = (current?.generation ?? 0) + (startsWith(bars, before) ? 0 : 1);
  return { bars, applied, generation };
}

/** Reads a daily file and checks that it has the one bar its key names. */
export async function readDaily(
  store: ObjectStore,
  symbol: string,
  { key, session }: DailyFile,
  signal: AbortSignal | undefined,
): Promise<ReadDaily> {
  const { bars, digest, etag } = await readBarsFile(store, key, symbol, { signal });
  if (bars.session.length !== 1 || bars.session[0] !== session) {
    const found = Array.from(bars.session, formatSession).join(', ');
    throw new BatchLayerError(
      'CorruptObject',
      `${key}: has bars of ${found || 'no session'}: expected one, of the key's date`,
    );
  }
  return { session, bars, digest, etag };
}

// Listed in order of session, so read in order of session.
function joinDaily(files: readonly ReadDaily[]): Bars {
  const joined = allocateBars(files.length, {
    vwap: files.some(({ bars }) => bars.vwap),
    trades: files.some(({ bars }) => bars.trades),
  });
  files.forEach(({ bars }, i) => {
    copyBar(bars, 0, joined, i);
  });
  return joined;
}

function startsWith(bars: Bars, start: Bars): boolean {
  const { length } = start.session;
  if (length > bars.session.length) return false;
  const head = sliceBars(bars, 0, length);
  return hasSameBytes(head, start) || start.session.every((_, i) => sameBar(start, i, bars, i));
}

// Quicker than bar by bar; where bytes differ the bars may still be the same (0 and −0, absent and left out).
function hasSameBytes(a: Bars, b: Bars): boolean {
  const names = Object.keys({ ...a, ...b }) as (keyof Bars)[];
  return names.every((name) => a[name] && b[name] && sameBytes(a[name], b[name]));
}

function sameBars(a: Bars, b: Bars): boolean {
  return a.session.length === b.session.length && startsWith(a, b);
}
