import type { Bars } from '../bars.ts';
import type { Groups } from './groups.ts';

/** Where the groups of a symbol go, and the open group it goes on with. */
export interface Target {
  readonly symbol: number;
  readonly output: Groups;
  readonly at: number;
  readonly carry: Groups | undefined;
  readonly carryAt: number;
}

/**
 * Groups of n of rows `from` to `to`, with typed arrays alone: what the kernel is defined by. It does open groups that are
 * carried on, and few rows.
 *
 * @returns one past the last group
 */
export function resampleSymbol(bars: Bars, from: number, to: number, n: number, target: Target): number {
  const { symbol, output, carry, carryAt } = target;
  let [i, at] = [from, target.at];
  if (carry && from < to) {
    i = Math.min(to, from + n - carry.bars[carryAt]!);
    resumeGroup(bars, from, i, { ...target, carry });
    at++;
  }
  const { session, open, high, low, close, volume, vwap } = bars;
  const { notional: notionals } = output;
  for (; i < to; at++) {
    const end = Math.min(to, i + n);
    output.symbol[at] = symbol;
    output.session[at] = session[i]!;
    output.open[at] = open[i]!;
    output.bars[at] = end - i;
    let highest = high[i]!;
    let lowest = low[i]!;
    let sum = 0;
    let notional = 0;
    for (; i < end; i++) {
      if (high[i]! > highest) highest = high[i]!;
      if (low[i]! < lowest) lowest = low[i]!;
      // A bar that did not trade has no part in the average, whatever its vwap says.
      if (notionals && volume[i] !== 0) notional += vwap ? vwap[i]! * volume[i]! : Number.NaN;
      sum += volume[i]!;
    }
    output.endSession[at] = session[end - 1]!;
    output.high[at] = highest;
    output.low[at] = lowest;
    output.close[at] = close[end - 1]!;
    output.volume[at] = sum;
    if (notionals) notionals[at] = notional;
  }
  return at;
}

/** The first group of a symbol whose open group is carried on. */
function resumeGroup(
  { session, high, low, close, volume, vwap }: Bars,
  from: number,
  end: number,
  { symbol, output, at, carry, carryAt }: Target & { readonly carry: Groups },
): void {
  let [highest, lowest, sum] = [carry.high[carryAt]!, carry.low[carryAt]!, carry.volume[carryAt]!];
  let notional = carriedNotional(carry, carryAt);
  for (let i = from; i < end; i++) {
    if (high[i]! > highest) highest = high[i]!;
    if (low[i]! < lowest) lowest = low[i]!;
    if (volume[i] !== 0) notional += vwap ? vwap[i]! * volume[i]! : Number.NaN;
    sum += volume[i]!;
  }
  output.symbol[at] = symbol;
  output.session[at] = carry.session[carryAt]!;
  output.endSession[at] = session[end - 1]!;
  output.open[at] = carry.open[carryAt]!;
  output.high[at] = highest;
  output.low[at] = lowest;
  output.close[at] = close[end - 1]!;
  output.volume[at] = sum;
  if (output.notional) output.notional[at] = notional;
  output.bars[at] = carry.bars[carryAt]! + end - from;
}

// Bars without any vwap leave the notional out; only groups that have not traded at all go on from zero.
function carriedNotional(carry: Groups, at: number): number {
  return carry.notional?.[at] ?? (carry.volume[at] === 0 ? 0 : Number.NaN);
}
