import type { ReplayMarket } from './replay-market.ts';
import type { Correction, Traps } from './traps.ts';

/** A call that has passed all traps that are for any call. */
export interface Call {
  readonly url: URL;
  readonly market: ReplayMarket;
  readonly traps: Traps;
  readonly counters: Counters;
}

/** What traps that change with the number of calls have to know. */
export interface Counters {
  /** Empty answers given, by session. */
  readonly nullResults: Map<number, number>;
  /** Half answers given, by session. */
  readonly halfResults: Map<number, number>;
  /** Calls that asked for what a correction changes. */
  readonly corrections: Map<Correction, number>;
  /** Pages given of a ticker's range. */
  readonly rangePages: Map<string, number>;
}

export function createCounters(): Counters {
  return { nullResults: new Map(), halfResults: new Map(), corrections: new Map(), rangePages: new Map() };
}

/** Counts one more, and gives the count. */
export function countUp<Key>(counts: Map<Key, number>, key: Key): number {
  const count = (counts.get(key) ?? 0) + 1;
  counts.set(key, count);
  return count;
}
