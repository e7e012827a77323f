import { allocateBars, type Bars, sliceBars } from '../bars.ts';
import { allocateGroups, type Groups, sliceGroups } from './groups.ts';

// Memory that is used again: fresh memory costs more than what is done with it (bench/NOTES.md).

const GROWTH = 1.5;
const FIRST_ROWS = 65_536;

/** Bars end to end, in memory that grows and is kept. */
export function createBarsScratch(): {
  /** Copies bars to rows `at` and on. @returns one past the last row */
  append(bars: Bars, at: number): number;
  /** The first `length` rows, until the next {@link append}. */
  bars(length: number): Bars;
} {
  let kept = allocateBars(0, { vwap: true });
  return {
    append(bars, at) {
      const end = at + bars.session.length;
      if (end > kept.session.length) {
        const grown = allocateBars(Math.max(FIRST_ROWS, Math.ceil(end * GROWTH)), { vwap: true });
        copyBars(kept, grown, 0, at);
        kept = grown;
      }
      copyBars(bars, kept, at, bars.session.length);
      return end;
    },
    bars: (length) => sliceBars(kept, 0, length),
  };
}

function copyBars(source: Bars, target: Bars, at: number, length: number): void {
  const copy = (from: Int32Array | Float64Array, to: Int32Array | Float64Array): void => {
    to.set(from.length === length ? from : from.subarray(0, length), at);
  };
  copy(source.session, target.session);
  copy(source.open, target.open);
  copy(source.high, target.high);
  copy(source.low, target.low);
  copy(source.close, target.close);
  copy(source.volume, target.volume);
  if (source.vwap) copy(source.vwap, target.vwap!);
  else target.vwap!.fill(Number.NaN, at, at + length);
}

/** Memory for the groups of each interval, that grows and is kept: an allocation is good until the next one of its interval. */
export function createGroupsScratch(): (k: number, length: number) => Groups {
  const kept: Groups[] = [];
  return (k, length) => {
    if ((kept[k]?.bars.length ?? -1) < length) kept[k] = allocateGroups(Math.ceil(length * GROWTH), true);
    return sliceGroups(kept[k]!, 0, length);
  };
}
