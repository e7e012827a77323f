import type pg from 'pg';
import { allocateBars } from '../../src/bars.ts';
import type { BarRows } from '../../src/database/bar-rows.ts';
import { upsertBars } from '../../src/database/upsert-bars.ts';
import { monthOf, sessionFrom } from '../../src/session.ts';
import { withClient } from '../support/postgres/client.ts';
import { type OpenTestDatabase, openTestDatabase } from './open-database.ts';

/** 2022-10 is the first month that is kept. */
export const NOW = Date.parse('2025-11-19T22:00:00Z');
export const OLD_MONTHS = ['2022-07', '2022-08', '2022-09'] as const;
export const FIRST_MONTH = monthOf(sessionFrom('2022-01-01'));
const KEPT_MONTHS = ['2022-10', '2025-10'];
const SYMBOLS = ['AAPL', 'BRK.B', 'aapl', 'ZZZ'];
const DAYS = ['01', '15', '28'];

export type World = OpenTestDatabase;

/** A database with bars of three months that are to be archived, and of two that are kept. */
export async function createWorld(): Promise<World> {
  const world = await openTestDatabase();
  await upsertBars(world.database, initialRows(), { keepFrom: FIRST_MONTH });
  return world;
}

/** Bars by symbol and date; all that is in one comes from its value. */
export function rowsOf(entries: readonly (readonly [symbol: string, date: string, value: number])[]): BarRows {
  const bars = allocateBars(entries.length, { vwap: true, trades: true });
  for (const [i, [, date, value]] of entries.entries()) {
    bars.session[i] = sessionFrom(date);
    bars.open[i] = value;
    bars.high[i] = value + 1.1;
    bars.low[i] = i % 3 === 0 ? -0 : value / 3;
    bars.close[i] = value / 7;
    bars.volume[i] = value * 1000.1;
    if (i % 2 === 0) bars.vwap![i] = value / 11;
    if (i % 5 > 0) bars.trades![i] = i;
  }
  return { symbols: entries.map(([symbol]) => symbol), bars };
}

function initialRows(): BarRows {
  const months = [...OLD_MONTHS, ...KEPT_MONTHS];
  return rowsOf(
    SYMBOLS.flatMap((symbol, s) =>
      months.flatMap((month, m) =>
        DAYS.map((day, d) => [symbol, `${month}-${day}`, 100 * s + 10 * m + d + 1] as const),
      ),
    ),
  );
}

/** Writes one bar as writers do. */
export async function writeBar({ database }: World, symbol: string, date: string, value: number): Promise<void> {
  await upsertBars(database, rowsOf([[symbol, date, value]]), { keepFrom: FIRST_MONTH });
}

const BARS = 'symbol, date::text, open, high, low, close, volume, vwap, trades';

/** All bars, wherever they are, to the bit; a bar that is in two places is there twice. */
export async function allBars({ query }: World): Promise<readonly string[]> {
  const rows = await query<{ bar: string }>(
    `SELECT ROW(${BARS})::text AS bar FROM (SELECT ${BARS} FROM raw_ohlcv UNION ALL SELECT ${BARS} FROM raw_ohlcv_archive) AS bars ORDER BY bar`,
  );
  return rows.map(({ bar }) => bar);
}

/** Where the bars of each month are, by month: rows in raw_ohlcv and in the archive, and whether it has a partition. */
export async function placesOf({ query }: World): Promise<Record<string, string>> {
  const rows = await query<{ month: string; place: string }>(
    `SELECT to_char(month, 'YYYY-MM') AS month, format('%s raw, %s archived, %s',
      (SELECT count(*) FROM raw_ohlcv WHERE date_trunc('month', date) = month),
      (SELECT count(*) FROM raw_ohlcv_archive WHERE date_trunc('month', date) = month),
      CASE WHEN (archived_at IS NULL) = (to_regclass('raw_ohlcv_' || to_char(month, 'YYYYMM')) IS NOT NULL)
        THEN CASE WHEN archived_at IS NULL THEN 'kept' ELSE 'dropped' END ELSE 'WRONG PARTITION' END) AS place
      FROM ohlcv_months ORDER BY month`,
  );
  return Object.fromEntries(rows.map(({ month, place }) => [month, place]));
}

/** All that is in the tables, and which there are: what does not change it has changed nothing. */
export async function snapshotOf({ query }: World): Promise<unknown> {
  return query(`SELECT (SELECT array_agg(t::text ORDER BY t) FROM raw_ohlcv AS t) AS raw,
    (SELECT array_agg(t::text ORDER BY t) FROM raw_ohlcv_archive AS t) AS archive,
    (SELECT array_agg(t::text ORDER BY t) FROM ohlcv_months AS t) AS months,
    (SELECT array_agg(t::text ORDER BY t) FROM data_retention_log AS t) AS log,
    (SELECT array_agg(relname ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace) AS tables`);
}

/** A transaction of somebody else that is open while work runs; rolled back where work does not end it. */
export function whileOpen<T>({ url }: World, work: (client: pg.Client) => Promise<T>, begin = 'BEGIN'): Promise<T> {
  return withClient(url, async (client) => {
    await client.query(begin);
    return work(client);
  });
}

/** As if nothing had been archived. */
export async function putBack({ query }: World): Promise<void> {
  await query(`CREATE TEMP TABLE old AS SELECT * FROM raw_ohlcv_archive;
    TRUNCATE raw_ohlcv_archive, data_retention_log;
    DELETE FROM ohlcv_months WHERE archived_at IS NOT NULL;
    SELECT route_ohlcv_months(array_agg(DISTINCT date), '2022-01-01') FROM old;
    INSERT INTO raw_ohlcv SELECT ${BARS.replace('::text', '')} FROM old`);
}

/** Has a bar of 2022-08 spoiled on its way into the archive. */
export async function spoilCopy({ query }: World, fault: string): Promise<void> {
  await query(`CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN IF NEW.symbol = 'AAPL' AND NEW.date = '2022-08-15' THEN ${fault}; END IF; RETURN NEW; END $$;
    CREATE TRIGGER spoil BEFORE INSERT ON raw_ohlcv_archive FOR EACH ROW EXECUTE FUNCTION spoil()`);
}
