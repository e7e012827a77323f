import type { Bars } from '../bars.ts';
import { manifestEntry, recentEntry } from '../lake/consolidate.ts';
import { consolidateSymbol } from '../lake/consolidate-symbol.ts';
import { type ManifestEntry, updateManifest } from '../lake/manifest.ts';
import { type RecentEntry, updateRecentBars } from '../lake/recent-bars.ts';
import type { ObjectStore, StoreCall } from '../lake/store.ts';
import type { SymbolFiles } from '../lake/symbol-files.ts';
import type { Codec } from '../lake/wasm.ts';
import { sessionAt } from '../session.ts';

/** What became of a symbol's `data.parquet`. */
export type ImportOutcome = 'created' | 'replaced' | 'unchanged';

/** Brings bars of many symbols straight into their `data.parquet`. */
export interface BulkImport {
  /** Merges bars into a symbol's history; they win over what is there. */
  add(files: SymbolFiles, bars: Bars): Promise<ImportOutcome>;
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
  return {
    async add(files, bars) {
      const result = await consolidateSymbol(store, files, { imported: bars, today: sessionAt(now()), codec, signal });
      if (!result) return 'unchanged';
      entries.push(manifestEntry(result, now()));
      recent.push(recentEntry(result));
      if (!result.written) return 'unchanged';
      return files.data ? 'replaced' : 'created';
    },
    async finish() {
      // In the order and for the reasons of consolidate.
      await updateRecentBars(store, recent.splice(0), { signal });
      const added = entries.splice(0);
      if (added.length > 0) await updateManifest(store, added, { signal });
    },
  };
}
