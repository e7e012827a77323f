import { checkCount } from '../check-count.ts';
import { BatchLayerError, hasCode } from '../errors.ts';
import { type FailedSymbol, failedSymbol, type OnProgress } from '../progress.ts';
import { sessionAt } from '../session.ts';
import { consolidateSymbol, type SymbolConsolidation } from './consolidate-symbol.ts';
import { fingerprintDaily, type Manifest, type ManifestEntry, readManifest, updateManifest } from './manifest.ts';
import { mapAll } from './map-all.ts';
import { type RecentEntry, updateRecentBars } from './recent-bars.ts';
import type { ObjectStore } from './store.ts';
import { listChosen, type SymbolFiles } from './symbol-files.ts';
import type { Codec } from './wasm.ts';
import { type StoreMetrics, withMetrics } from './with-metrics.ts';

export interface ConsolidateOptions {
  /** `incremental` passes over symbols that the manifest shows unchanged; `full` reads every symbol. */
  readonly mode?: 'incremental' | 'full';
  /** Only these; all that are in bronze where left out. */
  readonly symbols?: readonly string[] | undefined;
  readonly maxWorkers?: number;
  /** Calendar days that daily files are kept; those older are deleted once they are proven applied. */
  readonly retentionDays?: number;
  readonly codec?: Codec;
  /** Milliseconds since 1970-01-01; the system's clock where left out. */
  readonly now?: () => number;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ConsolidateResult {
  readonly symbols: number;
  /** Symbols whose `data.parquet` was written. */
  readonly written: number;
  readonly unchanged: number;
  readonly dailyFilesApplied: number;
  readonly dailyFilesDeleted: number;
  readonly bytesDeleted: number;
  readonly failed: readonly FailedSymbol[];
  /** Things that were put right on the way, such as a damaged manifest. */
  readonly warnings: readonly string[];
  readonly metrics: StoreMetrics;
}

/**
 * Merges every symbol's daily files into its `data.parquet`, updates the manifest, and deletes daily files older than
 * the retention that are proven applied.
 *
 * A symbol that fails is reported and the others go on. Runs at the same time lose nothing: every write is conditional.
 *
 * @example
 * const { written, failed } = await consolidate(openStore('file:./lake'), { mode: 'incremental' });
 */
export async function consolidate(
  lake: ObjectStore,
  {
    mode = 'incremental',
    symbols,
    maxWorkers = 10,
    retentionDays = 30,
    codec,
    now = Date.now,
    onProgress,
    signal,
  }: ConsolidateOptions = {},
): Promise<ConsolidateResult> {
  checkCount('maxWorkers', maxWorkers, 1);
  checkCount('retentionDays', retentionDays, 0);
  const store = withMetrics(lake);
  const today = sessionAt(now());
  const retainFrom = today - retentionDays;
  const manifest = await readManifest(store, { signal });
  const entries: ManifestEntry[] = [];
  const recent: RecentEntry[] = [];
  const counts = { written: 0, unchanged: 0, dailyFilesApplied: 0, dailyFilesDeleted: 0, bytesDeleted: 0 };
  const failed: FailedSymbol[] = [];
  const seen = new Set<string>();

  const consolidateOne = async (files: SymbolFiles): Promise<void> => {
    if (mode === 'incremental' && isUnchanged(files, manifest, retainFrom)) {
      counts.unchanged++;
      return;
    }
    const result = await consolidateSymbol(store, files, { retainFrom, today, codec, signal });
    if (!result) throw new BatchLayerError('NotFound', `${files.symbol}: has no bars in bronze`);
    entries.push(manifestEntry(result, now()));
    recent.push(recentEntry(result));
    counts[result.written ? 'written' : 'unchanged']++;
    counts.dailyFilesApplied += result.applied;
    counts.dailyFilesDeleted += result.deleted.length;
    for (const { size } of result.deleted) counts.bytesDeleted += size;
    if (result.cleanupFailure) throw result.cleanupFailure;
  };
  const consolidateOrReport = async (files: SymbolFiles): Promise<void> => {
    try {
      await consolidateOne(files);
    } catch (error) {
      signal?.throwIfAborted();
      // What is wrong with the store is wrong for every symbol.
      if (hasCode(error, 'BadInput')) throw error;
      failed.push(failedSymbol(files.symbol, error));
    }
    seen.add(files.symbol);
    onProgress?.({ step: 'consolidate', done: seen.size, ...(symbols ? { total: symbols.length } : {}) });
  };
  await mapAll(listChosen(store, symbols, { signal }), consolidateOrReport, { concurrency: maxWorkers, signal });

  // A full run over all symbols rebuilds the manifest; what is no longer in bronze leaves it.
  const isKept = mode === 'full' && !symbols ? (symbol: string) => seen.has(symbol) : undefined;
  // First: what the manifest tells of is mostly there then. In whatever order they get there, bars are bound by their
  // digest to the version they are the end of, so those of another version cost a read and never make a wrong group.
  await updateRecentBars(store, recent, { isKept, signal });
  await updateManifest(store, entries, { base: manifest, isKept, signal });
  const warnings = manifest.damage ? [`manifest rebuilt: ${manifest.damage}`] : [];
  return { symbols: seen.size, ...counts, failed, warnings, metrics: store.metrics() };
}

/** The manifest's entry for a symbol that was consolidated. */
export function manifestEntry({ symbol, history, etag, daily }: SymbolConsolidation, updatedAt: number): ManifestEntry {
  return { symbol, ...history, etag, dailyFingerprint: fingerprintDaily(daily), updatedAt };
}

/** What the recent bars get of a symbol that was consolidated. */
export function recentEntry({ symbol, history, recent }: SymbolConsolidation): RecentEntry {
  return { symbol, digest: history.digest, bars: recent };
}

function isUnchanged({ symbol, data, daily }: SymbolFiles, { entries }: Manifest, retainFrom: number): boolean {
  const entry = entries.get(symbol);
  return (
    entry !== undefined &&
    entry.etag === data?.etag &&
    entry.dailyFingerprint === fingerprintDaily(daily) &&
    daily.every(({ session }) => session >= retainFrom)
  );
}
