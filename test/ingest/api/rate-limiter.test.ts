import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BatchLayerError } from '../../../src/errors.ts';
import { parseRateLimit, type RateLimit, rateLimiter } from '../../../src/ingest/api/rate-limiter.ts';
import { mostWithin } from './rolling-window.ts';
import { virtualClock } from './virtual-clock.ts';

interface Request {
  /** After the one before. */
  readonly afterMs: number;
  readonly toServerMs: number;
  readonly fromServerMs: number;
  /** How long it waits at most to be let through. */
  readonly patienceMs: number | null;
}

interface Weather {
  readonly lateMs: readonly number[];
  /** After so many requests, the clock is set by so much. */
  readonly shifts: readonly (readonly [number, number])[];
  readonly holdsMs: readonly (readonly [number, number])[];
}

const CALM: Weather = { lateMs: [0], shifts: [], holdsMs: [] };

const limits = fc.record({ calls: fc.integer({ min: 1, max: 6 }), perMs: fc.integer({ min: 1, max: 300 }) });
const delay = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 900 }));
const quarters = delay.chain((ms) => fc.constantFrom(ms, ms + 0.25, ms + 0.5, ms + 0.75));
function requests(latency: fc.Arbitrary<number>, patience: fc.Arbitrary<number | null>): fc.Arbitrary<Request[]> {
  const afterMs = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 400 }));
  const request = fc.record({ afterMs, toServerMs: latency, fromServerMs: latency, patienceMs: patience });
  return fc.array(request, { minLength: 1, maxLength: 40 });
}
const after = fc.nat({ max: 39 });
const weathers = fc.record({
  lateMs: fc.array(delay, { minLength: 1, maxLength: 10 }),
  shifts: fc.array(fc.tuple(after, fc.integer({ min: -5000, max: 0 })), { maxLength: 3 }),
  holdsMs: fc.array(fc.tuple(after, fc.integer({ min: 0, max: 1000 })), { maxLength: 3 }),
});

async function simulate(limit: RateLimit, sent: readonly Request[], { lateMs, shifts, holdsMs }: Weather) {
  let timers = 0;
  // Of the limiter's own timers alone.
  const clock = virtualClock();
  const late = {
    ...clock,
    sleep: (ms: number, call?: object) => clock.sleep(ms + lateMs[timers++ % lateMs.length]!, call),
  };
  const limiter = rateLimiter(limit, { clock: late });
  const passed: { readonly i: number; readonly at: number; readonly askedAt: number }[] = [];
  const [arrived, held]: [number[], { readonly from: number; readonly to: number }[]] = [[], []];
  const given: number[] = [];

  async function send(i: number, { toServerMs, fromServerMs, patienceMs }: Request): Promise<void> {
    const askedAt = clock.elapsed();
    const leaving = new AbortController();
    const passing = limiter.acquire({ signal: leaving.signal });
    if (patienceMs !== null) clock.sleep(patienceMs).then(() => leaving.abort('gave up'));
    try {
      const answered = await passing;
      passed.push({ i, at: clock.elapsed(), askedAt });
      await clock.sleep(toServerMs);
      arrived.push(clock.elapsed());
      await clock.sleep(fromServerMs);
      answered();
      answered();
    } catch (error) {
      expect(error).toBe('gave up');
      given.push(i);
    }
  }
  const all = async (): Promise<void> => {
    const pending: Promise<void>[] = [];
    for (const [i, request] of sent.entries()) {
      await clock.sleep(request.afterMs);
      for (const [at, ms] of shifts) if (at === i) clock.shift(ms);
      for (const [at, ms] of holdsMs) {
        if (at !== i) continue;
        limiter.holdFor(ms);
        held.push({ from: clock.elapsed(), to: clock.elapsed() + ms });
      }
      pending.push(send(i, request));
    }
    await Promise.all(pending);
  };
  const done = all();
  await clock.run();
  await done;
  return { passed, arrived, held, given, sleeping: clock.sleeping() };
}

/** When each request is let through where nothing is late: as soon as one of the places is free, in order. */
function expectedStarts({ calls, perMs }: RateLimit, sent: readonly Request[]): number[] {
  const freeAt = new Array<number>(calls).fill(0);
  let [asked, before] = [0, 0];
  return sent.map(({ afterMs, toServerMs, fromServerMs }) => {
    asked += afterMs;
    freeAt.sort((a, b) => a - b);
    before = Math.max(asked, before, freeAt[0]!);
    freeAt[0] = before + toServerMs + fromServerMs + perMs + 1;
    return before;
  });
}

describe('rateLimiter', () => {
  test('lets no more through than the limit in any window, as sent and as received, whatever is late', async () => {
    const anyRequests = requests(quarters, fc.option(delay));
    await fc.assert(
      fc.asyncProperty(limits, anyRequests, weathers, async (limit, sent, weather) => {
        const { passed, arrived, held, given, sleeping } = await simulate(limit, sent, weather);
        const sentAt = passed.map(({ at }) => at);
        expect(mostWithin(sentAt, limit.perMs)).toBeLessThanOrEqual(limit.calls);
        expect(mostWithin(arrived, limit.perMs)).toBeLessThanOrEqual(limit.calls);
        for (const { from, to } of held) expect(sentAt.filter((at) => from < at && at < to)).toEqual([]);
        // In order, nobody forgotten, and nobody left behind.
        expect(passed.map(({ i }) => i)).toEqual(passed.map(({ i }) => i).sort((a, b) => a - b));
        expect(passed.length + given.length).toBe(sent.length);
        expect(sleeping).toBe(0);
      }),
      { seed: 11, numRuns: 300 },
    );
  });

  test('lets each through as soon as one of the places is free', async () => {
    await fc.assert(
      fc.asyncProperty(limits, requests(delay, fc.constant(null)), async (limit, sent) => {
        const { passed } = await simulate(limit, sent, CALM);
        expect(passed.map(({ at }) => at)).toEqual(expectedStarts(limit, sent));
      }),
      { seed: 12, numRuns: 200 },
    );
  });

  test('a clock that is set back costs no more than the window', async () => {
    const clock = virtualClock();
    const limiter = rateLimiter({ calls: 1, perMs: 100 }, { clock });
    (await limiter.acquire())();
    clock.shift(-3_600_000);
    const next = limiter.acquire();
    await clock.run();
    await next;
    expect(clock.elapsed()).toBe(101);
  });

  test('a clock of whole milliseconds lets nobody through a fraction too early', async () => {
    const clock = virtualClock();
    const limiter = rateLimiter({ calls: 1, perMs: 100 }, { clock });
    const answered = await limiter.acquire();
    const answering = clock.sleep(0.75).then(answered);
    const next = clock.sleep(100).then(() => limiter.acquire());
    await clock.run();
    await Promise.all([answering, next]);
    expect(clock.elapsed()).toBeGreaterThan(100.75);
  });

  test('a request that fails at once has its place for the window too', async () => {
    const clock = virtualClock();
    const limiter = rateLimiter({ calls: 2, perMs: 100 }, { clock });
    const [first, second] = [await limiter.acquire(), await limiter.acquire()];
    first();
    const third = limiter.acquire();
    await clock.run();
    await third;
    expect(clock.elapsed()).toBe(101);
    second();
  });

  test('an abort ends waiting with its reason, and the last to go takes the timer along', async () => {
    const clock = virtualClock();
    const limiter = rateLimiter({ calls: 1, perMs: 100 }, { clock });
    (await limiter.acquire())();
    const [one, two] = [new AbortController(), new AbortController()];
    const waits = [limiter.acquire(one), limiter.acquire(two)];
    expect(clock.sleeping()).toBe(1);
    one.abort('first');
    await expect(waits[0]).rejects.toBe('first');
    expect(clock.sleeping()).toBe(1);
    two.abort('second');
    await expect(waits[1]).rejects.toBe('second');
    expect(clock.sleeping()).toBe(0);
    await expect(limiter.acquire({ signal: AbortSignal.abort('before') })).rejects.toBe('before');
    // The place it would have taken is there for the next.
    const next = limiter.acquire();
    await clock.run();
    await next;
    expect(clock.elapsed()).toBe(101);
  });

  test('refuses limits that are none', () => {
    for (const limit of [
      { calls: 0, perMs: 1000 },
      { calls: 1.5, perMs: 1000 },
      { calls: 1, perMs: 0 },
      { calls: 1, perMs: 86_400_001 },
      { calls: Number.POSITIVE_INFINITY, perMs: 1 },
    ]) {
      expect(() => rateLimiter(limit)).toThrow(expect.objectContaining({ code: 'BadInput' }));
    }
  });
});

describe('parseRateLimit', () => {
  test.each([
    ['5/min', { calls: 5, perMs: 60_000 }],
    ['80/s', { calls: 80, perMs: 1000 }],
    ['100/s', { calls: 100, perMs: 1000 }],
  ])('%s', (text, limit) => {
    expect(parseRateLimit(text)).toEqual(limit);
  });

  test.each(['', '5', '0/s', '-5/s', '5/h', '5 /s', '5/s ', '1e3/s', '1.5/s', '9999999/s', '5/min\n', '5/constructor'])(
    'refuses %j',
    (text) => {
      const refused = expect.objectContaining<Partial<BatchLayerError>>({ code: 'BadInput' });
      expect(() => parseRateLimit(text)).toThrow(refused);
    },
  );
});
