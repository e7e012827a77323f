import { type BatchLayerError, hasCode } from '../errors.ts';
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

/** What became of files that were to be deleted; what is in neither was replaced meanwhile. */
export interface Cleanup {
  readonly deleted: readonly DailyFile[];
  readonly failed: readonly { readonly file: DailyFile; readonly error: BatchLayerError }[];
}

/** Deletes those of a symbol's daily files that its `data.parquet`, read back now, proves to have applied. */
export async function deleteCovered(
  store: ObjectStore,
  symbol: string,
  candidates: readonly DailyFile[],
  read: readonly (DailyVersion & { readonly session: number })[],
  { signal }: StoreCall = {},
): Promise<Cleanup> {
  const proof = candidates.length > 0 ? await readConsolidated(store, symbol, { signal }) : undefined;
  if (proof === undefined) return { deleted: [], failed: [] };
  return deleteVersions(store, planCleanup(proof, candidates, read), { signal });
}

/** Commit point: a DELETE of the versions listed; one that was replaced meanwhile stays. */
export async function deleteVersions(
  store: ObjectStore,
  files: readonly DailyFile[],
  call: StoreCall = {},
): Promise<Cleanup> {
  const outcomes = await store.deleteAll(
    files.map(({ key, etag }) => ({ key, ifMatch: etag })),
    call,
  );
  const deleted = files.filter((_, i) => outcomes[i] === undefined);
  const failed = files.flatMap((file, i) => {
    const error = outcomes[i];
    return error && !hasCode(error, 'Conflict') ? [{ file, error }] : [];
  });
  return { deleted, failed };
}
