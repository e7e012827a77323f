import { BatchLayerError, hasCode } from '../errors.ts';
import {
  checkpointKey,
  PROCESSING_PREFIX,
  parseCheckpointKey,
  parseSilverKey,
  silverKey,
  silverPrefix,
} from '../lake/keys.ts';
import { mapAll } from '../lake/map-all.ts';
import type { Shard } from '../lake/shard.ts';
import { type ObjectInfo, type ObjectStore, orNone, type StoreCall } from '../lake/store.ts';
import { parseMonth, sessionFrom } from '../session.ts';
import type { HistoryState } from './changed-rows.ts';
import { type Checkpoint, emptyCheckpoint, readCheckpoint, type StoredCheckpoint } from './checkpoint.ts';
import { readFileState } from './file-state.ts';

const READS_BEFORE_FORCE = 2;
/** More runs than there will ever be: a damaged checkpoint does not tell its epoch, and a run that has it may not have written yet. */
const EPOCHS_UNKNOWN = 1_000_000;
const CONCURRENT_READS = 8;

/** What there is of an interval (or of a shard of it) before a run. */
export interface IntervalState {
  /** As of the last commit; empty where there is none. */
  readonly checkpoint: Checkpoint;
  /** The version of the checkpoint to claim the interval over, also of a damaged one; `undefined` = none. */
  readonly etag: string | undefined;
  /** Above every epoch that was ever used. */
  readonly nextEpoch: number;
  /** What the groups of each symbol were made of. */
  readonly histories: ReadonlyMap<string, HistoryState>;
  /** Month files as listed: version by month. */
  readonly listed: ReadonlyMap<number, string>;
  /** Months whose file is not, or may not be, the one that was committed. */
  readonly suspects: ReadonlySet<number>;
  /** Month files and checkpoints of another number of shards. */
  readonly others: readonly ObjectInfo[];
}

/**
 * Looks at an interval: its checkpoint, and whether the month files are those that were committed.
 *
 * @param force take the interval over also from a damaged checkpoint, or another number of shards
 * @throws BatchLayerError `CorruptObject` for a damaged checkpoint and `BadInput` for another number of shards, unless forced
 */
export async function readIntervalState(
  store: ObjectStore,
  interval: number,
  { shard, force, signal }: StoreCall & { readonly shard: Shard; readonly force: boolean },
): Promise<IntervalState> {
  const found = await findCheckpoint(store, interval, { shard, force, signal });
  const { listed, others } = await listMonths(store, interval, { shard, signal });
  const otherCheckpoints = others.length > 0 ? await listCheckpoints(store, interval, { shard, signal }) : [];
  // Files of a division that has no checkpoint, while this one has, are what a fenced run of it left behind.
  const isDivided = others.length > 0 && (otherCheckpoints.length > 0 || !found);
  if (isDivided && !force) throw otherShards(interval, shard, others[0]!.key);
  const checkpoint = found?.checkpoint ?? emptyCheckpoint(interval, shard);
  const isDamaged = found !== undefined && found.checkpoint === undefined;
  const recorded = new Map(Object.entries(checkpoint.files).map(([name, file]) => [parseMonth(name), file]));
  const suspects = new Set([...recorded.keys()].filter((month) => !listed.has(month)));
  let highest = checkpoint.epoch;
  const checkFile = async ([month, etag]: readonly [number, string]): Promise<void> => {
    const file = recorded.get(month);
    if (file?.etag === etag) return;
    const state = await readFileState(store, silverKey(interval, month, shard), { signal });
    // In a copied lake it is another version of the same content.
    if (!file || state.digest !== file.digest) suspects.add(month);
    highest = Math.max(highest, state.epoch);
  };
  await mapAll(listed, checkFile, { concurrency: CONCURRENT_READS, signal });
  return {
    checkpoint,
    etag: found?.etag,
    nextEpoch: highest + (isDamaged ? EPOCHS_UNKNOWN : 1),
    histories: parseHistories(checkpoint),
    listed,
    suspects,
    others: [...others, ...otherCheckpoints],
  };
}

/** The month files of an interval (or of a shard of it) as listed, and those of another number of shards. */
export async function listMonths(
  store: ObjectStore,
  interval: number,
  { shard, ...call }: StoreCall & { readonly shard: Shard },
): Promise<{ readonly listed: Map<number, string>; readonly others: ObjectInfo[] }> {
  const listed = new Map<number, string>();
  const others: ObjectInfo[] = [];
  for await (const object of store.list(silverPrefix(interval), call)) {
    const parsed = parseSilverKey(interval, object.key);
    if (parsed === undefined) continue;
    if (parsed.shard.count !== shard.count) others.push(object);
    else if (parsed.shard.index === shard.index) listed.set(parsed.month, object.etag);
  }
  return { listed, others };
}

async function listCheckpoints(
  store: ObjectStore,
  interval: number,
  { shard, signal }: StoreCall & { readonly shard: Shard },
): Promise<ObjectInfo[]> {
  const checkpoints: ObjectInfo[] = [];
  for await (const object of store.list(PROCESSING_PREFIX, { signal })) {
    const parsed = parseCheckpointKey(object.key);
    if (parsed?.interval === interval && parsed.shard.count !== shard.count) checkpoints.push(object);
  }
  return checkpoints;
}

/** What the groups of each symbol were made of, by a checkpoint. */
export function parseHistories({ symbols }: Checkpoint): Map<string, HistoryState> {
  return new Map(
    Object.entries(symbols).map(([symbol, text]) => {
      const [rows, first, last, digest] = text.split(' ') as [string, string, string, string];
      return [symbol, { rows: Number(rows), firstSession: sessionFrom(first), lastSession: sessionFrom(last), digest }];
    }),
  );
}

async function findCheckpoint(
  store: ObjectStore,
  interval: number,
  { shard, force, signal }: StoreCall & { readonly shard: Shard; readonly force: boolean },
): Promise<(Partial<StoredCheckpoint> & Pick<StoredCheckpoint, 'etag'>) | undefined> {
  // What was damaged on the way is sound when it is read again.
  for (let read = 1; ; read++) {
    try {
      return await readCheckpoint(store, interval, { shard, signal });
    } catch (error) {
      if (!force || !hasCode(error, 'CorruptObject')) throw error;
    }
    if (read === READS_BEFORE_FORCE) break;
  }
  const damaged = await orNone(store.head(checkpointKey(interval, shard), { signal }));
  return damaged && { etag: damaged.etag };
}

function otherShards(interval: number, { count }: Shard, key: string): BatchLayerError {
  return new BatchLayerError(
    'BadInput',
    `silver of ${interval} sessions is divided otherwise than into ${count} (${key}); to divide it anew, run resample with --force-full, in every shard`,
  );
}
