import type { RecentBars } from '../lake/recent-bars.ts';
import { type HistoryState, isContinued, isUnchanged } from './changed-rows.ts';
import type { BronzeSymbol } from './find-bronze.ts';

/** One interval, as far as it decides which bars are needed. */
export interface IntervalNeeds {
  readonly interval: number;
  /** What each symbol's groups were made of; nothing of symbols whose groups are all to be made anew. */
  readonly known: ReadonlyMap<string, HistoryState>;
  /** Groups of all symbols are needed, of all their bars. */
  readonly isWhole: boolean;
}

/** How to come by the bars of a symbol that have changed: nothing has, the recent ones are enough, or all must be read. */
export type Source = 'none' | 'recent' | 'all';

/** @param recent bars that are at hand; `undefined` = not looked yet, so that symbols are `recent` that may become `all` */
export function sourceOf(
  { symbol, entry }: BronzeSymbol,
  intervals: readonly IntervalNeeds[],
  recent?: RecentBars,
): Source {
  if (!entry || intervals.some(({ isWhole, known }) => isWhole || !isContinued(known.get(symbol), entry))) return 'all';
  if (intervals.every(({ known }) => isUnchanged(known.get(symbol), entry))) return 'none';
  if (!recent) return 'recent';
  const found = recent.symbols.get(symbol);
  if (found?.digest !== entry.digest) return 'all';
  const firstRow = entry.rows - (found.to - found.from);
  const reaches = ({ interval, known }: IntervalNeeds): boolean => {
    const { rows } = known.get(symbol)!;
    return rows === entry.rows || rows - (rows % interval) >= firstRow;
  };
  return intervals.every(reaches) ? 'recent' : 'all';
}
