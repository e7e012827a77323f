import { BatchLayerError } from './errors.ts';
import { formatSession } from './session.ts';

/**
 * Bars as a struct of arrays, one entry a bar, all arrays of one length.
 *
 * One symbol's bars are in ascending order of session, each session once.
 */
export interface Bars {
  /** Exchange-local trading dates, in days since 1970-01-01. */
  readonly session: Int32Array;
  /** Raw (not split-adjusted) prices in dollars. */
  readonly open: Float64Array;
  readonly high: Float64Array;
  readonly low: Float64Array;
  readonly close: Float64Array;
  /** Shares traded; fractional since 2026-02-23. */
  readonly volume: Float64Array;
  /** Volume-weighted average price; NaN = absent. Left out where no bar has one. */
  readonly vwap?: Float64Array;
  /** Number of trades; −1 = absent. Left out where no bar has one. */
  readonly trades?: Int32Array;
}

/** The price and volume columns every bar has. */
export const REQUIRED_VALUES = ['open', 'high', 'low', 'close', 'volume'] as const;

/** Bars of `length` rows: zeros, and where asked for, absent vwap (NaN) and trades (−1). */
export function allocateBars(
  length: number,
  optional: { readonly vwap?: boolean; readonly trades?: boolean } = {},
): Bars {
  return {
    session: new Int32Array(length),
    open: new Float64Array(length),
    high: new Float64Array(length),
    low: new Float64Array(length),
    close: new Float64Array(length),
    volume: new Float64Array(length),
    ...(optional.vwap ? { vwap: new Float64Array(length).fill(Number.NaN) } : {}),
    ...(optional.trades ? { trades: new Int32Array(length).fill(-1) } : {}),
  };
}

/** Rows `from` (inclusive) to `to` (exclusive), as views of the same memory. */
export function sliceBars(bars: Bars, from: number, to: number): Bars {
  return {
    session: bars.session.subarray(from, to),
    open: bars.open.subarray(from, to),
    high: bars.high.subarray(from, to),
    low: bars.low.subarray(from, to),
    close: bars.close.subarray(from, to),
    volume: bars.volume.subarray(from, to),
    ...(bars.vwap ? { vwap: bars.vwap.subarray(from, to) } : {}),
    ...(bars.trades ? { trades: bars.trades.subarray(from, to) } : {}),
  };
}

/** Copies row `i` of `source` to row `at` of `target`; optional columns only where both have them. */
export function copyBar(source: Bars, i: number, target: Bars, at: number): void {
  target.session[at] = source.session[i]!;
  for (const name of REQUIRED_VALUES) target[name][at] = source[name][i]!;
  if (target.vwap && source.vwap) target.vwap[at] = source.vwap[i]!;
  if (target.trades && source.trades) target.trades[at] = source.trades[i]!;
}

/** Whether row `i` of `a` and row `j` of `b` are the same bar to the bit, absent values included. */
export function sameBar(a: Bars, i: number, b: Bars, j: number): boolean {
  return (
    a.session[i] === b.session[j] &&
    REQUIRED_VALUES.every((name) => Object.is(a[name][i], b[name][j])) &&
    Object.is(a.vwap?.[i] ?? Number.NaN, b.vwap?.[j] ?? Number.NaN) &&
    (a.trades?.[i] ?? -1) === (b.trades?.[j] ?? -1)
  );
}

/**
 * The union of two histories of one symbol; where both have a session, the bar of `newer` wins.
 *
 * Both must be in ascending order of session ({@link checkHistory}).
 */
export function mergeBars(older: Bars, newer: Bars): Bars {
  const [a, b] = [older.session, newer.session];
  const target = allocateBars(unionLength(a, b), {
    vwap: older.vwap !== undefined || newer.vwap !== undefined,
    trades: older.trades !== undefined || newer.trades !== undefined,
  });
  let [i, j, at] = [0, 0, 0];
  while (i < a.length || j < b.length) {
    // Histories overlap little: what lies before the other's next session goes in one piece.
    const ofA = runBefore(a, i, b[j]);
    copyBars(older, i, i + ofA, target, at);
    i += ofA;
    at += ofA;
    if (i < a.length && a[i] === b[j]) i++;
    const ofB = runBefore(b, j, a[i]);
    copyBars(newer, j, j + ofB, target, at);
    j += ofB;
    at += ofB;
  }
  return target;
}

/** How many of `sessions` from `from` on come before `limit`; all that are left where there is none. */
function runBefore(sessions: Int32Array, from: number, limit: number | undefined): number {
  if (limit === undefined) return sessions.length - from;
  let end = from;
  while (end < sessions.length && sessions[end]! < limit) end++;
  return end - from;
}

function copyBars(source: Bars, from: number, to: number, target: Bars, at: number): void {
  if (from === to) return;
  target.session.set(source.session.subarray(from, to), at);
  for (const name of REQUIRED_VALUES) target[name].set(source[name].subarray(from, to), at);
  if (target.vwap && source.vwap) target.vwap.set(source.vwap.subarray(from, to), at);
  if (target.trades && source.trades) target.trades.set(source.trades.subarray(from, to), at);
}

function unionLength(a: Int32Array, b: Int32Array): number {
  let shared = 0;
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i]! < b[j]!) i++;
    else if (a[i]! > b[j]!) j++;
    else {
      shared++;
      i++;
      j++;
    }
  }
  return a.length + b.length - shared;
}

/**
 * Checks that a symbol's bars are in ascending order, each session once.
 *
 * @throws BatchLayerError with `code`, naming `place` and the first session out of order.
 */
export function checkHistory(bars: Bars, place: string, code: 'BadInput' | 'CorruptObject' = 'BadInput'): void {
  for (let i = 1; i < bars.session.length; i++) {
    if (bars.session[i]! <= bars.session[i - 1]!) {
      const [before, here] = [formatSession(bars.session[i - 1]!), formatSession(bars.session[i]!)];
      throw new BatchLayerError(
        code,
        `${place}: row ${i} has session ${here} after ${before}: expected ascending, each once`,
      );
    }
  }
}
