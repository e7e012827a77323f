import { hasCode } from '../errors.ts';
import { checkpointKey } from '../lake/keys.ts';
import { conditionOf, type ObjectStore, orNone, type StoreCall } from '../lake/store.ts';
import { type Checkpoint, type Claim, emptyCheckpoint, putCheckpoint, readCheckpoint } from './checkpoint.ts';
import { highestEpoch } from './month-files.ts';

const MAX_ATTEMPTS = 10;
const READS_BEFORE_FORCE = 2;

/**
 * Begins a run: takes the next epoch by compare-and-swap, above that of the checkpoint and, where there is none (or it is
 * not to be believed), above any that the month files carry.
 *
 * @param force take the interval over also from a damaged checkpoint, or one that is older than the files
 * @throws BatchLayerError `CorruptObject` for a damaged checkpoint, unless forced
 */
export async function claimEpoch(
  store: ObjectStore,
  interval: number,
  { force = false, signal }: StoreCall & { readonly force?: boolean } = {},
): Promise<Claim> {
  for (let attempt = 1; ; attempt++) {
    const found = await findCheckpoint(store, interval, { force, signal });
    const known = found?.checkpoint?.epoch ?? 0;
    const isCertain = found?.checkpoint !== undefined && !force;
    const highest = isCertain ? known : Math.max(known, await highestEpoch(store, interval, { signal }));
    const before = found?.checkpoint ?? emptyCheckpoint(interval);
    const checkpoint: Checkpoint = { ...before, epoch: highest + 1, state: 'running' };
    try {
      return { checkpoint, etag: await putCheckpoint(store, checkpoint, { ...conditionOf(found?.etag), signal }) };
    } catch (error) {
      if (!hasCode(error, 'Conflict') || attempt === MAX_ATTEMPTS) throw error;
    }
  }
}

async function findCheckpoint(
  store: ObjectStore,
  interval: number,
  { force, signal }: StoreCall & { readonly force: boolean },
): Promise<{ readonly checkpoint?: Checkpoint; readonly etag: string } | undefined> {
  // What was damaged on the way is sound when it is read again.
  for (let read = 1; ; read++) {
    try {
      return await readCheckpoint(store, interval, { signal });
    } catch (error) {
      if (!force || !hasCode(error, 'CorruptObject')) throw error;
    }
    if (read === READS_BEFORE_FORCE) break;
  }
  const damaged = await orNone(store.head(checkpointKey(interval), { signal }));
  return damaged && { etag: damaged.etag };
}
