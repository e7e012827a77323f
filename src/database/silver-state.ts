import { BatchLayerError } from '../errors.ts';
import { checkpointKey, parseCheckpointKey } from '../lake/keys.ts';
import { mapAll } from '../lake/map-all.ts';
import type { Shard } from '../lake/shard.ts';
import type { ObjectInfo, ObjectStore, StoreCall } from '../lake/store.ts';
import { type Checkpoint, readCheckpoint } from '../resample/checkpoint.ts';

/** What the checkpoint of one shard says of its month files. */
export interface ShardState {
  readonly shard: Shard;
  readonly etag: string;
  readonly isRunning: boolean;
  /** Month files by month (YYYYMM); `undefined` where no run of the shard has committed. */
  readonly files: Checkpoint['files'] | undefined;
}

/** What there is of an interval's silver, by key of the checkpoint that says so. */
export type SilverState = ReadonlyMap<string, ShardState>;

/** The parts that silver of an interval is divided into. */
export interface Division {
  readonly count: number;
  /** Month files of those parts that have committed, by index. */
  readonly shards: ReadonlyMap<number, Checkpoint['files']>;
  readonly isComplete: boolean;
}

const CONCURRENT_READS = 8;

/** Reads what there is of an interval's silver now. */
export type ReadSilverState = (call?: StoreCall) => Promise<SilverState>;

/**
 * Reads the checkpoints of an interval, of whatever shards there are; of those that have not changed since the last time only
 * the listing.
 *
 * The function it gives throws BatchLayerError `CorruptObject` where a checkpoint is damaged.
 */
export function silverStateReader(store: ObjectStore, interval: number): ReadSilverState {
  const prefix = checkpointKey(interval).replace(/\.json$/, '');
  let known: SilverState = new Map();
  return async ({ signal } = {}) => {
    const read = async ({ key, etag }: ObjectInfo) => {
      const parsed = parseCheckpointKey(key);
      if (parsed?.interval !== interval) return [];
      const state = known.get(key);
      if (state?.etag === etag) return [[key, state] as const];
      const found = await readCheckpoint(store, interval, { shard: parsed.shard, signal });
      return found ? [[key, stateOf(found.checkpoint, found.etag)] as const] : [];
    };
    const listed = store.list(prefix, { signal });
    known = new Map((await mapAll(listed, read, { concurrency: CONCURRENT_READS, signal })).flat());
    return known;
  };
}

function stateOf({ shard, state, files }: Checkpoint, etag: string): ShardState {
  const isRunning = state === 'running';
  // The first run of a shard has claimed it and not committed: nothing is known of what it will have.
  const isKnown = !isRunning || Object.keys(files).length > 0;
  return { shard, etag, isRunning, files: isKnown ? files : undefined };
}

/**
 * The division that silver is in. While it is divided anew the old one holds as long as it is there, then none, until one shard
 * of the new one has committed.
 *
 * @throws BatchLayerError `CorruptObject` where there are two
 */
export function divisionOf(interval: number, state: SilverState): Division | undefined {
  const counts = [...new Set(Array.from(state.values(), ({ shard }) => shard.count))];
  const divisions = counts.map((count): Division => {
    const shards = [...state.values()].flatMap(({ shard, files }) => {
      return shard.count === count && files ? [[shard.index, files] as const] : [];
    });
    return { count, shards: new Map(shards), isComplete: shards.length === count };
  });
  const complete = divisions.filter(({ isComplete }) => isComplete);
  if (complete.length < 2) return complete[0] ?? (divisions.length === 1 ? divisions[0] : undefined);
  throw new BatchLayerError(
    'CorruptObject',
    `silver of ${interval} sessions is divided into ${counts.join(' and into ')}; run resample with --force-full, in every shard`,
  );
}
