import type { Bars } from '../bars.ts';
import { BatchLayerError } from '../errors.ts';
import { allocateGroups, type Groups } from './groups.ts';
import { resampleSymbol } from './reference-kernel.ts';
import { createSimdKernel, type SimdKernel } from './simd-kernel.ts';

/** The Fibonacci intervals, in sessions, that silver is made of. */
export const INTERVALS: readonly number[] = [3, 5, 8, 13, 21, 34];

/**
 * Resamples the bars of one or more symbols into groups of n consecutive bars, for every interval n.
 *
 * Group g of a symbol takes the bars with floor((row number − 1) / n) = g, row numbers counted from the symbol's first
 * bar: open is the first, high the highest, low the lowest, close the last, volume the sum from left to right. The last
 * group of a symbol may be open (fewer than n bars).
 *
 * Symbol s has the rows `starts[s]` to `starts[s + 1]`, so `starts` is one longer than there are symbols. Time is linear
 * in bars × intervals; nothing is allocated but the result and, once, 64 bytes a bar of the longest history.
 *
 * @param intervals whole numbers ≥ 1
 * @param carry for every interval, the open groups an earlier call ended with, ordered by symbol: a symbol that has one
 *   goes on with it, and its first group in the result replaces it. A symbol without new bars gets no group.
 * @returns groups of every interval, in the order of `intervals`
 * @throws BatchLayerError `BadInput` for an interval that is not a whole number ≥ 1
 *
 * @example
 * const [three] = resampleBars(bars, Int32Array.of(0, bars.session.length), [3]);
 */
export function resampleBars(
  bars: Bars,
  starts: Int32Array,
  intervals: readonly number[] = INTERVALS,
  carry?: readonly Groups[],
): Groups[] {
  checkIntervals(intervals);
  const ranges = { from: intervals.map(() => starts.subarray(0, -1)), to: starts.subarray(1) };
  return resampleRanges(bars, ranges, intervals, { carry });
}

/** Fewer rows than this take less time in the reference: six intervals of 64 rows 3.2 µs instead of 3.8, of 128 6.0 and 5.0. */
const MIN_SIMD_ROWS = 100;
/** More than any market has sessions: 64 MiB of wasm memory, which is kept. */
const MAX_SIMD_ROWS = 2 ** 20;

let simdKernel: SimdKernel | undefined;

/** Rows that groups are made of: for interval k and symbol s, `from[k][s]` to `to[s]`. */
export interface RowRanges {
  readonly from: readonly Int32Array[];
  readonly to: Int32Array;
}

/**
 * {@link resampleBars} where the rows differ by interval: groups are counted from the first row of each range.
 *
 * @param allocate where the groups of interval k go; zeros are not needed
 * @param withSimd false for the reference alone, which makes the same groups in more time
 */
export function resampleRanges(
  bars: Bars,
  { from, to }: RowRanges,
  intervals: readonly number[],
  {
    carry,
    allocate = (_, length, withNotional) => allocateGroups(length, withNotional),
    withSimd = true,
  }: {
    readonly carry?: readonly Groups[] | undefined;
    readonly allocate?: (k: number, length: number, withNotional: boolean) => Groups;
    readonly withSimd?: boolean;
  } = {},
): Groups[] {
  const outputs = intervals.map((n, k) =>
    allocate(
      k,
      countGroups(from[k]!, to, n, carry?.[k]),
      bars.vwap !== undefined || carry?.[k]?.notional !== undefined,
    ),
  );
  const written = new Int32Array(intervals.length);
  const carried = new Int32Array(intervals.length);
  if (withSimd) simdKernel ??= createSimdKernel();
  // Intervals inside symbols: one symbol's bars (16,000 at most) stay in cache while all intervals read them.
  for (let symbol = 0; symbol < to.length; symbol++) {
    const end = to[symbol]!;
    let first = end;
    for (const starts of from) first = Math.min(first, starts[symbol]!);
    const simd = withSimd && end - first >= MIN_SIMD_ROWS && end - first <= MAX_SIMD_ROWS ? simdKernel : undefined;
    simd?.load(bars, first, end);
    for (let k = 0; k < intervals.length; k++) {
      const open = carry?.[k];
      while (open && carried[k]! < open.symbol.length && open.symbol[carried[k]!]! < symbol) carried[k]!++;
      const resumed = open?.symbol[carried[k]!] === symbol ? open : undefined;
      const target = { symbol, output: outputs[k]!, at: written[k]!, carry: resumed, carryAt: carried[k]! };
      const [n, start] = [intervals[k]!, from[k]![symbol]!];
      written[k] =
        simd && !resumed ? simd.resample(bars, start, n, target) : resampleSymbol(bars, start, end, n, target);
    }
  }
  return outputs;
}

/** The groups among `groups` that have fewer than n bars: what a later call takes as `carry`. */
export function openGroups(groups: Groups, n: number): Groups {
  const rows: number[] = [];
  for (let i = 0; i < groups.bars.length; i++) if (groups.bars[i]! < n) rows.push(i);
  const open = allocateGroups(rows.length, groups.notional !== undefined);
  for (const name of Object.keys(open) as (keyof Groups)[]) {
    const [from, to] = [groups[name]!, open[name]!];
    rows.forEach((row, i) => {
      to[i] = from[row]!;
    });
  }
  return open;
}

/** @throws BatchLayerError `BadInput` unless every interval is a whole number ≥ 1 and named once. */
export function checkIntervals(intervals: readonly number[]): void {
  const wrong = intervals.find((n, k) => !Number.isInteger(n) || n < 1 || intervals.indexOf(n) !== k);
  if (wrong !== undefined || intervals.length === 0) {
    throw new BatchLayerError('BadInput', `intervals [${intervals}]: expected distinct whole numbers of sessions ≥ 1`);
  }
}

function countGroups(from: Int32Array, to: Int32Array, n: number, open?: Groups): number {
  let count = 0;
  for (let symbol = 0, o = 0; symbol < to.length; symbol++) {
    const rows = to[symbol]! - from[symbol]!;
    while (open && o < open.symbol.length && open.symbol[o]! < symbol) o++;
    const carriedBars = open && open.symbol[o] === symbol ? open.bars[o]! : 0;
    if (rows > 0) count += Math.ceil((carriedBars + rows) / n);
  }
  return count;
}
