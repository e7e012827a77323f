import { BatchLayerError, hasCode } from '../errors.ts';
import { mapAll } from './map-all.ts';

const CONCURRENT_DELETES = 8;

/** What a store tells of an object without reading it. */
export interface ObjectInfo {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** Names this version of the object; opaque, never used for another content. (On S3 the same bytes may get it again.) */
  readonly etag: string;
  /** What its writer gave as {@link PutCall.writeId}; told by `head` alone. */
  readonly writeId?: string | undefined;
}

/** A whole object, and the version that was read. */
export interface StoredObject {
  /** The caller's own: it may be changed, and given back. */
  readonly body: Uint8Array;
  readonly etag: string;
}

/** How requests to S3 are counted and priced; a multi-object delete is a DELETE, parts of an upload are PUTs. */
export type RequestKind = 'GET' | 'HEAD' | 'LIST' | 'PUT' | 'POST' | 'DELETE';

/** One request that went over the wire. */
export interface StoreRequest {
  readonly kind: RequestKind;
  /** Bytes of content, in either direction. */
  readonly bytesWritten: number;
  readonly bytesRead: number;
  /** Sent again because an earlier one failed. */
  readonly isRetry: boolean;
}

export interface StoreCall {
  readonly signal?: AbortSignal | undefined;
  /** Told each request of the call, failed ones too, by stores that have a wire. */
  readonly onRequest?: ((request: StoreRequest) => void) | undefined;
}

export interface RangeCall extends StoreCall {
  /** First byte. */
  readonly start: number;
  /** One past the last byte. */
  readonly end: number;
  /** Read this version only. */
  readonly ifMatch?: string | undefined;
}

export interface PutCall extends StoreCall {
  /** Replace this version only. */
  readonly ifMatch?: string | undefined;
  /** Create only. */
  readonly ifNoneMatch?: '*' | undefined;
  /**
   * Names this write. Stores whose answers can get lost keep it with the object, so that a writer that finds its
   * condition broken can tell whether it was by itself.
   */
  readonly writeId?: string | undefined;
  /**
   * The object can be made again, and who reads it would notice damage: a store need not wait until a crash of the machine
   * could not take it. It appears whole all the same.
   */
  readonly isDerived?: boolean | undefined;
}

export interface DeleteCall extends StoreCall {
  /** Delete this version only. */
  readonly ifMatch?: string | undefined;
}

export interface ListCall extends StoreCall {
  /** Only keys after this one. */
  readonly startAfter?: string | undefined;
}

/** One of many deletions. */
export interface Deletion {
  readonly key: string;
  /** Delete this version only. */
  readonly ifMatch?: string | undefined;
}

/**
 * Object storage, as far as the lake needs it: whole objects, replaced as a whole, under conditions.
 *
 * Every adapter holds to the same contract (`test/support/store-contract.ts`): reads see a whole version, old or new; a
 * condition that does not hold is a `Conflict`, also where a write needs an object that is missing; reading a missing
 * object is `NotFound`; keys are listed in ascending order of code units; an aborted call throws the signal's reason.
 */
export interface ObjectStore {
  get(key: string, call?: StoreCall): Promise<StoredObject>;
  getRange(key: string, call: RangeCall): Promise<Uint8Array>;
  head(key: string, call?: StoreCall): Promise<ObjectInfo>;
  /** @returns the etag of the version written */
  put(key: string, body: Uint8Array, call?: PutCall): Promise<string>;
  /** Writes chunks as they come; the object appears whole when they have ended, or not at all. */
  putStream(key: string, chunks: AsyncIterable<Uint8Array>, call?: PutCall): Promise<string>;
  /** Deleting a missing object is no error. */
  delete(key: string, call?: DeleteCall): Promise<void>;
  /**
   * Deletes many objects; one that cannot be deleted does not stop the others.
   *
   * @returns for each, in order, `undefined` where it is gone now, else why it is not
   */
  deleteAll(deletions: readonly Deletion[], call?: StoreCall): Promise<readonly (BatchLayerError | undefined)[]>;
  list(prefix: string, call?: ListCall): AsyncIterable<ObjectInfo>;
}

// Keys become file names and URLs: letters, digits and a few signs, no empty, `.` or `..` segment.
const KEY = /^(?!.*(?:^|\/)\.{1,2}(?:\/|$))[A-Za-z0-9._=-]+(?:\/[A-Za-z0-9._=-]+)*$/;
const PREFIX = /^(?!.*(?:^|\/)\.{1,2}\/)(?!\/)[A-Za-z0-9._=/-]*$/;
const MAX_KEY_LENGTH = 240;

/** @throws BatchLayerError `BadInput` for a key outside `A–Z a–z 0–9 . _ = -` segments, or longer than 240. */
export function checkKey(key: string): string {
  if (key.length > MAX_KEY_LENGTH || !KEY.test(key)) {
    throw new BatchLayerError(
      'BadInput',
      `"${key}" is not a key: expected segments of A–Z a–z 0–9 . _ = - joined by /`,
    );
  }
  return key;
}

/** @throws BatchLayerError `BadInput` for a prefix that no key can begin with */
export function checkPrefix(prefix: string): string {
  if (!PREFIX.test(prefix)) throw new BatchLayerError('BadInput', `"${prefix}" is not the prefix of a key`);
  return prefix;
}

/** {@link ObjectStore.deleteAll} where there is no faster way than one by one. */
export async function deleteEach(
  store: Pick<ObjectStore, 'delete'>,
  deletions: readonly Deletion[],
  call: StoreCall = {},
): Promise<readonly (BatchLayerError | undefined)[]> {
  for (const { key } of deletions) checkKey(key);
  const deleteOne = async ({ key, ifMatch }: Deletion): Promise<BatchLayerError | undefined> => {
    try {
      await store.delete(key, { ...call, ifMatch });
      return undefined;
    } catch (error) {
      if (error instanceof BatchLayerError) return error;
      throw error;
    }
  };
  return mapAll(deletions, deleteOne, { concurrency: CONCURRENT_DELETES, signal: call.signal });
}

/** The condition of a write over the version that was read, `undefined` = there was none. */
export function conditionOf(etag: string | undefined): { readonly ifMatch: string } | { readonly ifNoneMatch: '*' } {
  return etag === undefined ? { ifNoneMatch: '*' } : { ifMatch: etag };
}

/** The error of an object that is not there. */
export function notFound(key: string, cause?: unknown): BatchLayerError {
  return new BatchLayerError('NotFound', `${key}: no such object`, { cause });
}

/** What a read gives, or `undefined` where there is no such object. */
export async function orNone<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (hasCode(error, 'NotFound')) return undefined;
    throw error;
  }
}

/** The error of a condition that does not hold. */
export function conflict(key: string, expected: string | undefined, found: string | undefined): BatchLayerError {
  return new BatchLayerError(
    'Conflict',
    `${key}: expected ${expected === undefined ? 'no object' : `version ${expected}`}, found ${found === undefined ? 'none' : `version ${found}`}; read it again and plan again`,
  );
}

/** @throws Conflict unless the version found (`undefined` = none) is what the conditions ask for. */
export function checkConditions(key: string, found: string | undefined, call: PutCall): void {
  if (call.ifNoneMatch !== undefined && found !== undefined) throw conflict(key, undefined, found);
  if (call.ifMatch !== undefined && found !== call.ifMatch) throw conflict(key, call.ifMatch, found);
}
