import { hasCode } from '../errors.ts';
import { checkpointKey } from '../lake/keys.ts';
import { conditionOf, type ObjectStore, orNone, type StoreCall } from '../lake/store.ts';
import { formatMonth } from '../session.ts';
import { type Checkpoint, fenced, putCheckpoint, type StoredCheckpoint } from './checkpoint.ts';
import type { IntervalState } from './interval-state.ts';

/** A claim on an interval: runs with a lower epoch are fenced off from now on. */
export type Claim = StoredCheckpoint;

/**
 * Begins to write: takes the next epoch, by compare-and-swap on the checkpoint that the run was planned on, and tells which
 * months will be written. A run that takes over from one that has not committed writes its months too, changed or not: each
 * then has another version, so that what the earlier run sent and has not arrived is refused.
 *
 * @throws BatchLayerError `Conflict` where another run was faster: plan again
 */
export async function claimInterval(
  store: ObjectStore,
  { checkpoint, etag, nextEpoch }: IntervalState,
  { months, signal }: StoreCall & { readonly months: readonly number[] },
): Promise<Claim> {
  const writing = [...new Set([...checkpoint.writing, ...months.map(formatMonth)])].sort();
  const claimed: Checkpoint = { ...checkpoint, epoch: nextEpoch, state: 'running', writing };
  return { checkpoint: claimed, etag: await putCheckpoint(store, claimed, { ...conditionOf(etag), signal }) };
}

/**
 * Commit point: the checkpoint, over the version this run claimed.
 *
 * @throws BatchLayerError `Fenced` where another run has claimed the interval meanwhile
 */
export async function commitInterval(
  store: ObjectStore,
  claim: Claim,
  figures: Omit<Checkpoint, 'version' | 'interval' | 'shard' | 'epoch' | 'state' | 'writing'>,
  { signal }: StoreCall = {},
): Promise<void> {
  try {
    const checkpoint: Checkpoint = { ...claim.checkpoint, ...figures, state: 'committed', writing: [] };
    await putCheckpoint(store, checkpoint, { ifMatch: claim.etag, signal });
  } catch (error) {
    if (!hasCode(error, 'Conflict')) throw error;
    throw fenced(keyOf(claim), claim.checkpoint.epoch, error);
  }
}

/**
 * Checks that a run's claim still stands.
 *
 * @throws BatchLayerError `Fenced` where another run has claimed the interval
 */
export async function checkClaim(store: ObjectStore, claim: Claim, call?: StoreCall): Promise<void> {
  const found = await orNone(store.head(keyOf(claim), call));
  if (found?.etag !== claim.etag) throw fenced(keyOf(claim), claim.checkpoint.epoch);
}

function keyOf({ checkpoint: { interval, shard } }: Claim): string {
  return checkpointKey(interval, shard);
}
