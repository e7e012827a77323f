import type { ClientBase, DatabaseError, QueryResult } from 'pg';
import { sliceBars } from '../bars.ts';
import { BRONZE_SCHEMA } from '../lake/bronze.ts';
import type { StoreCall } from '../lake/store.ts';
import { firstDayOf, formatSession, monthOf } from '../session.ts';
import { type BarRows, checkRows, orderRows, rowsToColumns } from './bar-rows.ts';
import type { Database } from './connection.ts';
import { stageRows } from './copy-rows.ts';

/** What became of rows. */
export interface UpsertCounts {
  /** Rows that are there now and were not, or were others. */
  readonly written: number;
  /** Rows that were there already. */
  readonly unchanged: number;
  /** Rows of months that the database does not keep. */
  readonly outside: number;
}

const NAMES = BRONZE_SCHEMA.map(({ name }) => name);
const VALUES = NAMES.slice(2);
const SET_VALUES = `(${VALUES.join(', ')}) = ROW(${listValues('excluded')})`;
/** What becomes of a row that is there. */
const UPDATED = { raw_ohlcv: SET_VALUES, raw_ohlcv_archive: `${SET_VALUES}, archived_at = now()` };
const UNIQUE_VIOLATION = '23505';
/** Rows of a transaction: 10 MB on their way. */
export const BATCH_ROWS = 100_000;

/**
 * Writes bars, each in the place of the one that is there of its symbol and session: in `raw_ohlcv`, or in the archive where its
 * month has been archived. Those of months before `keepFrom` that the database does not have are passed over.
 *
 * @param keepFrom the first month ({@link monthOf}) that is kept
 * @throws BatchLayerError `BadInput` naming a row that is no bar, and nothing is written; and what a transaction throws
 */
export async function upsertBars(
  database: Database,
  rows: BarRows,
  { keepFrom, signal }: StoreCall & { readonly keepFrom: number },
): Promise<UpsertCounts> {
  checkRows(rows);
  const counts = { written: 0, unchanged: 0, outside: 0 };
  for (let from = 0; from < rows.symbols.length; from += BATCH_ROWS) {
    const to = Math.min(rows.symbols.length, from + BATCH_ROWS);
    const batch = { symbols: rows.symbols.slice(from, to), bars: sliceBars(rows.bars, from, to) };
    const made = await database.transaction((client) => upsertBatch(client, batch, { keepFrom, signal }), { signal });
    counts.written += made.written;
    counts.unchanged += made.unchanged;
    counts.outside += made.outside;
  }
  return counts;
}

/** Commit point: a batch is in the database whole, when the transaction ends, or not at all. */
async function upsertBatch(
  client: ClientBase,
  rows: BarRows,
  { keepFrom, signal }: StoreCall & { readonly keepFrom: number },
): Promise<UpsertCounts> {
  const columns = rowsToColumns(rows);
  const { session } = rows.bars;
  const targets = await routeSessions(client, new Set(session), keepFrom);
  const ordered = orderRows(rows);
  const counts = { written: 0, unchanged: 0, outside: ordered.length };
  for (const [target, table] of [
    ['raw', 'raw_ohlcv'],
    ['archive', 'raw_ohlcv_archive'],
  ] as const) {
    const order = ordered.filter((row) => targets.get(session[row]!) === target);
    if (order.length === 0) continue;
    await stageRows(client, BRONZE_SCHEMA, columns, { order, signal });
    const written = await takeStaged(client, table);
    counts.written += written;
    counts.unchanged += order.length - written;
    counts.outside -= order.length;
  }
  return counts;
}

/** Where the bars of sessions belong; it stays so until the transaction ends. */
async function routeSessions(
  client: ClientBase,
  sessions: ReadonlySet<number>,
  keepFrom: number,
): Promise<ReadonlyMap<number, string>> {
  const byMonth = new Map([...sessions].map((session) => [session, monthOf(session)]));
  const months = [...new Set(byMonth.values())].sort((a, b) => a - b);
  const { rows } = await client.query<{ target: string }>('SELECT target FROM route_ohlcv_months($1, $2)', [
    months.map((month) => formatSession(firstDayOf(month))),
    formatSession(firstDayOf(keepFrom)),
  ]);
  return new Map([...byMonth].map(([session, month]) => [session, rows[months.indexOf(month)]!.target]));
}

/** Takes the staged rows over into a table. @returns how many were not there */
async function takeStaged(client: ClientBase, table: keyof typeof UPDATED): Promise<number> {
  // Rows that are all new go in twice as fast without ON CONFLICT; others fail at the first one that is there (decision 023).
  await client.query('SAVEPOINT plain');
  const insert = `INSERT INTO ${table} AS t (${NAMES.join(', ')}) SELECT ${NAMES.join(', ')} FROM staged`;
  let made: QueryResult;
  try {
    made = await client.query(insert);
  } catch (error) {
    if ((error as DatabaseError).code !== UNIQUE_VIOLATION) throw error;
    await client.query('ROLLBACK TO plain');
    made = await client.query(`${insert}
      ON CONFLICT (symbol, date) DO UPDATE SET ${UPDATED[table]}
      WHERE (${listValues('t')}) IS DISTINCT FROM (${listValues('excluded')})`);
  }
  await client.query('DROP TABLE staged');
  return made.rowCount ?? 0;
}

function listValues(row: string): string {
  return VALUES.map((name) => `${row}.${name}`).join(', ');
}
