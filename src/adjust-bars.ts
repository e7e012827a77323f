import { type Bars, checkHistory } from './bars.ts';
import { BatchLayerError } from './errors.ts';
import { lowerBound } from './lower-bound.ts';
import { formatSession } from './session.ts';

/** A change of what a share is: `from` old shares became `to` new ones. A reverse split has `from` > `to`. */
export interface Split {
  /** Execution date, in days since 1970-01-01: the first session with the new price. */
  readonly session: number;
  readonly from: number;
  readonly to: number;
}

/** What scales bars of a stretch: prices × from / to, volumes × to / from. */
type Ratio = Pick<Split, 'from' | 'to'>;

/** Dates go no further. */
const MAX_DAYS = 100_000_000;
const PRICES = ['open', 'high', 'low', 'close', 'vwap'] as const;

/**
 * One symbol's bars as if every later split had been before them, as adjusted prices are usually given: price and vwap ×
 * ∏(from / to), volume ÷ that, over the splits whose session is after the bar's; trades as they are. Dividends do not count.
 *
 * The bars are raw, in ascending order, and left as they are; the splits may be in any order. A split after the last bar
 * counts as well: it tells what a share is today. A price is rounded twice at most, and once where all splits are 1 to n or
 * n to 1, as long as the products of old and of new shares are below 2^53.
 *
 * @throws BatchLayerError `BadInput` for a split that is none (it is named), or bars out of order
 * @example
 * // Closes of 499.23 (2020-08-28) and 129.04 (2020-08-31) become 124.8075 and 129.04.
 * adjustBars(bars, [{ session: sessionFrom('2020-08-31'), from: 1, to: 4 }]);
 */
export function adjustBars(bars: Bars, splits: readonly Split[]): Bars {
  checkHistory(bars, 'bars to adjust');
  // Also of one session always in one order: where products are rounded, the order can be seen.
  const latestFirst = splits.map(checkSplit).sort((a, b) => b.session - a.session || a.from - b.from || a.to - b.to);
  const adjusted = copyBars(bars);
  let ratio: Ratio = { from: 1, to: 1 };
  let end = bars.session.length;
  for (const split of latestFirst) {
    const start = lowerBound(bars.session, split.session);
    scaleRows(adjusted, start, end, ratio);
    ratio = multiply(ratio, split);
    end = start;
  }
  scaleRows(adjusted, 0, end, ratio);
  return adjusted;
}

function checkSplit(split: Split): Split {
  const { session, from, to } = split;
  const isDay = Number.isInteger(session) && Math.abs(session) <= MAX_DAYS;
  if (isDay && from > 0 && to > 0 && Number.isFinite(from) && Number.isFinite(to)) return split;
  throw new BatchLayerError(
    'BadInput',
    `split of ${from} to ${to} shares on ${isDay ? formatSession(session) : session}: expected a day, and numbers above 0`,
  );
}

// Old and new shares are whole numbers nearly always. Their products are exact below 2^53, where 1/3 × 1/7 is not.
function multiply(ratio: Ratio, split: Split): Ratio {
  const [from, to] = [ratio.from * split.from, ratio.to * split.to];
  if (Math.max(from, to) <= 2 ** 53 && Math.min(from, to) >= 2 ** -53) return { from, to };
  const quotient = (ratio.from / ratio.to) * (split.from / split.to);
  if (quotient > 0 && Number.isFinite(quotient)) return { from: quotient, to: 1 };
  throw new BatchLayerError(
    'BadInput',
    `split of ${split.from} to ${split.to} shares on ${formatSession(split.session)}: with those after it, no price is left`,
  );
}

function scaleRows(bars: Bars, start: number, end: number, { from, to }: Ratio): void {
  if (from === to) return;
  for (const name of PRICES) if (bars[name]) scale(bars[name], start, end, from, to);
  scale(bars.volume, start, end, to, from);
}

function scale(values: Float64Array, start: number, end: number, factor: number, divisor: number): void {
  for (let i = start; i < end; i++) values[i] = (values[i]! * factor) / divisor;
}

function copyBars(bars: Bars): Bars {
  const { session, open, high, low, close, volume, vwap, trades } = bars;
  return {
    session: session.slice(),
    open: open.slice(),
    high: high.slice(),
    low: low.slice(),
    close: close.slice(),
    volume: volume.slice(),
    ...(vwap ? { vwap: vwap.slice() } : {}),
    ...(trades ? { trades: trades.slice() } : {}),
  };
}
