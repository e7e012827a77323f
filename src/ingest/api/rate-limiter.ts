import { checkCount } from '../../check-count.ts';
import { type Clock, systemClock } from '../../clock.ts';
import { BatchLayerError } from '../../errors.ts';

/** At most `calls` requests within any `perMs` milliseconds. */
export interface RateLimit {
  readonly calls: number;
  readonly perMs: number;
}

export interface RateLimiter {
  /**
   * Resolves when a request may be sent, in the order of asking; rejects with the signal's reason where it is aborted before.
   *
   * @returns what is to be called when the head of the request's answer has come, or when it has failed; once more is harmless
   */
  acquire(call?: { readonly signal?: AbortSignal | undefined }): Promise<() => void>;
  /** Lets nobody through for the next `ms` milliseconds. */
  holdFor(ms: number): void;
}

const UNITS_MS: Readonly<Record<string, number>> = { s: 1000, min: 60_000 };
/** A day; timers end at 24 days. */
const MAX_PER_MS = 86_400_000;
/** A clock of whole milliseconds may be nearly one ahead. */
const TICK_MS = 1;
/** Not the system's time, which is set now and then. */
const steadyClock: Clock = { ...systemClock, now: () => performance.now() };

/**
 * A rate limit from text such as `5/min`, `80/s` or `100/s`.
 *
 * @throws BatchLayerError `BadInput`
 */
export function parseRateLimit(text: string): RateLimit {
  const [, calls, unit = ''] = /^([1-9]\d{0,5})\/(s|min)$/.exec(text) ?? [];
  const perMs = UNITS_MS[unit];
  if (calls !== undefined && perMs !== undefined) return { calls: Number(calls), perMs };
  throw new BatchLayerError(
    'BadInput',
    `rate limit ${JSON.stringify(text.slice(0, 40))}: expected a number of calls per second or minute, such as 80/s or 5/min`,
  );
}

/**
 * Keeps to a rate limit as the server sees it, however long requests are on their way.
 *
 * There are `calls` places. A request takes one when it is let through, and its place is free again `perMs` after the head of
 * its answer came. It arrived in between; one that failed without an answer is taken to have done so too. So two requests
 * that had the same place arrive more than `perMs` apart, and of any `calls` + 1 requests two had the same place.
 *
 * The time of letting through is looked up when it happens, not planned: a late timer lets nobody through too early. A clock
 * that is set back counts as one that stood still.
 *
 * @throws BatchLayerError `BadInput`
 */
export function rateLimiter(
  { calls, perMs }: RateLimit,
  { clock = steadyClock }: { readonly clock?: Clock | undefined } = {},
): RateLimiter {
  checkCount('rateLimit.calls', calls, 1);
  checkCount('rateLimit.perMs', perMs, 1);
  if (perMs > MAX_PER_MS)
    throw new BatchLayerError('BadInput', `rateLimit.perMs is ${perMs}: expected ≤ ${MAX_PER_MS}`);

  const waiting = new Set<() => void>();
  // When the places of answered requests are free again, ascending.
  const freeAt: number[] = [];
  let unanswered = 0;
  let heldUntil = Number.NEGATIVE_INFINITY;
  let timer: AbortController | undefined;
  let [lastNow, setBackMs] = [clock.now(), 0];

  function now(): number {
    const time = clock.now() + setBackMs;
    if (time < lastNow) setBackMs += lastNow - time;
    else lastNow = time;
    return lastNow;
  }

  function waitMs(): number {
    const time = now();
    while (freeAt.length > 0 && freeAt[0]! <= time) freeAt.shift();
    if (time < heldUntil) return heldUntil - time;
    if (unanswered + freeAt.length < calls) return 0;
    return freeAt.length > 0 ? freeAt[0]! - time : Number.POSITIVE_INFINITY;
  }

  function letThrough(): void {
    // A timer is set to the first moment at which there can be a place.
    if (timer) return;
    for (const pass of waiting) {
      const ms = waitMs();
      // All are on their way: an answer comes back here.
      if (ms === Number.POSITIVE_INFINITY) return;
      if (ms > 0) {
        setTimer(ms);
        return;
      }
      waiting.delete(pass);
      unanswered++;
      pass();
    }
  }

  function setTimer(ms: number): void {
    const set = new AbortController();
    timer = set;
    const ring = (): void => {
      if (timer !== set) return;
      timer = undefined;
      letThrough();
    };
    clock.sleep(Math.ceil(ms), { signal: set.signal }).then(ring, () => undefined);
  }

  function answered(): void {
    unanswered--;
    freeAt.push(now() + perMs + TICK_MS);
    letThrough();
  }

  return {
    acquire({ signal } = {}) {
      if (signal?.aborted) return Promise.reject(signal.reason);
      const { promise, resolve, reject } = Promise.withResolvers<() => void>();
      const leave = (): void => {
        waiting.delete(pass);
        reject(signal?.reason);
        if (waiting.size > 0) return;
        timer?.abort();
        timer = undefined;
      };
      const pass = (): void => {
        signal?.removeEventListener('abort', leave);
        let isAnswered = false;
        resolve(() => {
          if (!isAnswered) answered();
          isAnswered = true;
        });
      };
      signal?.addEventListener('abort', leave, { once: true });
      waiting.add(pass);
      letThrough();
      return promise;
    },
    holdFor(ms) {
      heldUntil = Math.max(heldUntil, now() + ms);
    },
  };
}
