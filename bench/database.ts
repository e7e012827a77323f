// npm run bench:database: upserts beside the same rows by psql and row by row, a day of 12,000 rows, and a comparison with the lake.
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { allocateBars, sliceBars } from '../src/bars.ts';
import type { BarRows } from '../src/database/bar-rows.ts';
import { type Database, migrateDatabase, openDatabase, reconcile } from '../src/database/index.ts';
import { upsertBars } from '../src/database/upsert-bars.ts';
import { BRONZE_SCHEMA } from '../src/lake/bronze.ts';
import { fileStore } from '../src/lake/file-store.ts';
import type { Progress } from '../src/progress.ts';
import { startEmbedded } from '../src/runtime/embedded-postgres.ts';
import { textTable } from '../src/runtime/text-table.ts';
import { formatSession } from '../src/session.ts';
import { alternate, describeMachine, median, peakRssMb } from './contest.ts';
import { eveningOf, LAST_SESSION, prepareLake, weekdaysAfter } from './market.ts';

const SYMBOLS = 5350;
const SESSIONS = 60;
const ARCHIVED_MONTHS = 12;
const ARCHIVED = `nothing differs, ${ARCHIVED_MONTHS} months archived`;
const DAY_SYMBOLS = 12_000;
/** Row by row is slow: so many of the rows, from all over; fewer where each is committed. */
const SINGLE_ROWS = 10_000;
const COMMITTED_ROWS = 2_000;
const NAMES = BRONZE_SCHEMA.map(({ name }) => name);
const VALUES = NAMES.slice(2);
const UPDATE = `ON CONFLICT (symbol, date) DO UPDATE SET (${VALUES}) = ROW(${VALUES.map((name) => `excluded.${name}`)})`;

function makeRows(symbols: number, sessions: readonly number[], bump: number): BarRows {
  const bars = allocateBars(symbols * sessions.length, { vwap: true, trades: true });
  const names = Array.from({ length: symbols }, (_, s) => `S${String(s).padStart(5, '0')}`);
  const rows = names.flatMap((name) => sessions.map(() => name));
  for (let i = 0; i < rows.length; i++) {
    const price = 5 + ((i * 7919) % 50_000) / 100 + bump;
    bars.session[i] = sessions[i % sessions.length]!;
    bars.open[i] = price;
    bars.high[i] = price * 1.02;
    bars.low[i] = price * 0.98;
    bars.close[i] = price * 1.01;
    bars.volume[i] = ((i * 104_729) % 10_000_000) + 0.25;
    bars.vwap![i] = price * 1.001;
    bars.trades![i] = i % 90_000;
  }
  return { symbols: rows, bars };
}

async function writeTsv(path: string, { symbols, bars }: BarRows): Promise<void> {
  const { session, open, high, low, close, volume, vwap, trades } = bars;
  const lines = symbols.map((symbol, i) =>
    [symbol, formatSession(session[i]!), open[i], high[i], low[i], close[i], volume[i], vwap![i], trades![i]].join(
      '\t',
    ),
  );
  await writeFile(path, `${lines.join('\n')}\n`);
}

interface Contest {
  readonly url: string;
  readonly client: pg.Client;
  readonly database: Database;
  readonly folder: string;
}

/** All new, all changed, all unchanged: seconds of each, one after the other. */
type Seconds = readonly [fresh: number, changed: number, unchanged: number];

async function timed(work: () => unknown): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

async function contest({ url, client, database, folder }: Contest, a: BarRows, b: BarRows): Promise<string> {
  await writeTsv(join(folder, 'a.tsv'), a);
  await writeTsv(join(folder, 'b.tsv'), b);
  const upsert = (rows: BarRows) => upsertBars(database, rows, { keepFrom: 0 });
  await upsert(a); // Makes the partitions.
  const psql = (file: string, conflict: string) =>
    execFileSync('psql', [url, '-q', '-v', 'ON_ERROR_STOP=1'], {
      input: `BEGIN; CREATE TEMP TABLE staged (LIKE raw_ohlcv) ON COMMIT DROP;
\\copy staged from '${join(folder, file)}'
INSERT INTO raw_ohlcv (${NAMES}) SELECT ${NAMES} FROM staged ${conflict}; COMMIT;`,
    });
  const single = async (rows: BarRows) => {
    await client.query('BEGIN');
    await upsertSingly(client, rows);
    await client.query('COMMIT');
  };
  const commit = (rows: BarRows) => upsertSingly(client, rows);
  const begin = async () => {
    await client.query('TRUNCATE raw_ohlcv');
    await client.query('CHECKPOINT');
  };
  const measure = async (works: readonly (() => unknown)[]): Promise<Seconds> => {
    await begin();
    const seconds: number[] = [];
    for (const work of works) seconds.push(await timed(work));
    return seconds as unknown as Seconds;
  };
  const [someA, someB] = [pick(a, SINGLE_ROWS), pick(b, SINGLE_ROWS)];
  const [fewA, fewB] = [pick(a, COMMITTED_ROWS), pick(b, COMMITTED_ROWS)];
  const measured = await alternate({
    upsertBars: () => measure([() => upsert(a), () => upsert(b), () => upsert(b)]),
    'psql: COPY, INSERT … SELECT': () =>
      measure([() => psql('a.tsv', ''), () => psql('b.tsv', UPDATE), () => psql('b.tsv', UPDATE)]),
    'row by row, each committed': () => measure([() => commit(fewA), () => commit(fewB), () => commit(fewB)]),
    'row by row, one transaction': () => measure([() => single(someA), () => single(someB), () => single(someB)]),
  });
  const rowsOf: Readonly<Record<string, BarRows>> = {
    'row by row, each committed': fewA,
    'row by row, one transaction': someA,
  };
  const rate = (name: string, k: number) => {
    return (rowsOf[name] ?? a).symbols.length / median(measured.get(name)!.map((seconds) => seconds[k]!));
  };
  const names = [...measured.keys()];
  return textTable([
    ['rows/s', 'all new', 'all changed', 'unchanged'],
    ...names.map((name) => [name, ...[0, 1, 2].map((k) => Math.round(rate(name, k)))]),
    ...names
      .slice(1)
      .map((name) => [
        `upsertBars : ${name}`,
        ...[0, 1, 2].map((k) => (rate('upsertBars', k) / rate(name, k)).toFixed(2)),
      ]),
  ]);
}

function pick({ symbols, bars }: BarRows, count: number): BarRows {
  const every = Math.ceil(symbols.length / count);
  const chosen = Int32Array.from(symbols.keys()).filter((i) => i % every === 0);
  const picked = allocateBars(chosen.length, { vwap: true, trades: true });
  for (const name of Object.keys(picked) as (keyof typeof picked)[]) {
    chosen.forEach((i, k) => {
      picked[name]![k] = bars[name]![i]!;
    });
  }
  return { symbols: [...chosen].map((i) => symbols[i]!), bars: picked };
}

/** One statement a row, prepared. */
async function upsertSingly(client: pg.Client, { symbols, bars }: BarRows): Promise<void> {
  const text = `INSERT INTO raw_ohlcv (${NAMES}) VALUES (${NAMES.map((_, i) => `$${i + 1}`)}) ${UPDATE}`;
  for (let i = 0; i < symbols.length; i++) {
    const { session, open, high, low, close, volume, vwap, trades } = sliceBars(bars, i, i + 1);
    const date = formatSession(session[0]!);
    const values = [symbols[i], date, open[0], high[0], low[0], close[0], volume[0], vwap![0], trades![0]];
    await client.query({ name: 'upsert', text, values });
  }
}

/** A day of 12,000 rows that come for the first time, and once more. */
async function measureDays(database: Database, sessions: readonly number[]): Promise<string> {
  const days: Seconds[] = [];
  for (const session of sessions) {
    const [rows, other] = [makeRows(DAY_SYMBOLS, [session], 0), makeRows(DAY_SYMBOLS, [session], 1)];
    const upsert = (day: BarRows) => timed(() => upsertBars(database, day, { keepFrom: 0 }));
    days.push([await upsert(rows), await upsert(other), await upsert(other)]);
  }
  return textTable([
    ['a day of 12,000 rows', 'all new', 'all changed', 'unchanged'],
    ['seconds, median', ...[0, 1, 2].map((k) => median(days.map((day) => day[k]!)).toFixed(3))],
    ['seconds, worst', ...[0, 1, 2].map((k) => Math.max(...days.map((day) => day[k]!)).toFixed(3))],
  ]);
}

/** Has at least so many of the oldest months in the archive, and the server know how many rows that is. */
async function archiveFirst(database: Database, months: number): Promise<void> {
  await database.transaction((sql) =>
    sql.query(
      `SELECT archive_ohlcv_month(month, '9999-01-01') FROM (SELECT * FROM ohlcv_months ORDER BY month LIMIT $1) AS oldest
       WHERE archived_at IS NULL ORDER BY month`,
      [months],
    ),
  );
  await database.transaction((sql) => sql.query('ANALYZE raw_ohlcv_archive'));
}

async function measureReconcile(database: Database): Promise<string> {
  const store = fileStore(await prepareLake());
  const now = () => eveningOf(LAST_SESSION);
  const rows = [];
  for (const name of ['empty database', ...Array(3).fill('nothing differs'), ...Array(3).fill(ARCHIVED)]) {
    const archive = name === ARCHIVED;
    if (archive) await archiveFirst(database, ARCHIVED_MONTHS);
    let compared = 0;
    const started = performance.now();
    const onProgress = ({ step, done, total }: Progress) => {
      if (step === 'compare' && done === total) compared = (performance.now() - started) / 1000;
    };
    const { symbols, bars, written } = await reconcile(store, database, { archive, now, onProgress });
    const seconds = (performance.now() - started) / 1000;
    rows.push([name, symbols, bars, written, compared.toFixed(2), seconds.toFixed(2), Math.round(peakRssMb())]);
  }
  return textTable([
    ['reconcile', 'symbols', 'bars', 'written', 's in the database', 's in all', 'peak RSS MB'],
    ...rows,
  ]);
}

// On a disk, and waiting for it, as a server does whose data is to last.
const server = await startEmbedded({ home: tmpdir(), settings: { fsync: 'on', max_wal_size: '4GB' } });
const folder = await mkdtemp(join(tmpdir(), 'bench-database-'));
const database = openDatabase(server.url);
const client = new pg.Client(server.url);
try {
  await client.connect();
  await migrateDatabase(database);
  const { rows } = await client.query('SHOW server_version');
  console.log(await describeMachine(`PostgreSQL ${rows[0].server_version}`));
  const sessions = weekdaysAfter(LAST_SESSION, SESSIONS);
  const [a, b] = [makeRows(SYMBOLS, sessions, 0), makeRows(SYMBOLS, sessions, 1)];
  console.log(`\n${a.symbols.length.toLocaleString('en-US')} rows, ${SYMBOLS} symbols, ${SESSIONS} sessions`);
  console.log(await contest({ url: server.url, client, database, folder }, a, b));
  await client.query('TRUNCATE raw_ohlcv');
  console.log(`\n${await measureDays(database, sessions.slice(0, 10))}`);
  await client.query('TRUNCATE raw_ohlcv');
  console.log(`\n${await measureReconcile(database)}`);
} finally {
  await client.end();
  await database.close();
  await rm(folder, { recursive: true });
  await server.stop();
}
