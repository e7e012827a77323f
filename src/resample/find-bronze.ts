import { BatchLayerError } from '../errors.ts';
import { type ManifestEntry, readManifest } from '../lake/manifest.ts';
import { isInShard, type Shard } from '../lake/shard.ts';
import type { ObjectStore, StoreCall } from '../lake/store.ts';
import { listSymbols } from '../lake/symbol-files.ts';
import { type FailedSymbol, failedSymbol } from '../progress.ts';
import { compareSymbols } from '../symbol.ts';

/** A symbol that has a `data.parquet`. */
export interface BronzeSymbol {
  readonly symbol: string;
  /** Bytes. */
  readonly size: number;
  /** What the manifest tells of this very version; `undefined` = only the object itself can tell. */
  readonly entry: ManifestEntry | undefined;
}

export interface Bronze {
  /** Ascending. */
  readonly symbols: readonly BronzeSymbol[];
  /** Symbols that have daily files only. */
  readonly unconsolidated: readonly string[];
  /** Symbols that were asked for and have no bars at all. */
  readonly unknown: readonly FailedSymbol[];
}

/** Finds what bronze has, by one listing and the manifest. */
export async function findBronze(
  store: ObjectStore,
  { chosen, shard, signal }: StoreCall & { readonly chosen: readonly string[] | undefined; readonly shard: Shard },
): Promise<Bronze> {
  const wanted = chosen && new Set(chosen.filter((symbol) => isInShard(symbol, shard)));
  const { entries } = await readManifest(store, { signal });
  const symbols: BronzeSymbol[] = [];
  const unconsolidated: string[] = [];
  for await (const { symbol, data } of listSymbols(store, { signal })) {
    if (!isInShard(symbol, shard)) continue;
    const isWanted = wanted?.delete(symbol) ?? true;
    if (data) {
      const entry = entries.get(symbol);
      symbols.push({ symbol, size: data.size, entry: entry?.etag === data.etag ? entry : undefined });
    } else if (isWanted) unconsolidated.push(symbol);
  }
  const unknown = [...(wanted ?? [])].map((symbol) =>
    failedSymbol(symbol, new BatchLayerError('NotFound', `${symbol}: has no bars in bronze`)),
  );
  return { symbols: symbols.sort((a, b) => compareSymbols(a.symbol, b.symbol)), unconsolidated, unknown };
}
