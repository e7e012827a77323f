import type { Bars } from '../bars.ts';
import { BatchLayerError } from '../errors.ts';
import { manifestEntry, recentEntry } from '../lake/consolidate.ts';
import {
  type ConsolidateSymbolOptions,
  consolidateSymbol,
  type SymbolConsolidation,
} from '../lake/consolidate-symbol.ts';
import { type ManifestEntry, updateManifest } from '../lake/manifest.ts';
import { type RecentEntry, updateRecentBars } from '../lake/recent-bars.ts';
import type { ObjectStore, StoreCall } from '../lake/store.ts';
import type { SymbolFiles } from '../lake/symbol-files.ts';
import type { Codec } from '../lake/wasm.ts';
import { sessionAt } from '../session.ts';

/** What became of a symbol's `data.parquet`. */
export type ImportOutcome = 'created' | 'replaced' | 'unchanged';

/** What filling up a symbol's history came to. */
export interface FillOutcome extends Pick<SymbolConsolidation, 'kept' | 'etag'> {
  readonly outcome: ImportOutcome;
}

/** Brings bars of many symbols straight into their `data.parquet`. */
export interface BulkImport {
  /** Merges bars into a symbol's history; they win over what is there. */
  add(files: SymbolFiles, bars: Bars): Promise<ImportOutcome>;
  /** Takes over bars, one at least, for the sessions that a symbol's history has none of; what is there stays. */
  fill(files: SymbolFiles, bars: Bars): Promise<FillOutcome>;
  /** Brings the indexes up to what was added. */
  finish(): Promise<void>;
}

/** Opens a bulk import: consolidations with bars in hand, and the indexes written once for all of them. */
export function openBulkImport(
  store: ObjectStore,
  { now, codec, signal }: StoreCall & { readonly now: () => number; readonly codec?: Codec | undefined },
): BulkImport {
  const entries: ManifestEntry[] = [];
  const recent: RecentEntry[] = [];
  const merge = async (files: SymbolFiles, bars: Pick<ConsolidateSymbolOptions, 'imported' | 'filled'>) => {
    const result = await consolidateSymbol(store, files, { ...bars, today: sessionAt(now()), codec, signal });
    if (!result) return undefined;
    entries.push(manifestEntry(result, now()));
    recent.push(recentEntry(result));
    return result;
  };
  return {
    async add(files, bars) {
      return outcomeOf(files, await merge(files, { imported: bars }));
    },
    async fill(files, bars) {
      const result = await merge(files, { filled: bars });
      if (!result) throw new BatchLayerError('BadInput', `${files.symbol}: no bars to fill its history with`);
      return { outcome: outcomeOf(files, result), kept: result.kept, etag: result.etag };
    },
    async finish() {
      // In the order and for the reasons of consolidate.
      await updateRecentBars(store, recent.splice(0), { signal });
      const added = entries.splice(0);
      if (added.length > 0) await updateManifest(store, added, { signal });
    },
  };
}

function outcomeOf(files: SymbolFiles, result: SymbolConsolidation | undefined): ImportOutcome {
  if (!result?.written) return 'unchanged';
  return files.data ? 'replaced' : 'created';
}
