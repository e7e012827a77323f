import { randomUUID } from 'node:crypto';
import { type Clock, systemClock } from '../clock.ts';
import { BatchLayerError, hasCode } from '../errors.ts';
import { type Deletion, type ObjectStore, orNone, type PutCall, type StoreCall } from './store.ts';

export interface RetryOptions {
  /** How often a call is tried in all. */
  readonly maxAttempts?: number;
  /** How long one try may take. A stream has as long as its source needs. */
  readonly attemptTimeoutMs?: number;
  readonly clock?: Clock;
  /** A number from 0 to 1. */
  readonly random?: () => number;
}

const BASE_DELAY_MS = 100;
const MAX_DELAY_MS = 10_000;

/**
 * A store that tries again, a bounded number of times, where `store` is `Unavailable`; the waits in between are of random
 * and growing length ("full jitter").
 *
 * A write whose answer was lost may have been applied. So each write has a name ({@link PutCall.writeId}): where a try
 * after the first finds its condition broken, the name kept with the object tells whether it was by this very write.
 *
 * @example withRetry(store, { maxAttempts: 3 })
 */
export function withRetry(
  store: ObjectStore,
  { maxAttempts = 6, attemptTimeoutMs = 60_000, clock = systemClock, random = Math.random }: RetryOptions = {},
): ObjectStore {
  const wait = (attempt: number, call: StoreCall): Promise<void> =>
    clock.sleep(random() * Math.min(MAX_DELAY_MS, BASE_DELAY_MS * 2 ** (attempt - 1)), call);

  async function retry<T, C extends StoreCall>(
    what: string,
    call: C,
    work: (call: C, attempt: number) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await withTimeout(what, retried(call, attempt), (timed) => work(timed, attempt));
      } catch (error) {
        if (!hasCode(error, 'Unavailable') || attempt === maxAttempts) throw error;
      }
      await wait(attempt, call);
    }
  }

  async function withTimeout<T, C extends StoreCall>(what: string, call: C, work: (call: C) => Promise<T>): Promise<T> {
    const ended = new AbortController();
    const late = new AbortController();
    const timeout = clock.sleep(attemptTimeoutMs, { signal: ended.signal }).then(
      () => late.abort(new BatchLayerError('Unavailable', `${what}: no answer within ${attemptTimeoutMs} ms`)),
      () => undefined,
    );
    try {
      const signal = call.signal ? AbortSignal.any([call.signal, late.signal]) : late.signal;
      return await work({ ...call, signal });
    } finally {
      ended.abort();
      await timeout;
    }
  }

  // What an earlier try may have done: the object carries its name.
  async function findOwn(key: string, writeId: string, call: StoreCall): Promise<string | undefined> {
    const found = await orNone(store.head(key, call));
    return found?.writeId === writeId ? found.etag : undefined;
  }

  return {
    get: (key, call = {}) => retry(key, call, (timed) => store.get(key, timed)),
    getRange: (key, call) => retry(key, call, (timed) => store.getRange(key, timed)),
    head: (key, call = {}) => retry(key, call, (timed) => store.head(key, timed)),
    put(key, body, call = {}) {
      const writeId = call.writeId ?? randomUUID();
      return retry(key, call, async (timed, attempt) => {
        try {
          return await store.put(key, body, { ...timed, writeId });
        } catch (error) {
          if (attempt === 1 || !hasCode(error, 'Conflict')) throw error;
          const own = await findOwn(key, writeId, timed);
          if (own === undefined) throw error;
          return own;
        }
      });
    },
    async putStream(key, chunks, call = {}) {
      const writeId = call.writeId ?? randomUUID();
      try {
        return await store.putStream(key, chunks, { ...call, writeId });
      } catch (error) {
        // The chunks are gone, so there is no other try; but the last answer alone may be what was lost.
        if (call.signal?.aborted || !hasCode(error, 'Conflict', 'Unavailable')) throw error;
        const own = await retry(key, call, (timed) => findOwn(key, writeId, timed));
        if (own === undefined) throw error;
        return own;
      }
    },
    delete: (key, call = {}) => retry(key, call, (timed) => store.delete(key, timed)),
    async deleteAll(deletions, call = {}) {
      const outcomes = new Map<Deletion, BatchLayerError | undefined>();
      let pending = deletions;
      const deletePending = async (timed: StoreCall): Promise<void> => {
        const found = await store.deleteAll(pending, timed);
        for (const [i, deletion] of pending.entries()) outcomes.set(deletion, found[i]);
        pending = pending.filter((deletion) => hasCode(outcomes.get(deletion), 'Unavailable'));
        if (pending.length > 0) throw outcomes.get(pending[0]!);
      };
      try {
        await retry('delete', call, deletePending);
      } catch (error) {
        if (!hasCode(error, 'Unavailable')) throw error;
        for (const deletion of pending) outcomes.set(deletion, error);
      }
      return deletions.map((deletion) => outcomes.get(deletion));
    },
    async *list(prefix, call = {}) {
      let { startAfter } = call;
      for (let attempt = 1; ; attempt++) {
        try {
          for await (const object of store.list(prefix, { ...retried(call, attempt), startAfter })) {
            yield object;
            startAfter = object.key;
            attempt = 1;
          }
          return;
        } catch (error) {
          if (!hasCode(error, 'Unavailable') || attempt === maxAttempts) throw error;
        }
        await wait(attempt, call);
      }
    },
  };
}

function retried<C extends StoreCall>(call: C, attempt: number): C {
  const { onRequest } = call;
  if (!onRequest || attempt === 1) return call;
  return { ...call, onRequest: (request) => onRequest({ ...request, isRetry: true }) };
}
