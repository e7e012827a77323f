// npm run bench:retention: a month of 5,350 symbols to the archive, beside INSERT … SELECT and DELETE as the old system did it.
import { tmpdir } from 'node:os';
import pg from 'pg';
import { migrateDatabase, openDatabase } from '../src/database/index.ts';
import { startEmbedded } from '../src/runtime/embedded-postgres.ts';
import { textTable } from '../src/runtime/text-table.ts';
import { describeMachine, median } from './contest.ts';

const SYMBOLS = Number(process.env.BENCH_SYMBOLS ?? 5350);
const SESSIONS = 21;
/** Months that are in the archive before the first that is measured. */
const ARCHIVED_MONTHS = 12;
const ROUNDS = 5;
const COLUMNS = 'symbol, date, open, high, low, close, volume, vwap, trades';

interface Measured {
  readonly seconds: number;
  readonly walMb: number;
  /** The longest that a reader of one row of raw_ohlcv waited meanwhile. */
  readonly readerMs: number;
}

async function fill(client: pg.Client, month: string): Promise<void> {
  await client.query(`SELECT route_ohlcv_months(ARRAY[$1::date], $1::date)`, [month]);
  await client.query(
    `INSERT INTO raw_ohlcv SELECT 'S' || lpad(s::text, 5, '0'), $1::date + d, p, p * 1.02, p * 0.98, p * 1.01,
      floor(random() * 1e7) + 0.25, p * 1.001, floor(random() * 90000)::int
      FROM generate_series(1, $2::int) AS s CROSS JOIN generate_series(0, $3::int - 1) AS d
      CROSS JOIN LATERAL (SELECT 5 + random() * 500 + 0 * s * d AS p) AS price ORDER BY d, s`,
    [month, SYMBOLS, SESSIONS],
  );
}

async function archive(client: pg.Client, month: string): Promise<void> {
  await client.query(`SELECT archive_ohlcv_month($1, ($1::date + interval '1 month')::date)`, [month]);
}

/** Copy, delete, count: what is deleted keeps its place until it is vacuumed. */
async function copyAndDelete(client: pg.Client, month: string): Promise<void> {
  const where = `WHERE date >= $1 AND date < $1::date + interval '1 month'`;
  await client.query('BEGIN');
  await client.query(`INSERT INTO raw_ohlcv_archive (${COLUMNS}) SELECT ${COLUMNS} FROM raw_ohlcv ${where}`, [month]);
  const { rowCount } = await client.query(`DELETE FROM raw_ohlcv ${where}`, [month]);
  const { rows } = await client.query(`SELECT count(*)::int AS n FROM raw_ohlcv_archive ${where}`, [month]);
  if (rows[0].n !== rowCount) throw new Error(`${rows[0].n} rows copied, ${rowCount} deleted`);
  await client.query('COMMIT');
}

async function measure(client: pg.Client, reader: pg.Client, work: () => Promise<void>): Promise<Measured> {
  await client.query('CHECKPOINT');
  const lsn = async () => (await client.query('SELECT pg_current_wal_lsn() AS lsn')).rows[0].lsn as string;
  const before = await lsn();
  let [isDone, readerMs] = [false, 0];
  const read = async () => {
    while (!isDone) {
      const started = performance.now();
      await reader.query(`SELECT FROM raw_ohlcv WHERE symbol = 'S00001' AND date = '2020-01-01'`);
      readerMs = Math.max(readerMs, performance.now() - started);
    }
  };
  const reading = read();
  const started = performance.now();
  await work();
  const seconds = (performance.now() - started) / 1000;
  isDone = true;
  await reading;
  const { rows } = await client.query('SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), $1)::float8 AS bytes', [before]);
  return { seconds, walMb: rows[0].bytes / 2 ** 20, readerMs };
}

// On a disk, and waiting for it, as a server does whose data is to last.
const server = await startEmbedded({ home: tmpdir(), settings: { fsync: 'on', max_wal_size: '4GB' } });
const database = openDatabase(server.url);
const [client, reader] = [new pg.Client(server.url), new pg.Client(server.url)];
try {
  await Promise.all([client.connect(), reader.connect()]);
  await migrateDatabase(database);
  const { rows } = await client.query('SHOW server_version');
  console.log(await describeMachine(`PostgreSQL ${rows[0].server_version}`));
  const months = Array.from({ length: ARCHIVED_MONTHS + 2 * ROUNDS + 2 }, (_, i) => {
    return new Date(Date.UTC(2018, i, 1)).toISOString().slice(0, 10);
  });
  for (const month of months) await fill(client, month);
  for (const month of months.slice(0, ARCHIVED_MONTHS)) await archive(client, month);
  await client.query('VACUUM ANALYZE');
  console.log(`\n${(SYMBOLS * SESSIONS).toLocaleString('en-US')} rows a month, ${ARCHIVED_MONTHS} in the archive`);

  const contestants = { archive_ohlcv_month: archive, 'INSERT … SELECT, DELETE, count': copyAndDelete };
  const measured = Object.entries(contestants).map(([name, work]) => ({ name, work, of: [] as Measured[] }));
  // The first of each makes caches warm.
  for (const [i, month] of months.slice(ARCHIVED_MONTHS).entries()) {
    const { work, of } = measured[i % 2]!;
    const result = await measure(client, reader, () => work(client, month));
    if (i >= 2) of.push(result);
  }
  const row = (of: readonly Measured[], value: (result: Measured) => number) => median(of.map(value));
  console.log(
    textTable([
      ['a month', 'seconds', 'WAL MB', 'a reader waited, ms'],
      ...measured.map(({ name, of }) => [
        name,
        row(of, ({ seconds }) => seconds).toFixed(2),
        row(of, ({ walMb }) => walMb).toFixed(1),
        row(of, ({ readerMs }) => readerMs).toFixed(0),
      ]),
    ]),
  );
} finally {
  await Promise.all([client.end(), reader.end()]);
  await database.close();
  await server.stop();
}
