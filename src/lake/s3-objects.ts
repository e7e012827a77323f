import type { S3Client } from '@aws-sdk/client-s3';
import { BatchLayerError, hasCode } from '../errors.ts';
import { mapAll } from './map-all.ts';
import { openS3, type S3Connection, sendOnce, sendOptions, settle } from './s3-client.ts';
import { etagOf, noAnswer } from './s3-errors.ts';
import { type ReadCall, readObject } from './s3-read.ts';
import { uploadParts } from './s3-upload.ts';
import {
  checkKey,
  checkPrefix,
  conflict,
  type Deletion,
  type ObjectInfo,
  type ObjectStore,
  orNone,
  type PutCall,
  type StoreCall,
} from './store.ts';

export interface S3Location extends S3Connection {
  readonly bucket: string;
  /** Before every key, without a slash at its end. */
  readonly prefix?: string | undefined;
  /** KMS key (id, alias or ARN) that objects are encrypted with (SSE-KMS); else as the bucket says. */
  readonly kmsKeyId?: string | undefined;
}

const WRITE_ID = 'write-id';
const MAX_BATCH = 1000;
const CONCURRENT_HEADS = 8;
const REQUEST_TIMEOUT_MS = 30_000;
/** How often the SDK sends a part of an upload, which may be sent twice without harm. */
const PART_ATTEMPTS = 5;

/**
 * The objects of a bucket, each request sent once: what fails is `Unavailable`, and `withRetry` sends it again.
 *
 * Only parts of uploads, and ranges of a body that broke off, are sent again here.
 *
 * @param requestTimeoutMs how long a request goes without an answer at most, if that is less than 30 s
 */
export function s3Objects(
  { bucket, prefix = '', kmsKeyId, ...connection }: S3Location,
  { requestTimeoutMs = REQUEST_TIMEOUT_MS }: { readonly requestTimeoutMs?: number | undefined } = {},
): ObjectStore {
  const root = prefix === '' ? '' : `${checkKey(prefix)}/`;
  const encryption = kmsKeyId ? { ServerSideEncryption: 'aws:kms' as const, SSEKMSKeyId: kmsKeyId } : {};
  const timeouts = { requestTimeoutMs: Math.min(requestTimeoutMs, REQUEST_TIMEOUT_MS) };
  // The SDK is loaded and the connection made when it is first needed: lakes of files do without.
  const load = () => import('@aws-sdk/client-s3');
  let client: Promise<S3Client> | undefined;
  let uploader: Promise<S3Client> | undefined;
  const open = async () => {
    client ??= openS3(connection, { maxAttempts: 1, ...timeouts });
    return { client: await client, sdk: await load() };
  };
  const place = (key: string) => ({ Bucket: bucket, Key: `${root}${checkKey(key)}` });
  const writing = ({ ifMatch, ifNoneMatch, writeId }: PutCall) => ({
    ...encryption,
    ...(ifMatch === undefined ? {} : { IfMatch: ifMatch }),
    ...(ifNoneMatch === undefined ? {} : { IfNoneMatch: ifNoneMatch }),
    ...(writeId === undefined ? {} : { Metadata: { [WRITE_ID]: writeId } }),
  });

  const read = (key: string, call: ReadCall) =>
    readObject(key, call, ({ start, end, ifMatch, ...rest }) => {
      const input = {
        ...place(key),
        ...(start === undefined ? {} : { Range: `bytes=${start}-${end === undefined ? '' : end - 1}` }),
        ...(ifMatch === undefined ? {} : { IfMatch: ifMatch }),
      };
      return sendOnce(key, rest, async () => {
        const { client, sdk } = await open();
        return client.send(new sdk.GetObjectCommand(input), sendOptions(rest));
      });
    });

  const store: ObjectStore = {
    get: (key, call = {}) => read(key, call),
    async getRange(key, { start, end, ...call }) {
      checkKey(key);
      if (end <= start) return new Uint8Array();
      try {
        return (await read(key, { start, end, ...call })).body;
      } catch (error) {
        // 416: the range begins behind the end.
        if (hasCode(error, 'BadInput') && statusOf(error.cause) === 416) return new Uint8Array();
        throw error;
      }
    },
    async head(key, call = {}) {
      const found = await sendOnce(checkKey(key), call, async () => {
        const { client, sdk } = await open();
        return client.send(new sdk.HeadObjectCommand(place(key)), sendOptions(call));
      });
      const writeId = found.Metadata?.[WRITE_ID];
      return {
        key,
        size: found.ContentLength ?? 0,
        etag: etagOf(found, key),
        ...(writeId === undefined ? {} : { writeId }),
      };
    },
    async put(key, body, call = {}) {
      const input = { ...place(key), ...writing(call), Body: body, ContentLength: body.length };
      const answer = await missingIsConflict(key, call.ifMatch, () =>
        sendOnce(key, call, async () => {
          const { client, sdk } = await open();
          return client.send(new sdk.PutObjectCommand(input), sendOptions(call));
        }),
      );
      return etagOf(answer, key);
    },
    async putStream(key, chunks, call = {}) {
      const input = { ...place(key), ...writing(call) };
      uploader ??= openS3(connection, { maxAttempts: PART_ATTEMPTS, ...timeouts });
      const client = await uploader;
      return missingIsConflict(key, call.ifMatch, () =>
        settle(key, call, () => uploadParts(client, input, chunks, call)),
      );
    },
    async delete(key, { ifMatch, ...call } = {}) {
      const input = { ...place(key), ...(ifMatch === undefined ? {} : { IfMatch: ifMatch }) };
      const send = () =>
        sendOnce(key, call, async () => {
          const { client, sdk } = await open();
          await client.send(new sdk.DeleteObjectCommand(input), sendOptions(call));
        });
      const failure = await send().catch((error) => error);
      if (failure !== undefined && !(await isGone(key, failure, call))) throw failure;
    },
    async deleteAll(deletions, call = {}) {
      for (const { key } of deletions) checkKey(key);
      const outcomes: (BatchLayerError | undefined)[] = [];
      for (let from = 0; from < deletions.length; from += MAX_BATCH) {
        const batch = deletions.slice(from, from + MAX_BATCH);
        const failBatch = (error: unknown) => {
          if (!hasCode(error, 'Unavailable')) throw error;
          return batch.map(() => error);
        };
        outcomes.push(...(await deleteBatch(batch, call).catch(failBatch)));
      }
      return outcomes;
    },
    async *list(prefix, { startAfter, ...call } = {}) {
      const input = {
        Bucket: bucket,
        Prefix: `${root}${checkPrefix(prefix)}`,
        ...(startAfter === undefined ? {} : { StartAfter: `${root}${startAfter}` }),
      };
      for (let token: string | undefined; ; ) {
        const page = await sendOnce(`list ${prefix}`, call, async () => {
          const { client, sdk } = await open();
          const command = new sdk.ListObjectsV2Command({ ...input, ...(token ? { ContinuationToken: token } : {}) });
          return client.send(command, sendOptions(call));
        });
        for (const { Key = '', Size = 0, ETag = '' } of page.Contents ?? []) {
          call.signal?.throwIfAborted();
          // Consoles make objects for folders, with a slash at the end.
          if (!Key.endsWith('/')) yield { key: Key.slice(root.length), size: Size, etag: ETag } satisfies ObjectInfo;
        }
        token = page.NextContinuationToken;
        if (page.IsTruncated === false) return;
        // What says neither is no listing: taken for one, it would make a lake look empty.
        if (!page.IsTruncated || !token) throw noAnswer(`list ${prefix}`, 'a listing');
      }
    },
  };

  async function deleteBatch(
    deletions: readonly Deletion[],
    call: StoreCall,
  ): Promise<readonly (BatchLayerError | undefined)[]> {
    const objects = deletions.map(({ key, ifMatch }) => ({
      Key: place(key).Key,
      ...(ifMatch === undefined ? {} : { ETag: ifMatch }),
    }));
    const { Errors = [], Deleted = [] } = await sendOnce(`delete ${deletions.length} objects`, call, async () => {
      const { client, sdk } = await open();
      const command = new sdk.DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects: objects } });
      return client.send(command, sendOptions(call));
    });
    const failures = new Map(Errors.map((error) => [error.Key, error]));
    const deleted = new Set(Deleted.map(({ Key }) => Key));
    const outcomeOf = async ({ key, ifMatch }: Deletion): Promise<BatchLayerError | undefined> => {
      const found = failures.get(place(key).Key);
      if (!found) return deleted.has(place(key).Key) ? undefined : noAnswer(key, 'what became of a deletion');
      const failure = deletionError(key, ifMatch, found);
      return (await isGone(key, failure, call)) ? undefined : failure;
    };
    return mapAll(deletions, outcomeOf, { concurrency: CONCURRENT_HEADS, signal: call.signal });
  }

  // Of a missing object, stores say that the condition does not hold, or that all is well.
  async function isGone(key: string, failure: unknown, call: StoreCall): Promise<boolean> {
    if (hasCode(failure, 'NotFound')) return true;
    return hasCode(failure, 'Conflict') && (await orNone(store.head(key, call))) === undefined;
  }

  return store;
}

function deletionError(
  key: string,
  ifMatch: string | undefined,
  { Code = '', Message = '' }: { readonly Code?: string | undefined; readonly Message?: string | undefined },
): BatchLayerError {
  if (/Precondition|NoSuchKey|NotFound/.test(Code)) return conflict(key, ifMatch, 'another');
  if (/AccessDenied|Invalid/.test(Code)) return new BatchLayerError('BadInput', `${key}: ${Code} ${Message}`);
  return new BatchLayerError('Unavailable', `${key}: cannot be deleted: ${Code} ${Message}; try again later`);
}

/** An object that had to be there for a condition is a conflict when it is not. */
async function missingIsConflict<T>(key: string, ifMatch: string | undefined, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (ifMatch !== undefined && hasCode(error, 'NotFound')) throw conflict(key, ifMatch, undefined);
    throw error;
  }
}

function statusOf(error: unknown): number | undefined {
  return (error as { readonly $metadata?: { readonly httpStatusCode?: number } } | undefined)?.$metadata
    ?.httpStatusCode;
}
