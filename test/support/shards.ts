import { columnOf, decodeUtf8, type Utf8Values } from '../../src/lake/columns.ts';
import { parseSilverKey } from '../../src/lake/keys.ts';
import { decodeTable } from '../../src/lake/parquet-decode.ts';
import { SILVER_SCHEMA } from '../../src/lake/silver.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { type ResampleOptions, type ResampleResult, resample } from '../../src/resample/resample.ts';

/** Silver of a lake, in however many shards. */
export interface Silver {
  /** Interval, symbol and values of each group, in order. */
  readonly groups: readonly string[];
  /** The shards that a symbol has groups in, such as `0 of 4`. */
  readonly shards: ReadonlyMap<string, ReadonlySet<string>>;
  /** Digest of every file, by key. */
  readonly digests: Readonly<Record<string, string>>;
}

/** Resamples shard after shard. */
export async function resampleShards(
  store: ObjectStore,
  count: number,
  options: ResampleOptions,
): Promise<readonly ResampleResult[]> {
  const results: ResampleResult[] = [];
  for (let index = 0; index < count; index++) {
    results.push(await resample(store, { ...options, shard: { index, count } }));
  }
  return results;
}

export async function readSilver(store: ObjectStore, intervals: readonly number[]): Promise<Silver> {
  const groups: string[] = [];
  const shards = new Map<string, Set<string>>();
  const digests: Record<string, string> = {};
  for (const interval of intervals) {
    for await (const { key } of store.list(`silver/silver_${interval}d/`)) {
      const { columns, digest } = decodeTable(SILVER_SCHEMA, (await store.get(key)).body, key);
      digests[key] = digest;
      const { shard } = parseSilverKey(interval, key)!;
      const others = SILVER_SCHEMA.filter(({ name }) => name !== 'symbol').map(({ name }) => {
        return columnOf<Float64Array>(SILVER_SCHEMA, columns, name);
      });
      decodeUtf8(columnOf<Utf8Values>(SILVER_SCHEMA, columns, 'symbol')).forEach((symbol, i) => {
        const places = shards.get(symbol) ?? new Set();
        shards.set(symbol, places.add(`${shard.index} of ${shard.count}`));
        groups.push(`${interval} ${symbol} ${others.map((values) => values[i]).join(' ')}`);
      });
    }
  }
  return { groups: groups.sort(), shards, digests };
}
