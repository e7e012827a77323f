import fc from 'fast-check';
import { allocateBars, type Bars } from '../../src/bars.ts';

/** Valid bars of one symbol: ascending sessions, low ≤ open, close ≤ high, volumes that add up exactly. */
export function arbitraryBars({ minLength = 0, maxLength = 60 } = {}): fc.Arbitrary<Bars> {
  const price = fc.integer({ min: 1, max: 1_000_000 }).map((cents) => cents / 100);
  const bar = fc.record({
    gap: fc.integer({ min: 1, max: 40 }),
    prices: fc.tuple(price, price, price, price),
    // Multiples of 1/1024: sums are exact in any order, so an oracle may add them up as it likes.
    volume: fc.oneof(
      fc.constant(0),
      fc.integer({ min: 0, max: 2 ** 40 }).map((v) => v / 1024),
    ),
    vwap: fc.option(price),
    trades: fc.option(fc.nat()),
  });
  return fc
    .tuple(fc.integer({ min: -3000, max: 20_000 }), fc.array(bar, { minLength, maxLength }))
    .map(([first, rows]) => {
      const bars = allocateBars(rows.length, {
        vwap: rows.some((row) => row.vwap !== null),
        trades: rows.some((row) => row.trades !== null),
      });
      let session = first;
      rows.forEach((row, i) => {
        const [low, a, b, high] = [...row.prices].sort((x, y) => x - y) as [number, number, number, number];
        session += row.gap;
        bars.session[i] = session;
        [bars.low[i], bars.high[i]] = [low, high];
        [bars.open[i], bars.close[i]] = row.gap % 2 === 0 ? [a, b] : [b, a];
        bars.volume[i] = row.volume;
        if (bars.vwap) bars.vwap[i] = row.vwap ?? Number.NaN;
        if (bars.trades) bars.trades[i] = row.trades ?? -1;
      });
      return bars;
    });
}

/** Several symbols' bars laid end to end, as the kernel takes them. */
export function arbitraryMarket(): fc.Arbitrary<{ readonly bars: Bars; readonly starts: Int32Array }> {
  return fc.array(arbitraryBars(), { minLength: 1, maxLength: 5 }).map((histories) => concatHistories(histories));
}

export function concatHistories(histories: readonly Bars[]): { readonly bars: Bars; readonly starts: Int32Array } {
  const starts = new Int32Array(histories.length + 1);
  histories.forEach((history, s) => {
    starts[s + 1] = starts[s]! + history.session.length;
  });
  const bars = allocateBars(starts.at(-1)!, {
    vwap: histories.some((history) => history.vwap),
    trades: histories.some((history) => history.trades),
  });
  histories.forEach((history, s) => {
    for (const [name, values] of Object.entries(history)) bars[name as keyof Bars]!.set(values, starts[s]);
  });
  return { bars, starts };
}

export const arbitraryIntervals: fc.Arbitrary<number[]> = fc.uniqueArray(fc.integer({ min: 1, max: 70 }), {
  minLength: 1,
  maxLength: 6,
});
