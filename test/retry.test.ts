import { describe, expect, test } from 'vitest';
import type { Clock } from '../src/clock.ts';
import { BatchLayerError } from '../src/errors.ts';
import { fullJitterMs, retryUnavailable, withTimeout } from '../src/retry.ts';
import { virtualClock } from './ingest/api/virtual-clock.ts';

const unavailable = (message: string) => new BatchLayerError('Unavailable', message);

/** Nobody waits for it. */
function leapingClock(): Clock & { readonly waits: number[] } {
  const waits: number[] = [];
  return {
    waits,
    now: () => 0,
    async sleep(ms, { signal } = {}) {
      signal?.throwIfAborted();
      waits.push(ms);
    },
  };
}

describe('retryUnavailable', () => {
  test('tries again until it is there, after the waits it is told', async () => {
    const clock = leapingClock();
    const seen: string[] = [];
    const found = await retryUnavailable(
      async (attempt) => {
        if (attempt < 4) throw unavailable(`attempt ${attempt}`);
        return attempt;
      },
      {
        maxAttempts: 4,
        clock,
        delayMs(attempt, { message }) {
          seen.push(message);
          return attempt * 10;
        },
      },
    );
    expect([found, clock.waits, seen]).toEqual([4, [10, 20, 30], ['attempt 1', 'attempt 2', 'attempt 3']]);
  });

  test('the last failure is thrown, after which nobody waits or draws a random number', async () => {
    const clock = leapingClock();
    let asked = 0;
    const trying = retryUnavailable((attempt) => Promise.reject(unavailable(`${attempt}`)), {
      maxAttempts: 3,
      clock,
      delayMs: () => ++asked,
    });
    await expect(trying).rejects.toThrow(unavailable('3'));
    expect([clock.waits, asked]).toEqual([[1, 2], 2]);
  });

  test.each([
    ['no use in another', unavailable('closed'), (): number | undefined => undefined],
    ['another kind of failure', new BatchLayerError('NotFound', 'gone'), (): number | undefined => 0],
    ['a bug', new TypeError('bug'), (): number | undefined => 0],
  ])('is not tried again: %s', async (_, error, delayMs) => {
    let tries = 0;
    const work = (): Promise<never> => {
      tries++;
      return Promise.reject(error);
    };
    await expect(retryUnavailable(work, { maxAttempts: 5, clock: leapingClock(), delayMs })).rejects.toBe(error);
    expect(tries).toBe(1);
  });

  test('an abort ends the wait with its reason', async () => {
    const clock = virtualClock();
    const stop = new AbortController();
    const trying = retryUnavailable(() => Promise.reject(unavailable('busy')), {
      maxAttempts: 5,
      clock,
      delayMs: () => 1000,
      signal: stop.signal,
    });
    clock.sleep(10).then(() => stop.abort('enough'));
    clock.run();
    await expect(trying).rejects.toBe('enough');
    expect([clock.elapsed(), clock.sleeping()]).toEqual([10, 0]);
  });
});

describe('fullJitterMs', () => {
  test('is a part of a bound that doubles', () => {
    const bound = (attempt: number) => fullJitterMs(attempt, { baseMs: 100, maxMs: 1000, random: () => 1 });
    expect([1, 2, 3, 4, 5, 6, 2000].map(bound)).toEqual([100, 200, 400, 800, 1000, 1000, 1000]);
    expect(fullJitterMs(3, { baseMs: 100, maxMs: 1000, random: () => 0.25 })).toBe(100);
  });
});

describe('withTimeout', () => {
  const hang = (signal: AbortSignal): Promise<string> =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

  test('work in time leaves no timer', async () => {
    const clock = virtualClock();
    const done = withTimeout(async () => 'done', { timeoutMs: 50, lateError: () => unavailable('late'), clock });
    expect(await done).toBe('done');
    expect(clock.sleeping()).toBe(0);
  });

  test('late work is told by its signal', async () => {
    const clock = virtualClock();
    const late = unavailable('late');
    const working = withTimeout(hang, { timeoutMs: 50, lateError: () => late, clock });
    clock.run();
    await expect(working).rejects.toBe(late);
    expect(clock.elapsed()).toBe(50);
  });

  test('an abort comes through, and leaves no timer', async () => {
    const clock = virtualClock();
    const stop = new AbortController();
    const options = { timeoutMs: 50, lateError: () => unavailable('late'), clock, signal: stop.signal };
    const working = withTimeout(hang, options);
    stop.abort('enough');
    await expect(working).rejects.toBe('enough');
    expect(clock.sleeping()).toBe(0);
  });
});
