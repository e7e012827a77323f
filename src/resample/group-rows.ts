import { monthOf } from '../session.ts';
import { type Groups, groupVwap } from './groups.ts';

/** A group on its way to its month file is 8 words of 8 bytes, one cache line. */
export const ROW_WORDS = 8;
/** As 32-bit numbers; the first four are symbol, first session, last session and bars, then follow open … vwap. */
export const ROW_NUMBERS = ROW_WORDS * 2;
/** More months than a symbol can have sessions in. */
const MONTHS = 12 * 10_000;

/** Groups sorted by interval and month; within a month they are in the order they were made in. */
export interface GroupRows {
  /** Shared memory, so that any thread reads them where they are. */
  readonly rows: SharedArrayBuffer;
  /** Interval and month of each part ({@link partitionOf}), ascending. */
  readonly partitions: Int32Array;
  /** Part i has the rows `starts[i]` to `starts[i + 1]`. */
  readonly starts: Int32Array;
}

/** Number of a month ({@link monthOf}) of interval k. */
export function partitionOf(k: number, month: number): number {
  return k * MONTHS + month;
}

/** The month of interval k that a partition is, or `undefined` where it is another interval's. */
export function monthOfPartition(partition: number, k: number): number | undefined {
  return Math.floor(partition / MONTHS) === k ? partition % MONTHS : undefined;
}

/**
 * Sorts groups into rows by interval and month: months are counted, then each group is written to its place.
 *
 * @param ids what the symbol indexes of `groups` are in the rows
 */
export function sortGroups(groups: readonly Groups[], ids: Int32Array): GroupRows {
  const months = findMonths(groups);
  const counts = new Int32Array(groups.length * months.count + 1);
  groups.forEach(({ session }, k) => {
    countMonths(session, months, counts, k * months.count + 1);
  });
  // From counts to places: partition p begins at at[p].
  const at = counts;
  for (let p = 1; p < at.length; p++) at[p]! += at[p - 1]!;
  const [partitions, starts] = [[] as number[], [] as number[]];
  for (let p = 0; p + 1 < at.length; p++) {
    if (at[p] === at[p + 1]) continue;
    partitions.push(partitionOf(Math.floor(p / months.count), months.first + (p % months.count)));
    starts.push(at[p]!);
  }
  const length = at.at(-1)!;
  const rows = new SharedArrayBuffer(length * ROW_WORDS * Float64Array.BYTES_PER_ELEMENT);
  groups.forEach((made, k) => {
    writeRows(made, ids, months, { rows, at: at.subarray(k * months.count) });
  });
  return { rows, partitions: Int32Array.from(partitions), starts: Int32Array.from([...starts, length]) };
}

interface Months {
  readonly firstSession: number;
  /** Months from `first` on, by session from `firstSession` on. */
  readonly of: Int32Array;
  readonly first: number;
  readonly count: number;
}

let known: Months = { firstSession: 0, of: new Int32Array(), first: 0, count: 1 };

/** Months of all sessions that groups begin with; the table is kept for the next call. */
function findMonths(groups: readonly Groups[]): Months {
  let [first, last] = [known.firstSession, known.firstSession + known.of.length - 1];
  if (last < first) [first, last] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const [known0, known1] = [first, last];
  for (const { session } of groups) {
    for (let i = 0; i < session.length; i++) {
      const value = session[i]!;
      if (value < first) first = value;
      if (value > last) last = value;
    }
  }
  if (first < known0 || last > known1) {
    const firstMonth = monthOf(first);
    const of = new Int32Array(last - first + 1);
    for (let i = 0; i < of.length; i++) of[i] = monthOf(first + i) - firstMonth;
    known = { firstSession: first, of, first: firstMonth, count: of.at(-1)! + 1 };
  }
  return known;
}

function countMonths(session: Int32Array, { firstSession, of }: Months, counts: Int32Array, from: number): void {
  for (let i = 0; i < session.length; i++) counts[from + of[session[i]! - firstSession]!]!++;
}

function writeRows(
  groups: Groups,
  ids: Int32Array,
  { firstSession, of }: Months,
  { rows, at }: { readonly rows: SharedArrayBuffer; readonly at: Int32Array },
): void {
  const { symbol, session, endSession, open, high, low, close, volume, notional, bars } = groups;
  const [numbers, words] = [new Int32Array(rows), new Float64Array(rows)];
  for (let i = 0; i < session.length; i++) {
    const word = at[of[session[i]! - firstSession]!]!++ * ROW_WORDS;
    const number = word * 2;
    numbers[number] = ids[symbol[i]!]!;
    numbers[number + 1] = session[i]!;
    numbers[number + 2] = endSession[i]!;
    numbers[number + 3] = bars[i]!;
    words[word + 2] = open[i]!;
    words[word + 3] = high[i]!;
    words[word + 4] = low[i]!;
    words[word + 5] = close[i]!;
    words[word + 6] = volume[i]!;
    words[word + 7] = notional ? groupVwap(groups, i) : Number.NaN;
  }
}
