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

const SELECT = `SELECT month - date '1970-01-01' AS first, shard_index AS index, shard_count AS count, digest
  FROM silver_files WHERE interval_sessions = $1`;

/** The table of an interval. */
export function silverTable(interval: number): string {
  return `silver_${interval}d`;
}

/** The first day of a month ({@link monthOf}), as the database has months. */
export function monthDate(month: number): string {
  return formatSession(firstDayOf(month));
}

/** Holds off everybody else who mirrors a month, until the transaction ends. */
export async function lockMonth(client: ClientBase, interval: number, month: number): Promise<void> {
  await client.query('SELECT pg_advisory_xact_lock($1, $2)', [LOCK, interval * MONTHS + month]);
}

/** The files that an interval's table has the rows of, by month. */
export async function readRecordedFiles(
  client: ClientBase,
  interval: number,
): Promise<ReadonlyMap<number, readonly SilverFile[]>> {
  const { rows } = await client.query<RecordedRow>(SELECT, [interval]);
  const files = new Map<number, SilverFile[]>();
  for (const row of rows) {
    const month = monthOf(row.first);
    files.set(month, [...(files.get(month) ?? []), toFile(row)]);
  }
  return files;
}

/** The files that a month of an interval's table has the rows of. */
export async function readRecordedMonth(
  client: ClientBase,
  interval: number,
  month: number,
): Promise<readonly SilverFile[]> {
  const { rows } = await client.query<RecordedRow>(`${SELECT} AND month = $2`, [interval, monthDate(month)]);
  return rows.map(toFile);
}

function toFile({ index, count, digest }: RecordedRow): SilverFile {
  return { shard: { index, count }, digest };
}

/** Records that a month has other files now: without those of `drop`, and with those of `write`. */
export async function recordFiles(
  client: ClientBase,
  interval: number,
  month: number,
  { drop, write }: { readonly drop: readonly SilverFile['shard'][]; readonly write: readonly SilverFile[] },
): Promise<void> {
  const of = [interval, monthDate(month)];
  if (drop.length > 0) {
    await client.query(
      `DELETE FROM silver_files WHERE interval_sessions = $1 AND month = $2
       AND (shard_index, shard_count) IN (SELECT * FROM unnest($3::integer[], $4::integer[]))`,
      [...of, drop.map(({ index }) => index), drop.map(({ count }) => count)],
    );
  }
  if (write.length === 0) return;
  await client.query(
    `INSERT INTO silver_files (interval_sessions, month, shard_index, shard_count, digest)
     SELECT $1, $2, * FROM unnest($3::integer[], $4::integer[], $5::text[])
     ON CONFLICT (interval_sessions, month, shard_index, shard_count) DO UPDATE SET digest = excluded.digest`,
    [
      ...of,
      write.map(({ shard }) => shard.index),
      write.map(({ shard }) => shard.count),
      write.map(({ digest }) => digest),
    ],
  );
}
