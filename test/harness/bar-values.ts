import { allocateBars, type Bars } from '../../src/bars.ts';

/** A bar of the harness by session; one value stands for all its columns, so that bars can be told apart. */
export type Values = ReadonlyMap<number, number>;

/** The bars that some values stand for, in ascending order of session. */
export function barsOf(values: Values): Bars {
  const sorted = [...values].sort(([a], [b]) => a - b);
  const bars = allocateBars(sorted.length);
  for (const [i, [session, value]] of sorted.entries()) {
    bars.session[i] = session;
    bars.open[i] = value + 1;
    bars.high[i] = value + 3;
    bars.low[i] = value;
    bars.close[i] = value + 2;
    bars.volume[i] = value * 100;
  }
  return bars;
}

/** The values that bars stand for; NaN where a bar is none of the harness: a mixture, or damaged. */
export function valuesOf({ session, open, high, low, close, volume, vwap, trades }: Bars): Values {
  return new Map(
    Array.from(session, (day, i) => {
      const value = low[i]!;
      const isWhole = open[i] === value + 1 && high[i] === value + 3 && close[i] === value + 2;
      return [day, isWhole && volume[i] === value * 100 && !vwap && !trades ? value : Number.NaN];
    }),
  );
}
