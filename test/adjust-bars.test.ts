import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { adjustBars, type Split } from '../src/adjust-bars.ts';
import { allocateBars, type Bars, sliceBars } from '../src/bars.ts';
import { sessionFrom } from '../src/session.ts';
import { arbitraryBars } from './support/arbitrary-bars.ts';

const VALUES = ['open', 'high', 'low', 'close', 'volume', 'vwap'] as const;

const arbitrarySplit: fc.Arbitrary<Split> = fc.record({
  session: fc.integer({ min: -3200, max: 22_000 }),
  from: fc.integer({ min: 1, max: 40 }),
  to: fc.integer({ min: 1, max: 40 }),
});
const arbitrarySplits = fc.array(arbitrarySplit, { maxLength: 6 });

/** Bars with some closes, all else derived from them. */
function barsOf(closes: Readonly<Record<string, number>>, volume = 1000): Bars {
  const bars = allocateBars(Object.keys(closes).length);
  Object.entries(closes).forEach(([date, close], i) => {
    bars.session[i] = sessionFrom(date);
    for (const name of ['open', 'high', 'low', 'close'] as const) bars[name][i] = close;
    bars.volume[i] = volume;
  });
  return bars;
}

function splitOn(date: string, from: number, to: number): Split {
  return { session: sessionFrom(date), from, to };
}

function expectClose(found: Bars, expected: Bars): void {
  expect(found.session).toEqual(expected.session);
  expect(found.trades).toEqual(expected.trades);
  for (const name of VALUES) {
    const [a, b] = [found[name], expected[name]];
    expect(a?.length, name).toBe(b?.length);
    a?.forEach((value, i) => {
      if (!Object.is(value, b![i])) expect(Math.abs(value / b![i]! - 1), `${name} ${i}`).toBeLessThan(1e-14);
    });
  }
}

/** AAPL as the package gives it: prices as of 2018, so adjusted for the split of 2014 and raw from then on. */
function readAapl(): Bars {
  const path = createRequire(import.meta.url).resolve('@observablehq/sample-datasets/aapl.csv');
  const lines = readFileSync(path, 'utf8').trim().split('\n').slice(1);
  const bars = allocateBars(lines.length);
  for (const [i, line] of lines.entries()) {
    const [date, open, high, low, close, , volume] = line.split(',');
    bars.session[i] = sessionFrom(date!);
    [bars.open[i], bars.high[i], bars.low[i], bars.close[i]] = [open, high, low, close].map(Number) as [
      number,
      number,
      number,
      number,
    ];
    bars.volume[i] = Number(volume);
  }
  return bars;
}

describe('adjustBars', () => {
  test('property: without splits, and with splits that are over, bars are the same, in memory of their own', () => {
    fc.assert(
      fc.property(arbitraryBars(), arbitrarySplits, (bars, splits) => {
        const first = bars.session[0] ?? 0;
        const over = splits.map((split) => ({ ...split, session: Math.min(split.session, first) }));
        for (const adjusted of [adjustBars(bars, []), adjustBars(bars, over)]) {
          expect(adjusted).toEqual(bars);
          for (const name of Object.keys(bars) as (keyof Bars)[])
            expect(adjusted[name]!.buffer).not.toBe(bars[name]!.buffer);
        }
      }),
    );
  });

  test('property: every value is what a split after another makes of it, one bar at a time', () => {
    fc.assert(
      fc.property(arbitraryBars(), arbitrarySplits, (bars, splits) => {
        const expected = adjustBars(bars, []);
        bars.session.forEach((session, i) => {
          const later = splits.filter((split) => split.session > session);
          const ratio = later.reduce((product, { from, to }) => (product * from) / to, 1);
          for (const name of ['open', 'high', 'low', 'close', 'vwap'] as const) {
            if (expected[name]) expected[name][i] = bars[name]![i]! * ratio;
          }
          expected.volume[i] = bars.volume[i]! / ratio;
        });
        expectClose(adjustBars(bars, splits), expected);
      }),
    );
  });

  test('property: the order of splits makes no difference, to the bit, and neither they nor the bars are changed', () => {
    const shares = fc.double({ min: 1e-9, max: 1e9, noNaN: true });
    const uneven = fc.record({ session: fc.integer({ min: 0, max: 40 }), from: shares, to: shares });
    const bars = barsOf({ '1970-01-05': 7.77, '1970-01-20': 9.99, '1970-02-20': 1.23 });
    fc.assert(
      fc.property(fc.array(uneven, { maxLength: 8 }), fc.infiniteStream(fc.nat()), (splits, random) => {
        const shuffled = splits.map((split) => ({ split, at: random.next().value })).sort((a, b) => a.at - b.at);
        const frozen = Object.freeze(shuffled.map(({ split }) => Object.freeze(split)));
        const before = structuredClone(bars);
        expect(adjustBars(bars, frozen)).toEqual(adjustBars(bars, splits));
        expect(bars).toEqual(before);
      }),
    );
  });

  test('property: two splits of one day are the one of their products, to the bit', () => {
    fc.assert(
      fc.property(arbitraryBars(), arbitrarySplit, arbitrarySplit, (bars, a, b) => {
        const both = adjustBars(bars, [a, { ...b, session: a.session }]);
        expect(both).toEqual(adjustBars(bars, [{ ...a, from: a.from * b.from, to: a.to * b.to }]));
      }),
    );
  });

  test('property: adjusting in two steps is adjusting at once, within rounding', () => {
    fc.assert(
      fc.property(arbitraryBars(), arbitrarySplits, arbitrarySplits, (bars, some, others) => {
        expectClose(adjustBars(adjustBars(bars, some), others), adjustBars(bars, [...some, ...others]));
      }),
    );
  });

  test('property: dollar volume, close × volume, is kept within rounding', () => {
    fc.assert(
      fc.property(arbitraryBars(), arbitrarySplits, (bars, splits) => {
        const { close, volume } = adjustBars(bars, splits);
        bars.close.forEach((price, i) => {
          const dollars = price * bars.volume[i]!;
          expect(Math.abs(close[i]! * volume[i]! - dollars)).toBeLessThanOrEqual(dollars * 1e-15);
        });
      }),
    );
  });

  test('property: bars of a stretch are adjusted as those of the whole history', () => {
    fc.assert(
      fc.property(arbitraryBars({ minLength: 1 }), arbitrarySplits, fc.nat(), fc.nat(), (bars, splits, a, b) => {
        const [from, to] = [a % bars.session.length, b % (bars.session.length + 1)].sort((x, y) => x - y);
        expect(adjustBars(sliceBars(bars, from!, to!), splits)).toEqual(
          sliceBars(adjustBars(bars, splits), from!, to!),
        );
      }),
    );
  });

  test('the execution date is the first session with the new price', () => {
    const bars = barsOf({ '2020-08-27': 500.04, '2020-08-28': 499.23, '2020-08-31': 129.04, '2020-09-01': 134.18 });
    const adjusted = adjustBars(bars, [splitOn('2020-08-31', 1, 4)]);
    expect([...adjusted.close]).toEqual([125.01, 124.8075, 129.04, 134.18]);
    expect([...adjusted.volume]).toEqual([4000, 4000, 1000, 1000]);
  });

  test('a reverse split makes old prices higher, and old volumes lower', () => {
    const bars = barsOf({ '2020-04-28': 2.13, '2020-04-29': 18 });
    const adjusted = adjustBars(bars, [splitOn('2020-04-29', 8, 1)]);
    expect([...adjusted.close]).toEqual([17.04, 18]);
    expect([...adjusted.volume]).toEqual([125, 1000]);
  });

  test('a split on a day without a bar, and one after the last bar, count for the bars before', () => {
    const bars = barsOf({ '2024-05-03': 90, '2024-05-06': 31 });
    expect([...adjustBars(bars, [splitOn('2024-05-04', 1, 3)]).close]).toEqual([30, 31]);
    expect([...adjustBars(bars, [splitOn('2024-05-04', 1, 3), splitOn('2025-01-01', 2, 1)]).close]).toEqual([60, 62]);
  });

  test('absent vwap and trades stay absent', () => {
    const bars = allocateBars(2, { vwap: true, trades: true });
    bars.session.set([1, 2]);
    bars.vwap![1] = 10;
    bars.trades![1] = 7;
    const { vwap, trades } = adjustBars(bars, [{ session: 3, from: 1, to: 4 }]);
    expect([vwap, trades]).toEqual([Float64Array.of(Number.NaN, 2.5), Int32Array.of(-1, 7)]);
  });

  test('ratios whose product is no double are still multiplied: forty splits of a million, and back', () => {
    const bars = barsOf({ '2001-01-02': 12.5 });
    const many = Array.from({ length: 40 }, () => splitOn('2002-01-02', 1, 1_000_000));
    const back = many.map(({ session, from, to }) => ({ session, from: to, to: from }));
    const small = [...many, ...back].map(({ session, from, to }) => ({ session, from: from / 1e9, to: to / 1e9 }));
    for (const splits of [[...many, ...back], small]) {
      expect(adjustBars(bars, splits).close[0]! / 12.5).toBeCloseTo(1, 12);
    }
    for (const splits of [many, small.slice(0, 40)]) {
      expect(adjustBars(bars, splits).close[0]! / 12.5 / 1e-240).toBeCloseTo(1, 12);
    }
    expect(() => adjustBars(bars, [...many, ...many])).toThrow(
      expect.objectContaining({ code: 'BadInput', message: expect.stringContaining('no price is left') }),
    );
  });

  test.each<[string, Partial<Split>]>([
    ['no shares', { from: 0 }],
    ['negative shares', { to: -1 }],
    ['shares without end', { to: Number.POSITIVE_INFINITY }],
    ['shares that are no number', { from: Number.NaN }],
    ['no day', { session: Number.NaN }],
    ['half a day', { session: 1.5 }],
    ['a day no calendar has', { session: 1e12 }],
  ])('refuses a split with %s, and names it', (_, change) => {
    const split = { ...splitOn('2020-08-31', 3, 7), ...change };
    const name = new RegExp(`split of ${split.from} to ${split.to} shares on ${change.session ?? '2020-08-31'}`);
    expect(() => adjustBars(allocateBars(0), [splitOn('2019-01-02', 1, 2), split])).toThrow(
      expect.objectContaining({ code: 'BadInput', message: expect.stringMatching(name) }),
    );
  });

  test('refuses bars out of order: which are before a split could not be told', () => {
    const bars = allocateBars(2);
    expect(() => adjustBars(bars, [])).toThrow(expect.objectContaining({ code: 'BadInput' }));
  });

  test('AAPL, made raw again, is adjusted to what it was, and has no jump at the split', () => {
    const [published, split] = [readAapl(), splitOn('2014-06-09', 1, 7)];
    const raw = adjustBars(published, [{ ...split, from: split.to, to: split.from }]);
    const at = raw.session.indexOf(split.session);
    expect(Math.log(raw.close[at]! / raw.close[at - 1]!)).toBeLessThan(-1.9);
    const adjusted = adjustBars(raw, [split]);
    expectClose(adjusted, published);
    for (let i = 1; i < at + 100; i++) {
      expect(Math.abs(Math.log(adjusted.close[i]! / adjusted.close[i - 1]!))).toBeLessThan(0.09);
    }
  });

  test('AAPL as it was traded (closes of those days) is adjusted to what is published of it', () => {
    const traded = {
      '2013-05-14': 443.86,
      '2014-06-05': 647.35,
      '2014-06-06': 645.57,
      '2014-06-09': 93.7,
      '2014-06-10': 94.25,
    };
    const published = readAapl();
    const adjusted = adjustBars(barsOf(traded), [splitOn('2014-06-09', 1, 7)]);
    adjusted.session.forEach((session, i) => {
      expect(adjusted.close[i]).toBeCloseTo(published.close[published.session.indexOf(session)]!, 5);
    });
  });
});
