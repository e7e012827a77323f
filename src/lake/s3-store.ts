import { randomUUID } from 'node:crypto';
import { BatchLayerError, hasCode } from '../errors.ts';
import { untilAborted } from './abortable.ts';
import { type S3Location, s3Objects } from './s3-objects.ts';
import type { ObjectStore, StoreCall } from './store.ts';
import { type RetryOptions, withRetry } from './with-retry.ts';

export interface S3StoreOptions extends S3Location, RetryOptions {}

/**
 * A store in an S3 bucket, on AWS or a server that honours conditional writes as AWS does.
 *
 * Failures that may pass are tried again ({@link withRetry}); every request ends within a bounded time. Before the first
 * conditional write the store is probed: one that takes no notice of conditions loses bars when two runs meet.
 *
 * @throws BatchLayerError `BadInput`, at first use, for a bucket or credentials that are wrong, and a store that ignores
 *   conditions
 *
 * @example
 * const store = s3Store({ bucket: 'market-data', prefix: 'lake', region: 'eu-central-1' });
 */
export function s3Store({ maxAttempts, attemptTimeoutMs, clock, random, ...location }: S3StoreOptions): ObjectStore {
  const objects = s3Objects(location, { requestTimeoutMs: attemptTimeoutMs });
  const store = withRetry(objects, { maxAttempts, attemptTimeoutMs, clock, random });
  let probed: Promise<void> | undefined;
  // Not under the signal of the call that comes first: others may be waiting for it too.
  const probe = ({ onRequest, signal }: StoreCall = {}): Promise<void> => {
    probed ??= checkHonoursConditions(store, location.bucket, { onRequest }).catch((error) => {
      // A store that ignores conditions will not learn it.
      if (!hasCode(error, 'BadInput')) probed = undefined;
      throw error;
    });
    return untilAborted(probed, signal);
  };
  return {
    ...store,
    async put(key, body, call) {
      if (call?.ifMatch !== undefined || call?.ifNoneMatch !== undefined) await probe(call);
      return store.put(key, body, call);
    },
    async putStream(key, chunks, call) {
      if (call?.ifMatch !== undefined || call?.ifNoneMatch !== undefined) await probe(call);
      return store.putStream(key, chunks, call);
    },
    async delete(key, call) {
      if (call?.ifMatch !== undefined) await probe(call);
      return store.delete(key, call);
    },
    async deleteAll(deletions, call) {
      if (deletions.some(({ ifMatch }) => ifMatch !== undefined)) await probe(call);
      return store.deleteAll(deletions, call);
    },
  };
}

/** Writes an object under conditions that do not hold; a store that lets it has no conditions. */
async function checkHonoursConditions(store: ObjectStore, bucket: string, call: StoreCall): Promise<void> {
  const key = `.batch-layer/probe-${randomUUID()}`;
  const body = new TextEncoder().encode(key);
  await store.put(key, body, { ...call, ifNoneMatch: '*' });
  try {
    const wrong = `"${'0'.repeat(32)}"`;
    const attempts: Record<string, () => Promise<unknown>> = {
      'If-None-Match of a PUT': () => store.put(key, body, { ...call, ifNoneMatch: '*' }),
      'If-Match of a PUT': () => store.put(key, body, { ...call, ifMatch: wrong }),
      'If-Match of a DELETE': () => store.delete(key, { ...call, ifMatch: wrong }),
      'the ETag of a multi-object DELETE': async () => {
        const [failure] = await store.deleteAll([{ key, ifMatch: wrong }], call);
        if (failure) throw failure;
      },
    };
    for (const [condition, attempt] of Object.entries(attempts)) {
      const isHonoured = await attempt().then(
        () => false,
        (error) => {
          if (hasCode(error, 'Conflict')) return true;
          throw error;
        },
      );
      if (!isHonoured) {
        const advice =
          'runs at the same time would lose bars; use a store that honours conditional writes, as AWS S3 does';
        throw new BatchLayerError('BadInput', `s3://${bucket}: this store ignores ${condition}: ${advice}`);
      }
    }
  } finally {
    await store.delete(key, call);
  }
}
