/**
 * Groups of one interval as a struct of arrays, one entry a group, ordered by symbol and session.
 *
 * An open group (fewer bars than the interval) holds all the state that is needed to go on with it later.
 */
export interface Groups {
  /** Index of the group's symbol in the order the kernel was given them. */
  readonly symbol: Int32Array;
  /** First and last session of the group, in days since 1970-01-01. */
  readonly session: Int32Array;
  readonly endSession: Int32Array;
  readonly open: Float64Array;
  readonly high: Float64Array;
  readonly low: Float64Array;
  readonly close: Float64Array;
  readonly volume: Float64Array;
  /** Sum of vwap × volume over the group's bars; NaN where a bar that traded has no vwap. Left out where none has one. */
  readonly notional?: Float64Array;
  /** Number of bars so far, 1 to n. */
  readonly bars: Int32Array;
}

/** Groups of `length` rows, all zero; absent (NaN) notional where asked for. */
export function allocateGroups(length: number, withNotional: boolean): Groups {
  return {
    symbol: new Int32Array(length),
    session: new Int32Array(length),
    endSession: new Int32Array(length),
    open: new Float64Array(length),
    high: new Float64Array(length),
    low: new Float64Array(length),
    close: new Float64Array(length),
    volume: new Float64Array(length),
    ...(withNotional ? { notional: new Float64Array(length) } : {}),
    bars: new Int32Array(length),
  };
}

/** Rows `from` (inclusive) to `to` (exclusive), as views of the same memory. */
export function sliceGroups(groups: Groups, from: number, to: number): Groups {
  return {
    symbol: groups.symbol.subarray(from, to),
    session: groups.session.subarray(from, to),
    endSession: groups.endSession.subarray(from, to),
    open: groups.open.subarray(from, to),
    high: groups.high.subarray(from, to),
    low: groups.low.subarray(from, to),
    close: groups.close.subarray(from, to),
    volume: groups.volume.subarray(from, to),
    ...(groups.notional ? { notional: groups.notional.subarray(from, to) } : {}),
    bars: groups.bars.subarray(from, to),
  };
}

/** Volume-weighted average price of group `i`, NaN where it has none: a bar without vwap, or no volume at all. */
export function groupVwap(groups: Groups, i: number): number {
  return groups.notional === undefined ? Number.NaN : groups.notional[i]! / groups.volume[i]!;
}
