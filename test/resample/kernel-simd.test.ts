import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { kernelModule, TARGET } from '../../scripts/build-kernel.ts';
import { allocateBars, type Bars, REQUIRED_VALUES } from '../../src/bars.ts';
import { allocateGroups, type Groups } from '../../src/resample/groups.ts';
import { openGroups, type RowRanges, resampleBars, resampleRanges } from '../../src/resample/kernel.ts';
import { resampleSymbol } from '../../src/resample/reference-kernel.ts';
import { createSimdKernel } from '../../src/resample/simd-kernel.ts';

/** Any number at all, and often what goes wrong: zeros of both signs, NaN, infinities, sums that overflow or lose digits. */
const anyNumber = fc.oneof(
  fc.double(),
  fc.constantFrom(
    0,
    -0,
    Number.NaN,
    Infinity,
    -Infinity,
    Number.MAX_VALUE,
    -Number.MAX_VALUE,
    Number.MIN_VALUE,
    2 ** 53,
  ),
  fc.integer({ min: 1, max: 1_000_000 }).map((cents) => cents / 100),
);

interface Market {
  readonly bars: Bars;
  readonly ranges: RowRanges;
  readonly intervals: readonly number[];
}

/** Symbols of 0 to 200 rows, some of which begin late, each interval at a row of its own; nothing is said of the values. */
const anyMarket: fc.Arbitrary<Market> = fc
  .record({
    lengths: fc.array(fc.nat(200), { minLength: 1, maxLength: 5 }),
    pool: fc.array(anyNumber, { minLength: 1, maxLength: 97 }),
    withVwap: fc.boolean(),
    late: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 7, maxLength: 7 }),
    isLate: fc.boolean(),
    intervals: fc.uniqueArray(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 6 }),
  })
  .map(({ lengths, pool, withVwap, late, isLate, intervals }) => {
    const ends = lengths.map((_, s) => lengths.slice(0, s + 1).reduce((sum, length) => sum + length, 0));
    const bars = allocateBars(ends.at(-1)!, { vwap: withVwap });
    bars.session.forEach((_, i) => {
      bars.session[i] = i * 3;
    });
    const columns = withVwap ? [...REQUIRED_VALUES, 'vwap' as const] : REQUIRED_VALUES;
    // Each column goes through the pool with another step, so that no two are alike.
    columns.forEach((name, c) => {
      bars[name]!.forEach((_, i) => {
        bars[name]![i] = pool[(i * (c + 1) + c * 31) % pool.length]!;
      });
    });
    const from = intervals.map((_, k) =>
      Int32Array.from(
        lengths,
        (length, s) => ends[s]! - length + (isLate ? Math.floor(late[(k + s) % 7]! * length) : 0),
      ),
    );
    return { bars, ranges: { from, to: Int32Array.from(ends) }, intervals };
  });

function expectSame({ bars, ranges, intervals }: Market, options: Parameters<typeof resampleRanges>[3] = {}): void {
  const made = resampleRanges(bars, ranges, intervals, options);
  expect(made).toEqual(resampleRanges(bars, ranges, intervals, { ...options, withSimd: false }));
}

function longHistory(rows: number): Market {
  const bars = allocateBars(rows, { vwap: true });
  for (let i = 0; i < rows; i++) {
    bars.session[i] = i;
    REQUIRED_VALUES.forEach((name, c) => {
      bars[name][i] = ((i * (7919 + c)) % 100_003) / 128 + 0.1;
    });
    if (i % 1000 !== 999) bars.vwap![i] = bars.close[i]!;
  }
  return { bars, ranges: { from: [Int32Array.of(0), Int32Array.of(1)], to: Int32Array.of(rows) }, intervals: [3, 34] };
}

describe('the kernel in WebAssembly', () => {
  test('is the one that runs here', () => {
    expect(createSimdKernel()).toBeDefined();
  });

  test('is assembled of kernel.wat as it stands', async () => {
    expect(await readFile(TARGET, 'utf8')).toBe(await kernelModule());
  });

  // toEqual tells 0 from −0, and takes NaN for NaN.
  test('makes what the reference makes, to the bit', () => {
    fc.assert(
      fc.property(anyMarket, (market) => expectSame(market)),
      { numRuns: 2000 },
    );
  });

  test('makes what the reference makes of few rows, which the kernel does not give it', () => {
    const simd = createSimdKernel()!;
    fc.assert(
      fc.property(anyMarket, ({ bars, ranges: { from, to }, intervals }) => {
        to.forEach((end, symbol) => {
          const first = Math.min(...from.map((starts) => starts[symbol]!));
          if (first === end) return;
          simd.load(bars, first, end);
          intervals.forEach((n, k) => {
            const [made, expected] = [allocateGroups(end - first, true), allocateGroups(end - first, true)];
            const start = from[k]![symbol]!;
            const target = { symbol, output: expected, at: 0, carry: undefined, carryAt: 0 };
            const count = resampleSymbol(bars, start, end, n, target);
            expect(simd.resample(bars, start, n, { ...target, output: made })).toBe(count);
            expect(made).toEqual(expected);
          });
        });
      }),
      { numRuns: 1000 },
    );
  });

  test('makes what the reference makes of the same symbol again and of others between', () => {
    fc.assert(
      fc.property(anyMarket, anyMarket, (a, b) => {
        for (const market of [a, b, a]) expectSame(market);
      }),
      { numRuns: 200 },
    );
  });

  test('makes what the reference makes into given memory, with notional and without', () => {
    fc.assert(
      fc.property(anyMarket, fc.boolean(), (market, withNotional) => {
        // What was there before is written over.
        const allocate = (_: number, length: number): Groups => {
          const groups = allocateGroups(length, withNotional);
          for (const values of Object.values(groups)) values.fill(7);
          return groups;
        };
        expectSame(market, { allocate });
      }),
      { numRuns: 500 },
    );
  });

  test('leaves symbols with a carried group to the reference, and takes those beside them', () => {
    fc.assert(
      fc.property(anyMarket, ({ bars, ranges, intervals }) => {
        const whole = resampleRanges(bars, ranges, intervals);
        const carry = whole.map((groups, k) => openGroups(groups, intervals[k]!));
        expectSame({ bars, ranges, intervals }, { carry });
      }),
      { numRuns: 500 },
    );
  });

  test.each([1000, 1024, 20_001, 200_000])('makes what the reference makes of %i rows: its memory grows', (rows) => {
    expectSame(longHistory(rows));
    expectSame(longHistory(100));
  });

  test('makes what the reference makes of more rows than it takes', () => {
    expectSame(longHistory(2 ** 20 + 3));
  });

  test('takes rows that fill its memory, and no rows of them', () => {
    // 64 bytes a row: one page, of which nothing beyond can be read.
    const { bars } = longHistory(1024);
    const simd = createSimdKernel()!;
    simd.load(bars, 0, 1024);
    expect(simd.resample(bars, 1024, 3, { symbol: 0, output: allocateGroups(0, true), at: 5 })).toBe(5);
  });

  test('leaves all to the reference where there is no SIMD', async () => {
    const { WebAssembly } = globalThis as unknown as { readonly WebAssembly: { validate(bytes: Uint8Array): boolean } };
    const validate = vi.spyOn(WebAssembly, 'validate').mockReturnValue(false);
    try {
      vi.resetModules();
      const fresh = await import('../../src/resample/kernel.ts');
      const { bars, ranges, intervals } = longHistory(1000);
      const made = fresh.resampleRanges(bars, ranges, intervals);
      expect(validate).toHaveBeenCalled();
      expect(made).toEqual(resampleRanges(bars, ranges, intervals));
    } finally {
      validate.mockRestore();
    }
  });

  test('takes intervals longer than any history', () => {
    const { bars } = longHistory(500);
    const [groups] = resampleBars(bars, Int32Array.of(0, 500), [2 ** 40]);
    expect([...groups!.bars]).toEqual([500]);
    expect(groups!.high[0]).toBe(Math.max(...bars.high));
  });
});
