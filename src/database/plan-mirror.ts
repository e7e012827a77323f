import type { Shard } from '../lake/shard.ts';
import { formatMonth, parseMonth } from '../session.ts';
import type { Division } from './silver-state.ts';

/** A month file, by its shard and its content. */
export interface SilverFile {
  readonly shard: Shard;
  readonly digest: string;
}

/** What is to become of a month of a table. */
export interface MonthPlan {
  /** Files whose rows are to be those of their shard's symbols. */
  readonly write: readonly SilverFile[];
  /** Recorded files that are no more: their rows are deleted, but for those that are written. */
  readonly drop: readonly Shard[];
  /** What was recorded is another division's: all of it is replaced at once, or nothing. */
  readonly isWhole: boolean;
  /** Recorded files of another division, in whose place nothing can be put as yet. */
  readonly waiting: readonly SilverFile[];
  /** Files whose rows are there. */
  readonly unchanged: number;
}

const NOTHING: MonthPlan = { write: [], drop: [], isWhole: false, waiting: [], unchanged: 0 };

/**
 * Plans a month of a table: pure.
 *
 * @param recorded the files that the table has the rows of; all of one division
 */
export function planMonth(division: Division | undefined, month: number, recorded: readonly SilverFile[]): MonthPlan {
  if (!division) return { ...NOTHING, waiting: recorded };
  const { count, shards, isComplete } = division;
  const files = [...shards].flatMap(([index, months]): SilverFile[] => {
    const file = months[formatMonth(month)];
    return file ? [{ shard: { index, count }, digest: file.digest }] : [];
  });
  if (recorded.some(({ shard }) => shard.count !== count)) {
    // Until all of the new division is there, its symbols' rows are those of the old one.
    if (!isComplete) return { ...NOTHING, waiting: recorded };
    return { ...NOTHING, write: files, drop: recorded.map(({ shard }) => shard), isWhole: true };
  }
  const [found, known] = [digestsOf(files), digestsOf(recorded)];
  const write = files.filter(({ shard, digest }) => known.get(shard.index) !== digest);
  const drop = recorded
    .map(({ shard }) => shard)
    // Of a shard that no checkpoint tells of nothing is known.
    .filter(({ index }) => shards.has(index) && !found.has(index));
  return { ...NOTHING, write, drop, unchanged: files.length - write.length };
}

/** {@link planMonth} of all months that silver or the table has. */
export function planMonths(
  division: Division | undefined,
  recorded: ReadonlyMap<number, readonly SilverFile[]>,
): ReadonlyMap<number, MonthPlan> {
  const months = [...(division?.shards.values() ?? [])].flatMap((files) => Object.keys(files).map(parseMonth));
  return new Map(
    [...new Set([...months, ...recorded.keys()])].map((month) => [
      month,
      planMonth(division, month, recorded.get(month) ?? []),
    ]),
  );
}

/** Of files of one division, by index of their shard. */
function digestsOf(files: readonly SilverFile[]): ReadonlyMap<number, string> {
  return new Map(files.map(({ shard, digest }) => [shard.index, digest]));
}

/** As many rows, and files, at most are brought in one transaction, or those of one month: each has a price of its own. */
const BATCH_ROWS = 20_000;
const BATCH_FILES = 60;

/**
 * Divides months into those that are brought at once: the latest first, as they are asked for most; in each batch ascending.
 *
 * @param months whose files the division has, or has no more
 */
export function batchMonths({ count, shards }: Division, months: Iterable<number>): readonly (readonly number[])[] {
  const batches: number[][] = [];
  let rows = 0;
  for (const month of [...months].sort((a, b) => b - a)) {
    const files = Array.from(shards.values(), (of) => of[formatMonth(month)]);
    const known = files.reduce((sum, file) => sum + (file?.rows ?? 0), 0);
    // The other shards may have come when it is brought.
    const more = (known * count) / shards.size;
    const batch = batches.at(-1);
    if (!batch || (batch.length + 1) * count > BATCH_FILES || rows + more > BATCH_ROWS) {
      batches.push([month]);
      rows = more;
    } else {
      batch.unshift(month);
      rows += more;
    }
  }
  return batches;
}
