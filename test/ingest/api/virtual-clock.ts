import type { Clock } from '../../../src/clock.ts';

/** A clock that is moved on by hand: whoever sleeps wakes when all others wait. */
export interface VirtualClock extends Clock {
  /** Milliseconds since the beginning, whatever the clock shows. */
  elapsed(): number;
  /** Sets the clock back, or forward; the time that passes is the same. */
  shift(ms: number): void;
  /** How many sleep. */
  sleeping(): number;
  /** Lets time pass until nobody sleeps. */
  run(): Promise<void>;
}

interface Sleeper {
  readonly until: number;
  readonly wake: () => void;
}

/** @param lateMs how late the next timer is, as on a machine with much to do */
export function virtualClock({ lateMs = () => 0 }: { readonly lateMs?: () => number } = {}): VirtualClock {
  const sleepers = new Set<Sleeper>();
  let [elapsed, shifted] = [0, 1_700_000_000_000];
  return {
    // In whole milliseconds, as the system's.
    now: () => Math.floor(elapsed + shifted),
    elapsed: () => elapsed,
    shift(ms) {
      shifted += ms;
    },
    sleeping: () => sleepers.size,
    sleep(ms, { signal } = {}) {
      if (signal?.aborted) return Promise.reject(signal.reason);
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const stop = (): void => {
        sleepers.delete(sleeper);
        reject(signal?.reason);
      };
      const wake = (): void => {
        signal?.removeEventListener('abort', stop);
        sleepers.delete(sleeper);
        resolve();
      };
      const sleeper = { until: elapsed + ms + lateMs(), wake };
      sleepers.add(sleeper);
      signal?.addEventListener('abort', stop, { once: true });
      return promise;
    },
    async run() {
      for (;;) {
        await new Promise(setImmediate);
        const [first, ...others] = sleepers;
        if (!first) return;
        const next = others.reduce((least, other) => (other.until < least.until ? other : least), first);
        elapsed = Math.max(elapsed, next.until);
        next.wake();
      }
    },
  };
}
