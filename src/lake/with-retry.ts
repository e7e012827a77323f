import { randomUUID } from 'node:crypto';
import { type Clock, systemClock } from '../clock.ts';
import { BatchLayerError, hasCode } from '../errors.ts';
import { fullJitterMs, retryUnavailable, withTimeout } from '../retry.ts';
import { abortable } from './abortable.ts';
import { concatBytes } from './columns.ts';
import { checkConditions, type Deletion, type ObjectStore, orNone, type PutCall, type StoreCall } from './store.ts';

export interface RetryOptions {
  /** How often a call is tried in all. */
  readonly maxAttempts?: number | undefined;
  /** How long one try may take. A stream has as long as its source needs. */
  readonly attemptTimeoutMs?: number | undefined;
  readonly clock?: Clock | undefined;
  /** A number from 0 to 1. */
  readonly random?: (() => number) | undefined;
}

const BASE_DELAY_MS = 100;
const MAX_DELAY_MS = 10_000;
/** Deletions a request takes. */
const MAX_BATCH = 1000;
/** What a stream has at most to be kept, and so to be written again like any other object. */
const KEPT_BYTES = 8 * 2 ** 20;

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
  const delayMs = (attempt: number): number =>
    fullJitterMs(attempt, { baseMs: BASE_DELAY_MS, maxMs: MAX_DELAY_MS, random });

  function retry<T, C extends StoreCall>(what: string, call: C, work: (call: C) => Promise<T>): Promise<T> {
    const { signal } = call;
    const timing = { timeoutMs: attemptTimeoutMs, lateError: () => noAnswer(what), clock, signal };
    const attemptOnce = (attempt: number): Promise<T> =>
      withTimeout((timed) => work({ ...retried(call, attempt), signal: timed }), timing);
    return retryUnavailable(attemptOnce, { maxAttempts, delayMs, clock, signal });
  }

  // Of a listing each object is waited for; a timer for each would cost more than most of them.
  function watchProgress(what: string, call: StoreCall) {
    const ended = new AbortController();
    const late = new AbortController();
    let [received, isWaiting] = [0, false];
    const watch = async (): Promise<void> => {
      for (let before = -1; !late.signal.aborted; before = isWaiting ? received : -1) {
        await clock.sleep(attemptTimeoutMs, { signal: ended.signal });
        if (isWaiting && received === before) late.abort(noAnswer(what));
      }
    };
    watch().catch(() => undefined);
    return {
      signal: call.signal ? AbortSignal.any([call.signal, late.signal]) : late.signal,
      async *waitFor<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
        isWaiting = true;
        for await (const item of items) {
          received++;
          isWaiting = false;
          yield item;
          isWaiting = true;
        }
      },
      end: () => ended.abort(),
    };
  }

  function noAnswer(what: string): BatchLayerError {
    return new BatchLayerError('Unavailable', `${what}: no answer within ${attemptTimeoutMs} ms`);
  }

  // What an earlier try may have done: the object carries its name.
  async function findOwn(key: string, writeId: string, call: StoreCall): Promise<string | undefined> {
    const found = await orNone(store.head(key, call));
    return found?.writeId === writeId ? found.etag : undefined;
  }

  function put(key: string, body: Uint8Array, call: PutCall = {}): Promise<string> {
    const writeId = call.writeId ?? randomUUID();
    return retry(key, call, async (timed) => {
      try {
        return await store.put(key, body, { ...timed, writeId });
      } catch (error) {
        // Also of the first try: what is between here and there may send it twice.
        if (!hasCode(error, 'Conflict')) throw error;
        const own = await findOwn(key, writeId, timed);
        if (own === undefined) throw error;
        return own;
      }
    });
  }

  async function putOnce(key: string, chunks: AsyncIterable<Uint8Array>, call: PutCall): Promise<string> {
    const writeId = call.writeId ?? randomUUID();
    try {
      return await store.putStream(key, chunks, { ...call, writeId });
    } catch (error) {
      // The chunks are gone, so there is no other try; but the last answer alone may be what was lost.
      if (call.signal?.aborted || !hasCode(error, 'Conflict', 'Unavailable')) throw error;
      const found = await retry(key, call, (timed) => orNone(store.head(key, timed)));
      if (found?.writeId === writeId) return found.etag;
      checkConditions(key, found?.etag, call);
      throw error;
    }
  }

  async function deleteBatch(
    deletions: readonly Deletion[],
    call: StoreCall,
  ): Promise<(BatchLayerError | undefined)[]> {
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
      call.signal?.throwIfAborted();
      if (!hasCode(error, 'Unavailable')) throw error;
      for (const deletion of pending) if (!outcomes.get(deletion)) outcomes.set(deletion, error);
    }
    return deletions.map((deletion) => outcomes.get(deletion));
  }

  return {
    get: (key, call = {}) => retry(key, call, (timed) => store.get(key, timed)),
    getRange: (key, call) => retry(key, call, (timed) => store.getRange(key, timed)),
    head: (key, call = {}) => retry(key, call, (timed) => store.head(key, timed)),
    put,
    async putStream(key, chunks, call = {}) {
      const source = abortable(chunks, call.signal);
      try {
        const { first, isWhole } = await takeBytes(source, KEPT_BYTES);
        if (isWhole) return await put(key, concatBytes(first), call);
        return await putOnce(key, follow(first, source), call);
      } finally {
        // Not waited for: a source that gives nothing does not end either.
        source.return(undefined).catch(() => undefined);
      }
    },
    delete: (key, call = {}) => retry(key, call, (timed) => store.delete(key, timed)),
    async deleteAll(deletions, call = {}) {
      const outcomes: (BatchLayerError | undefined)[] = [];
      // A request each, with tries and a time of its own.
      for (let from = 0; from < deletions.length; from += MAX_BATCH) {
        outcomes.push(...(await deleteBatch(deletions.slice(from, from + MAX_BATCH), call)));
      }
      return outcomes;
    },
    async *list(prefix, call = {}) {
      let { startAfter } = call;
      for (let attempt = 1; ; attempt++) {
        const watch = watchProgress(`list ${prefix}`, call);
        try {
          const listed = store.list(prefix, { ...retried(call, attempt), startAfter, signal: watch.signal });
          for await (const object of watch.waitFor(listed)) {
            yield object;
            startAfter = object.key;
            attempt = 1;
          }
          return;
        } catch (error) {
          if (!hasCode(error, 'Unavailable') || attempt === maxAttempts) throw error;
        } finally {
          watch.end();
        }
        await clock.sleep(delayMs(attempt), call);
      }
    },
  };
}

/** The call of a later try, its first request told as sent again; those that follow are not. */
function retried<C extends StoreCall>(call: C, attempt: number): C {
  const { onRequest } = call;
  if (!onRequest || attempt === 1) return call;
  let isFirst = true;
  return {
    ...call,
    onRequest(request) {
      onRequest(isFirst ? { ...request, isRetry: true } : request);
      isFirst = false;
    },
  };
}

/** Takes chunks until there are `bytes` of them, or all. */
async function takeBytes(
  source: AsyncIterator<Uint8Array>,
  bytes: number,
): Promise<{ readonly first: Uint8Array[]; readonly isWhole: boolean }> {
  const first: Uint8Array[] = [];
  for (let taken = 0; taken < bytes; ) {
    const { done, value } = await source.next();
    if (done) return { first, isWhole: true };
    first.push(value);
    taken += value.length;
  }
  return { first, isWhole: false };
}

async function* follow(first: Uint8Array[], source: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  // None is kept once it is passed on.
  for (let chunk = first.shift(); chunk; chunk = first.shift()) yield chunk;
  for (let next = await source.next(); !next.done; next = await source.next()) yield next.value;
}
