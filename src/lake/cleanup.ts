import { hasCode } from '../errors.ts';
import { type DailyVersion, readConsolidated } from './consolidated.ts';
import { mapAll } from './map-all.ts';
import type { ObjectStore, StoreCall } from './store.ts';
import type { DailyFile } from './symbol-files.ts';

const CONCURRENT_DELETES = 8;

/**
 * Deletes those of a symbol's daily files that its `data.parquet`, read back now, proves to have applied: this very
 * version is recorded there, or its content is, and the session is among the bars.
 *
 * Commit point: a DELETE of the version listed; one that was replaced meanwhile stays.
 *
 * @param read daily files that were read in this run, with their digests
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
  if (proof === undefined) return [];
  const sessions = new Set(proof.bars.session);
  const covered = candidates.filter(({ session, etag }) => {
    const applied = proof.applied.get(session);
    const digest = read.find((file) => file.session === session && file.etag === etag)?.digest;
    return sessions.has(session) && applied && (applied.etag === etag || applied.digest === digest);
  });
  const deleted = await mapAll(covered, (file) => deleteVersion(store, file, signal), {
    concurrency: CONCURRENT_DELETES,
    signal,
  });
  return deleted.filter((file) => file !== undefined);
}

async function deleteVersion(
  store: ObjectStore,
  file: DailyFile,
  signal?: AbortSignal,
): Promise<DailyFile | undefined> {
  try {
    await store.delete(file.key, { ifMatch: file.etag, signal });
    return file;
  } catch (error) {
    if (hasCode(error, 'Conflict')) return undefined;
    throw error;
  }
}
