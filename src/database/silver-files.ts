import type { ClientBase } from 'pg';
import { firstDayOf, formatSession, monthOf } from '../session.ts';
import type { SilverFile } from './plan-mirror.ts';

// The table silver_files: which month files the tables of silver have the rows of.

/** First key of our advisory locks, any number that others are unlikely to use; the second key is that of a month. */
const LOCK = 5_117_231;
const MONTHS = 100_000;

interface RecordedRow {
  readonly first: number;
  readonly index: number;
  readonly count: number;
  readonly digest: string;
}

/** The table of an interval. */
export function silverTable(interval: number): string {
  return `silver_${interval}d`;
}

/** The first day of a month ({@link monthOf}), as the database has months. */
export function monthDate(month: number): string {
  return formatSession(firstDayOf(month));
}

/** Holds off everybody else who mirrors these months, until the transaction ends; waits for them one after the other. */
export async function lockMonths(client: ClientBase, interval: number, months: readonly number[]): Promise<void> {
  const locks = months.map((month) => interval * MONTHS + month);
  await client.query('SELECT pg_advisory_xact_lock($1, lock) FROM unnest($2::integer[]) AS lock', [LOCK, locks]);
}

/** The files that an interval's table has the rows of, by month; those of all months where none are named. */
export async function readRecordedFiles(
  client: ClientBase,
  interval: number,
  months?: readonly number[],
): Promise<ReadonlyMap<number, readonly SilverFile[]>> {
  const { rows } = await client.query<RecordedRow>(
    `SELECT month - date '1970-01-01' AS first, shard_index AS index, shard_count AS count, digest
     FROM silver_files WHERE interval_sessions = $1 AND ($2::date[] IS NULL OR month = ANY($2))`,
    [interval, months?.map(monthDate)],
  );
  const files = new Map<number, SilverFile[]>();
  for (const { first, index, count, digest } of rows) {
    const month = monthOf(first);
    files.set(month, [...(files.get(month) ?? []), { shard: { index, count }, digest }]);
  }
  return files;
}

/** What a month's files are now: no more those of `drop`, and those of `write`. */
interface ChangedMonth {
  readonly month: number;
  readonly drop: readonly SilverFile['shard'][];
  readonly write: readonly SilverFile[];
}

/** Records that months have other files now. */
export async function recordFiles(
  client: ClientBase,
  interval: number,
  months: readonly ChangedMonth[],
): Promise<void> {
  const drop = months.flatMap(({ month, drop: shards }) => shards.map((shard) => ({ month, shard })));
  const write = months.flatMap(({ month, write: files }) => files.map((file) => ({ month, ...file })));
  if (drop.length > 0) {
    await client.query(
      `DELETE FROM silver_files WHERE interval_sessions = $1
       AND (month, shard_index, shard_count) IN (SELECT * FROM unnest($2::date[], $3::integer[], $4::integer[]))`,
      [interval, ...keysOf(drop)],
    );
  }
  if (write.length === 0) return;
  await client.query(
    `INSERT INTO silver_files (interval_sessions, month, shard_index, shard_count, digest)
     SELECT $1, * FROM unnest($2::date[], $3::integer[], $4::integer[], $5::text[])
     ON CONFLICT (interval_sessions, month, shard_index, shard_count) DO UPDATE SET digest = excluded.digest`,
    [interval, ...keysOf(write), write.map(({ digest }) => digest)],
  );
}

function keysOf(files: readonly { readonly month: number; readonly shard: SilverFile['shard'] }[]): readonly unknown[] {
  return [
    files.map(({ month }) => monthDate(month)),
    files.map(({ shard }) => shard.index),
    files.map(({ shard }) => shard.count),
  ];
}
