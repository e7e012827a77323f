import type { Clock } from './clock.ts';
import { type BatchLayerError, hasCode } from './errors.ts';

/** How often, and after what waits, something is done again. */
export interface RetryPolicy {
  /** How often it is done in all. */
  readonly maxAttempts: number;
  /** The wait after a failed attempt, the first of which is 1; `undefined` where there is no use in another. */
  readonly delayMs: (attempt: number, error: BatchLayerError) => number | undefined;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/** What `work` comes to: where it is `Unavailable`, it is done again after a wait, a bounded number of times. */
export async function retryUnavailable<T>(
  work: (attempt: number) => Promise<T>,
  { maxAttempts, delayMs, clock, signal }: RetryPolicy,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    let wait: number | undefined;
    try {
      return await work(attempt);
    } catch (error) {
      if (hasCode(error, 'Unavailable') && attempt < maxAttempts) wait = delayMs(attempt, error);
      if (wait === undefined) throw error;
    }
    await clock.sleep(wait, { signal });
  }
}

/**
 * A wait of random length, the bound of which doubles with each attempt, so that those who failed at once do not all come
 * back at once: "full jitter" of https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
 *
 * @param random a number from 0 to 1
 */
export function fullJitterMs(
  attempt: number,
  { baseMs, maxMs, random }: { readonly baseMs: number; readonly maxMs: number; readonly random: () => number },
): number {
  return random() * Math.min(maxMs, baseMs * 2 ** (attempt - 1));
}

export interface TimeoutOptions {
  readonly timeoutMs: number;
  /** What the work's signal is aborted with when the time is over. */
  readonly lateError: () => Error;
  readonly clock: Clock;
  /** Ends the work earlier. */
  readonly signal?: AbortSignal | undefined;
}

/** What `work` comes to, which is told by its signal when its time is over; no timer is left behind. */
export async function withTimeout<T>(
  work: (signal: AbortSignal) => Promise<T>,
  { timeoutMs, lateError, clock, signal }: TimeoutOptions,
): Promise<T> {
  const ended = new AbortController();
  const late = new AbortController();
  const timeout = clock.sleep(timeoutMs, { signal: ended.signal }).then(
    () => late.abort(lateError()),
    () => undefined,
  );
  try {
    return await work(signal ? AbortSignal.any([signal, late.signal]) : late.signal);
  } finally {
    ended.abort();
    await timeout;
  }
}
