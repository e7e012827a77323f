import type { Bars } from '../bars.ts';
import { readBarsViews } from '../lake/bronze.ts';
import { changesOf } from '../lake/consolidated.ts';
import { appendedTo } from '../lake/history.ts';
import { dataKey } from '../lake/keys.ts';
import { type FailedSymbol, failedSymbol } from '../progress.ts';
import { firstChangedRow, type HistoryState, isUnchanged } from './changed-rows.ts';
import { type GroupRows, sortGroups } from './group-rows.ts';
import type { Groups } from './groups.ts';
import { resampleRanges } from './kernel.ts';
import { createBarsScratch, createGroupsScratch } from './scratch.ts';

/** A session before all others: every group is to be made again. */
export const ALL_SESSIONS = -(2 ** 31);
/** A session after all others: no group is to be made again. */
export const NO_SESSION = 2 ** 31 - 1;

/** One symbol's `data.parquet`, as bytes `from` to `to` of its task. */
export interface SymbolBytes {
  readonly symbol: string;
  /** Number of the symbol in the rows that are made. */
  readonly id: number;
  readonly from: number;
  readonly to: number;
  /** By interval: what its groups were made of when they were made last; left out where they are all made anew. */
  readonly known?: readonly (HistoryState | undefined)[];
}

/** Some symbols to make groups of: plain data, so that any thread can. */
export interface GroupTask {
  readonly intervals: readonly number[];
  /** By interval: groups of all bars are wanted, not only of those that have changed. */
  readonly isWhole: readonly boolean[];
  readonly bytes: SharedArrayBuffer;
  readonly symbols: readonly SymbolBytes[];
}

/** What a symbol's groups were made of. */
export interface GroupedSymbol extends HistoryState {
  readonly id: number;
  /** Digests of versions that it only appends to, of those that groups may have been made of. */
  readonly appendedTo: readonly string[];
  /** By interval: groups that begin at this session or later are made again. */
  readonly since: readonly number[];
}

export interface GroupedSymbols {
  readonly groups: GroupRows;
  readonly grouped: readonly GroupedSymbol[];
  readonly failed: readonly FailedSymbol[];
}

const barsScratch = createBarsScratch();
const groupsScratch = createGroupsScratch();

/** Decodes some symbols' bars and makes their groups. Pure; a symbol that cannot be decoded is reported. */
export function groupSymbols({ intervals, isWhole, bytes, symbols }: GroupTask): GroupedSymbols {
  const grouped: GroupedSymbol[] = [];
  const failed: FailedSymbol[] = [];
  const ends: number[] = [];
  const firsts = intervals.map((): number[] => []);
  let end = 0;
  for (const { symbol, id, from, to, known } of symbols) {
    try {
      const start = end;
      const key = dataKey(symbol);
      readBarsViews(new Uint8Array(bytes, from, to - from), symbol, key, ({ bars, metadata }) => {
        const { session } = bars;
        if (session.length === 0) return;
        // Where groups are all made anew it does not matter what has changed.
        const changes = known ? changesOf(metadata, key) : [];
        const now = { rows: session.length, digest: metadata.digest!, appendedTo: appendedTo(changes, session) };
        const rows = intervals.map((n, k) => firstChangedRow(known?.[k], now, changes, session, n));
        const since = rows.map((row, k) => (isUnchanged(known?.[k], now) ? NO_SESSION : sinceRow(session, row)));
        grouped.push({ id, ...now, firstSession: session[0]!, lastSession: session.at(-1)!, since });
        end = barsScratch.append(bars, start);
        ends.push(end);
        rows.forEach((row, k) => {
          firsts[k]!.push(start + (isWhole[k] ? 0 : row));
        });
      });
    } catch (error) {
      failed.push(failedSymbol(symbol, error));
    }
  }
  const ranges = { from: firsts.map((rows) => Int32Array.from(rows)), to: Int32Array.from(ends) };
  const made = makeGroups(barsScratch.bars(end), ranges, intervals);
  return {
    groups: sortGroups(
      made,
      Int32Array.from(grouped, ({ id }) => id),
    ),
    grouped,
    failed,
  };
}

/** Groups in memory of this module, which the next call writes over. */
export function makeGroups(
  bars: Bars,
  ranges: Parameters<typeof resampleRanges>[1],
  intervals: readonly number[],
): Groups[] {
  return resampleRanges(bars, ranges, intervals, { allocate: groupsScratch });
}

// Rows before this one are the same bars as before, so groups that began with one of them stay.
function sinceRow(session: Int32Array, row: number): number {
  return row === 0 ? ALL_SESSIONS : session[row - 1]! + 1;
}
