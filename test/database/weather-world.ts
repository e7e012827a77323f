import { allocateBars } from '../../src/bars.ts';
import type { BarRows } from '../../src/database/bar-rows.ts';
import { type Database, openDatabase } from '../../src/database/connection.ts';
import { upsertBars } from '../../src/database/upsert-bars.ts';
import { firstDayOf, formatSession, monthOf, sessionFrom } from '../../src/session.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres/database.ts';

/** A bar, all values of which come from one number: one that is mixed of two is seen. */
export type Entry = readonly [symbol: string, date: string, value: number];

export const KEEP_FROM = monthOf(sessionFrom('2023-01-01'));
const ARCHIVED = '2022-05';
const BAR = 'symbol, date, open, high, low, close, volume, vwap, trades';
const FIRST_NEW_MONTH = monthOf(sessionFrom('2025-01-01'));

export function rowsOf(entries: readonly Entry[]): BarRows {
  const bars = allocateBars(entries.length, { vwap: true, trades: true });
  for (const [i, [, date, value]] of entries.entries()) {
    bars.session[i] = sessionFrom(date);
    const columns = [bars.open, bars.high, bars.low, bars.close, bars.volume, bars.vwap!, bars.trades!];
    for (const [c, column] of columns.entries()) column[i] = value + c;
  }
  return { symbols: entries.map(([symbol]) => symbol), bars };
}

/** What is in the tables: a line a bar (where it is, its key, its values), and one for each month that has begun. */
export type Content = readonly string[];

export async function contentOf({ query }: TestDatabase): Promise<Content> {
  const [found] = await query<{ lines: string[] }>(`
    WITH bars AS (
      SELECT 'raw' AS place, ${BAR} FROM raw_ohlcv UNION ALL SELECT 'archive', ${BAR} FROM raw_ohlcv_archive
    ), partitions AS (
      SELECT right(inhrelid::regclass::text, 6) AS name FROM pg_inherits WHERE inhparent = 'raw_ohlcv'::regclass
    ), lines AS (
      SELECT concat_ws(' ', place, symbol, date, concat_ws(',', open, high, low, close, volume, vwap, trades)) AS line FROM bars
      UNION ALL SELECT format('month %s %s', coalesce(to_char(month, 'YYYY-MM'), name), CASE
          WHEN archived_at IS NULL AND name IS NOT NULL THEN 'kept'
          WHEN archived_at IS NOT NULL AND name IS NULL THEN 'archived'
          ELSE 'HALF DONE' END)
        FROM ohlcv_months FULL JOIN partitions ON name = to_char(month, 'YYYYMM')
    ) SELECT coalesce(array_agg(line), '{}') AS lines FROM lines`);
  return found!.lines.sort();
}

/** The content after a batch: of each key the last entry, but for those that are not kept. */
export function contentAfter(before: Content, entries: readonly Entry[]): Content {
  const lines = new Map(before.map((line) => [keyOf(line), line]));
  for (const entry of entries) for (const line of linesOf(entry)) lines.set(keyOf(line), line);
  return [...lines.values()].sort();
}

/** The line of a bar without its values. */
export function keyOf(line: string): string {
  return line.split(' ', 3).join(' ');
}

function linesOf([symbol, date, value]: Entry): readonly string[] {
  const bar = `${symbol} ${date} ${[0, 1, 2, 3, 4, 5, 6].map((c) => value + c).join(',')}`;
  if (date.startsWith(ARCHIVED)) return [`archive ${bar}`];
  return monthOf(sessionFrom(date)) < KEEP_FROM ? [] : [`raw ${bar}`, `month ${date.slice(0, 7)} kept`];
}

/** Entries by the number of a batch. */
export type Batch = (n: number) => readonly Entry[];

/** Batches that go both ways into the tables; those of different numbers are of different new months. */
export const BATCHES: Readonly<Record<'new' | 'mixed', Batch>> = {
  new: (n) =>
    ['AAPL', 'MSFT', 'TSLA'].flatMap((symbol) => [1, 2].map((day) => [symbol, newDate(n, day), n * 10] as const)),
  mixed: (n) => [
    ['AAPL', newDate(n, 15), n],
    ['AAPL', '2024-03-01', 1000 + n],
    ['MSFT', '2024-03-01', 1],
    [`N${n}`, '2024-03-04', n],
    ['AAPL', `${ARCHIVED}-02`, 1000 + n],
    ['MSFT', `${ARCHIVED}-02`, 1],
    [`N${n}`, `${ARCHIVED}-03`, n],
    ['AAPL', '2019-01-02', n],
  ],
};

/** A day of the month that batch n begins. */
export function newDate(n: number, day: number): string {
  return formatSession(firstDayOf(FIRST_NEW_MONTH + n) + day - 1);
}

/** A database with a month that is kept and one that is archived. */
export async function createWorld(): Promise<TestDatabase> {
  const world = await createTestDatabase({ migrate: true });
  const entries = ['AAPL', 'MSFT'].flatMap((symbol) =>
    [`${ARCHIVED}-02`, '2024-03-01'].map((date) => [symbol, date, 1] as const),
  );
  const database = openDatabase(world.url);
  await upsertBars(database, rowsOf(entries), { keepFrom: monthOf(sessionFrom(`${ARCHIVED}-01`)) });
  await database.close();
  await world.query(`SELECT archive_ohlcv_month('${ARCHIVED}-01', '2022-06-01')`);
  return world;
}

/** Has as many transactions open at once as the pool has connections, one more waiting. @returns how many were open */
export async function holdAll(database: Database): Promise<number> {
  const CONNECTIONS = 4;
  const all = Promise.withResolvers<void>();
  let [open, most] = [0, 0];
  const hold = async () => {
    most = Math.max(most, ++open);
    if (open === CONNECTIONS) all.resolve();
    await all.promise;
    open--;
  };
  await Promise.all(Array.from({ length: CONNECTIONS + 1 }, () => database.transaction(hold)));
  return most;
}
