import { randomUUID } from 'node:crypto';
import { BatchLayerError, hasCode } from '../errors.ts';
import type { StoreCall } from '../lake/store.ts';
import type { OnProgress } from '../progress.ts';
import { firstDayOf, formatSession } from '../session.ts';
import type { Database } from './connection.ts';
import { firstKeptMonth } from './retention-window.ts';

/** {@link archiveBars}'s options. */
export interface ArchiveOptions {
  /** Archive; without it the plan is made and nothing is changed. */
  readonly apply?: boolean | undefined;
  /** Milliseconds since 1970-01-01; the system's clock where left out. */
  readonly now?: (() => number) | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Bars in `raw_ohlcv` of a month that is to be archived. */
export interface PlannedMonth {
  /** YYYY-MM. */
  readonly month: string;
  readonly rows: number;
  /** The sum of the bars' volumes. */
  readonly volume: number;
}

/** A month that was archived, or was to be. */
export interface ArchivedMonth extends PlannedMonth {
  /** Whether this run archived it; rows and volume are what the archive was given then. */
  readonly archived: boolean;
}

/** A month that could not be archived: its bars are where they were, and the others went on. */
export interface FailedMonth {
  readonly month: string;
  readonly code: string;
  readonly message: string;
}

/** What archiving came to. */
export interface RetentionResult {
  /** Whether months were archived, or only planned. */
  readonly applied: boolean;
  /** Months before this date, YYYY-MM-DD, are archived. */
  readonly cutoff: string;
  readonly months: readonly ArchivedMonth[];
  /** Of the months this run archived, or would. */
  readonly rows: number;
  readonly volume: number;
  /** Months that another run archived in the meantime. */
  readonly archivedByOthers: number;
  readonly failed: readonly FailedMonth[];
}

/**
 * The months in `raw_ohlcv` that are wholly before a date, and what they have; the oldest first.
 *
 * @param cutoff YYYY-MM-DD
 * @throws BatchLayerError what a transaction throws
 */
export function planArchive(
  database: Database,
  { cutoff, signal }: StoreCall & { readonly cutoff: string },
): Promise<readonly PlannedMonth[]> {
  return database.transaction(
    async (client) => {
      const { rows } = await client.query<{ month: string; rows: string; volume: string }>(
        `SELECT to_char(month, 'YYYY-MM') AS month, rows, volume FROM v_raw_ohlcv_data_distribution AS d
          WHERE d.month + interval '1 month' <= $1::date ORDER BY d.month`,
        [cutoff],
      );
      return rows.map((row) => ({ month: row.month, rows: Number(row.rows), volume: Number(row.volume) }));
    },
    { signal },
  );
}

/**
 * Moves the bars of months before the three years and one month that are kept from `raw_ohlcv` to `raw_ohlcv_archive`, month by
 * month, each whole or not at all. Without `apply` it tells what it would move.
 *
 * It may be stopped anywhere and run again, also twice at once. What a month came to is in `data_retention_log`.
 *
 * @throws BatchLayerError `BadInput` for what is wrong with every month, such as the role; what the plan throws
 * @example
 * const { months, rows } = await archiveBars(database);
 * await archiveBars(database, { apply: true });
 */
export async function archiveBars(
  database: Database,
  { apply = false, now = Date.now, onProgress, signal }: ArchiveOptions = {},
): Promise<RetentionResult> {
  const cutoff = formatSession(firstDayOf(firstKeptMonth(now())));
  const planned = await planArchive(database, { cutoff, signal });
  const run = { id: randomUUID(), cutoff };
  const months: ArchivedMonth[] = [];
  const failed: FailedMonth[] = [];
  let archivedByOthers = 0;
  for (const plan of planned) {
    const { month } = plan;
    try {
      const archived = apply ? await archiveMonth(database, month, { run, signal }) : undefined;
      if (apply && !archived) archivedByOthers++;
      months.push({ ...plan, ...archived, archived: archived !== undefined });
    } catch (error) {
      // What is wrong with the role or the schema is wrong for every month.
      if (hasCode(error, 'BadInput') || !(error instanceof BatchLayerError)) throw error;
      failed.push({ month, code: error.code, message: error.message });
      months.push({ ...plan, archived: false });
      await logFailure(database, month, { run, error, signal });
    }
    onProgress?.({ step: 'archive', done: months.length, total: planned.length });
  }
  const counted = months.filter(({ archived }) => archived || !apply);
  const rows = counted.reduce((sum, month) => sum + month.rows, 0);
  const volume = counted.reduce((sum, month) => sum + month.volume, 0);
  return { applied: apply, cutoff, months, rows, volume, archivedByOthers, failed };
}

interface MonthCall extends StoreCall {
  readonly run: { readonly id: string; readonly cutoff: string };
}

/** Commit point: a month's bars are in the archive, and no more in raw_ohlcv, when the transaction ends. */
function archiveMonth(
  database: Database,
  month: string,
  { run, signal }: MonthCall,
): Promise<Omit<PlannedMonth, 'month'> | undefined> {
  return database.transaction(
    async (client) => {
      const { rows } = await client.query<{ rows: string; volume: string }>(
        'SELECT rows, volume FROM archive_ohlcv_month($1, $2, $3)',
        [`${month}-01`, run.cutoff, run.id],
      );
      const [archived] = rows;
      return archived && { rows: Number(archived.rows), volume: Number(archived.volume) };
    },
    { signal },
  );
}

async function logFailure(
  database: Database,
  month: string,
  { run, error, signal }: MonthCall & { readonly error: BatchLayerError },
): Promise<void> {
  const values = [`${month}-01`, run.cutoff, run.id, error.message];
  try {
    await database.transaction((client) => client.query('SELECT log_archive_failure($1, $2, $3, $4)', values), {
      signal,
    });
  } catch {
    // Where the database is gone the result alone tells of it.
    signal?.throwIfAborted();
  }
}
