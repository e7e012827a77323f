import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BatchLayerError } from '../../../src/errors.ts';
import { ApiUnavailable } from '../../../src/ingest/api/api-errors.ts';
import { backOffMs, holdMs, retryAfterMs } from '../../../src/ingest/api/back-off.ts';

describe('retryAfterMs', () => {
  const now = Date.parse('Sat, 21 Nov 2026 06:00:00 GMT');

  test.each([
    ['3', undefined, 3000],
    ['0', undefined, 0],
    ['99999999999999', undefined, 99_999_999_999_999_000],
    ['Sat, 21 Nov 2026 06:00:05 GMT', undefined, 5000],
    ['Sat, 21 Nov 2026 05:59:00 GMT', undefined, 0],
    // The server's clock is ten minutes behind.
    ['Sat, 21 Nov 2026 05:50:05 GMT', 'Sat, 21 Nov 2026 05:50:00 GMT', 5000],
    ['Saturday, 21-Nov-26 06:00:05 GMT', undefined, 5000],
    ['Sat, 21 Nov 2026 06:00:05 GMT', 'yesterday', 5000],
    ['-3', undefined, undefined],
    ['3.5', undefined, undefined],
    ['soon', undefined, undefined],
    ['soon GMT', undefined, undefined],
    ['', undefined, undefined],
    ['2026-11-21T06:00:05Z', undefined, undefined],
    [undefined, undefined, undefined],
    [['3', '4'], undefined, undefined],
  ])('%s at %s', (text, date, ms) => {
    expect(retryAfterMs({ 'retry-after': text, date }, now)).toBe(ms);
  });
});

describe('back-off', () => {
  const attempts = fc.integer({ min: 1, max: 40 });
  const fractions = fc.double({ min: 0, max: 1, noNaN: true });

  test('never waits less than the API asks for, nor much longer; beyond five minutes not at all', () => {
    const asked = fc.oneof(fc.constantFrom(0, 300_000, 300_001), fc.integer({ min: 0, max: 700_000 }));
    fc.assert(
      fc.property(attempts, fractions, asked, fc.boolean(), (attempt, random, ms, isRateLimit) => {
        const error = new ApiUnavailable('busy', { retryAfterMs: ms, isRateLimit });
        const wait = backOffMs(attempt, error, () => random);
        const hold = holdMs(error, attempt);
        if (ms > 300_000) {
          expect([wait, hold]).toEqual([undefined, 0]);
        } else {
          expect(wait).toBeGreaterThanOrEqual(ms);
          expect(wait).toBeLessThanOrEqual(ms + 30_000);
          expect(hold).toBe(isRateLimit ? ms : 0);
        }
      }),
      { seed: 41, numRuns: 500 },
    );
  });

  test('of other failures it is at most 250 ms, which doubles up to 30 seconds', () => {
    const error = new BatchLayerError('Unavailable', 'broken');
    const longest = Array.from({ length: 9 }, (_, i) => backOffMs(i + 1, error, () => 1));
    expect(longest).toEqual([250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    expect(backOffMs(5, new ApiUnavailable('failed', {}), () => 0)).toBe(0);
    expect(backOffMs(5, new ApiUnavailable('failed', {}), () => 0.5)).toBe(2000);
  });

  test('too many calls, and not told how long to wait: the five waits come to a minute at least, each to a minute at most', () => {
    const error = new ApiUnavailable('busy', { isRateLimit: true });
    const waits = (random: number) => Array.from({ length: 5 }, (_, i) => backOffMs(i + 1, error, () => random)!);
    expect(waits(0)).toEqual([2000, 4000, 8000, 16_000, 30_000]);
    expect(waits(1)).toEqual([4000, 8000, 16_000, 32_000, 60_000]);
    expect(holdMs(error, 1)).toBe(2000);
    expect(holdMs(error, 40)).toBe(30_000);
    expect(holdMs(new ApiUnavailable('failed', {}), 3)).toBe(0);
  });
});
