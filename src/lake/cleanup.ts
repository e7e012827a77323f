import { hasCode } from '../errors.ts';
import { type Consolidated, type DailyVersion, isApplied, readConsolidated } from './consolidated.ts';
import type { ObjectStore, StoreCall } from './store.ts';
import type { DailyFile } from './symbol-files.ts';

/**
 * Those of a symbol's daily files that its `data.parquet` proves to have applied: this very write is recorded there,
 * and the session is among the bars. Pure.
 *
 * @param read daily files that were read in this run, with what is in them
 */
export function planCleanup(
  proof: Consolidated,
  candidates: readonly DailyFile[],
  read: readonly (DailyVersion & { readonly session: number })[],
): DailyFile[] {
  const sessions = new Set(proof.bars.session);
  const found = new Map(read.map((file) => [`${file.session} ${file.etag}`, file]));
  return candidates.filter(({ session, etag }) => {
    const file = found.get(`${session} ${etag}`) ?? { etag };
    return sessions.has(session) && isApplied(proof.applied.get(session), file);
  });
}

/**
 * Deletes those of a symbol's daily files that its `data.parquet`, read back now, proves to have applied.
 *
 * @returns the files that were deleted
 */
export async function deleteCovered(
  store: ObjectStore,
  symbol: string,
  candidates: readonly DailyFile[],
  read: readonly (DailyVersion & { readonly session: number })[],
  { signal }: StoreCall = {},
): Promise<DailyFile[]> {
  if (candidates.length === 0) return [];
  const proof = await readConsolidated(store, symbol, { signal });
  return proof === undefined ? [] : deleteVersions(store, planCleanup(proof, candidates, read), { signal });
}

/**
 * Commit point: a DELETE of the versions listed; one that was replaced meanwhile stays.
 *
 * @returns the files that were deleted
 */
export async function deleteVersions(
  store: ObjectStore,
  files: readonly DailyFile[],
  call: StoreCall = {},
): Promise<DailyFile[]> {
  const outcomes = await store.deleteAll(
    files.map(({ key, etag }) => ({ key, ifMatch: etag })),
    call,
  );
  const failure = outcomes.find((outcome) => outcome && !hasCode(outcome, 'Conflict'));
  if (failure) throw failure;
  return files.filter((_, i) => outcomes[i] === undefined);
}
