import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sliceBars } from '../../src/bars.ts';
import { type Groups, sliceGroups } from '../../src/resample/groups.ts';
import { openGroups, resampleBars } from '../../src/resample/kernel.ts';
import { arbitraryBars, arbitraryIntervals, arbitraryMarket } from '../support/arbitrary-bars.ts';

const cases = { numRuns: 500 };

describe('resampleBars', () => {
  test('puts each bar into exactly one group, and the groups are contiguous', () => {
    fc.assert(
      fc.property(arbitraryMarket(), arbitraryIntervals, ({ bars, starts }, intervals) => {
        resampleBars(bars, starts, intervals).forEach((groups, k) => {
          let row = 0;
          for (let g = 0; g < groups.bars.length; g++) {
            expect(groups.session[g]).toBe(bars.session[row]);
            row += groups.bars[g]!;
            expect(groups.endSession[g]).toBe(bars.session[row - 1]);
            const ends = row === starts[groups.symbol[g]! + 1];
            expect(ends || groups.bars[g] === intervals[k]).toBe(true);
          }
          expect(row).toBe(bars.session.length);
        });
      }),
      cases,
    );
  });

  test('takes first open, highest high, lowest low, last close, and conserves volume', () => {
    fc.assert(
      fc.property(arbitraryMarket(), arbitraryIntervals, ({ bars, starts }, intervals) => {
        for (const groups of resampleBars(bars, starts, intervals)) {
          let row = 0;
          for (let g = 0; g < groups.bars.length; g++) {
            const part = sliceBars(bars, row, row + groups.bars[g]!);
            row += groups.bars[g]!;
            expect(groups.open[g]).toBe(part.open[0]);
            expect(groups.high[g]).toBe(Math.max(...part.high));
            expect(groups.low[g]).toBe(Math.min(...part.low));
            expect(groups.close[g]).toBe(part.close.at(-1));
            expect(groups.volume[g]).toBe(part.volume.reduce((sum, volume) => sum + volume, 0));
          }
        }
      }),
      cases,
    );
  });

  test('splitting a history at any point and carrying on gives the same groups', () => {
    const splits = fc.array(fc.nat(60), { maxLength: 4 });
    fc.assert(
      fc.property(arbitraryBars(), arbitraryIntervals, splits, (bars, intervals, cuts) => {
        const length = bars.session.length;
        const bounds = [0, ...cuts.map((cut) => Math.min(cut, length)).sort((a, b) => a - b), length];
        const whole = resampleBars(bars, Int32Array.of(0, length), intervals);
        const finished: Groups[][] = intervals.map(() => []);
        let carry = intervals.map(() => openGroups(whole[0]!, 0));
        for (let b = 1; b < bounds.length; b++) {
          const part = sliceBars(bars, bounds[b - 1]!, bounds[b]!);
          if (part.session.length === 0) continue;
          const groups = resampleBars(part, Int32Array.of(0, part.session.length), intervals, carry);
          carry = groups.map((made, k) => openGroups(made, intervals[k]!));
          groups.forEach((made, k) => {
            finished[k]!.push(sliceGroups(made, 0, made.bars.length - carry[k]!.bars.length));
          });
        }
        whole.forEach((groups, k) => {
          expect(rows([...finished[k]!, carry[k]!])).toEqual(rows([groups]));
        });
      }),
      cases,
    );
  });

  test('an interval of 1 gives the bars themselves', () => {
    fc.assert(
      fc.property(arbitraryBars(), (bars) => {
        const [groups] = resampleBars(bars, Int32Array.of(0, bars.session.length), [1]);
        for (const name of ['session', 'open', 'high', 'low', 'close', 'volume'] as const) {
          expect(groups![name]).toEqual(bars[name]);
        }
      }),
      cases,
    );
  });

  test('weights vwap by volume, leaves bars that did not trade out, and is absent where one that traded has none', () => {
    fc.assert(
      fc.property(arbitraryBars({ minLength: 1 }), (bars) => {
        const [groups] = resampleBars(bars, Int32Array.of(0, bars.session.length), [1000]);
        const traded = [...bars.volume.keys()].filter((i) => bars.volume[i] !== 0);
        const known = bars.vwap !== undefined && traded.every((i) => !Number.isNaN(bars.vwap![i]!));
        const notional = groups!.notional?.[0] ?? Number.NaN;
        if (known) expect(notional).toBe(traded.reduce((sum, i) => sum + bars.vwap![i]! * bars.volume[i]!, 0));
        else if (traded.length > 0) expect(notional).toBeNaN();
      }),
      cases,
    );
  });

  test.each([[[0]], [[-3]], [[2.5]], [[Number.NaN]], [[]], [[3, 3]]])('refuses intervals %j', (intervals) => {
    const bars = fc.sample(arbitraryBars(), 1)[0]!;
    expect(() => resampleBars(bars, Int32Array.of(0, 0), intervals)).toThrow(/whole numbers/);
  });
});

function rows(parts: readonly Groups[]): number[][] {
  return parts.flatMap((groups) =>
    Array.from(groups.bars, (bars, i) => [
      groups.symbol[i]!,
      groups.session[i]!,
      groups.endSession[i]!,
      groups.open[i]!,
      groups.high[i]!,
      groups.low[i]!,
      groups.close[i]!,
      groups.volume[i]!,
      groups.notional?.[i] ?? (groups.volume[i] === 0 ? 0 : Number.NaN),
      bars,
    ]),
  );
}
