import { setTimeout } from 'node:timers/promises';

/** Time, as far as retries and deadlines need it; tests bring their own. */
export interface Clock {
  /** Milliseconds since 1970-01-01. */
  now(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason when it is aborted. */
  sleep(ms: number, call?: { readonly signal?: AbortSignal | undefined }): Promise<void>;
}

/** The system's time. */
export const systemClock: Clock = {
  now: Date.now,
  async sleep(ms, { signal } = {}) {
    try {
      await setTimeout(ms, undefined, { signal });
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
};
