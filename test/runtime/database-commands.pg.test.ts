import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { LAKE_ID_KEY } from '../../src/database/bind-lake.ts';
import { databaseWatermarks } from '../../src/database/database-watermarks.ts';
import { dataKey } from '../../src/lake/keys.ts';
import { lakeWatermarks } from '../../src/lake/watermarks.ts';
import { formatSession, sessionAt } from '../../src/session.ts';
import { storedBars } from '../database/lake-world.ts';
import { openUntilFinished, versionsOf } from '../database/open-database.ts';
import { queryDuckDB } from '../support/duckdb.ts';
import { barsToCsv, lakeBars, marketBars } from '../support/lake-bars.ts';
import { silverDigests } from '../support/lake-reader.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres/database.ts';
import { runCommand, type Variables } from '../support/run-command.ts';
import { startSecretsManager } from '../support/secrets-manager.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { createFetchedLake, createLake, DATES, MARKET, NO_DATABASE, SESSIONS } from './database-world.ts';

const CLI = new URL('../../src/runtime/cli.ts', import.meta.url).pathname;
const MIGRATIONS = ['0001_bars', '0002_watermarks', '0003_symbol_metadata', '0004_silver', '0005_retention'];
/** Nothing listens there. */
const DEAD = 'postgresql://writer:pw@127.0.0.1:9/market';

const run = (args: readonly string[], env: Variables = {}) => runCommand(args, { env: { ...NO_DATABASE, ...env } });

/** Tables, columns and functions. */
function schemaOf({ query }: TestDatabase): Promise<unknown> {
  return query(`SELECT 'column' AS kind, table_name || '.' || column_name AS name, data_type AS type
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'schema_migrations'
    UNION ALL SELECT 'function', proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'schema_migrations'
    ORDER BY 1, 2, 3`);
}

describe('db migrate', () => {
  test('makes the schema, and run again does nothing', async () => {
    const { url, query } = await createTestDatabase();
    const first = await run(['db', 'migrate', '--db', url]);
    expect([first.code, first.stdout.trim().split('\n'), first.stderr]).toEqual([0, MIGRATIONS, '']);
    expect(await query('SELECT FROM raw_ohlcv')).toEqual([]);
    const again = await run(['db', 'migrate'], { DATABASE_URL: url });
    expect([again.code, again.stdout]).toEqual([0, 'nothing to do: the schema is up to date\n']);
  });

  test('in JSON', async () => {
    const { url } = await createTestDatabase();
    for (const migrations of [MIGRATIONS, []]) {
      const { code, json } = await run(['db', 'migrate', '--json', '--db', url]);
      expect([code, json()]).toEqual([0, { command: 'db migrate', migrations, seconds: expect.any(Number) }]);
    }
  });

  test('of two processes at once each migration is made by one', async () => {
    const database = await createTestDatabase();
    const ended = await Promise.all(
      [1, 2].map(() => runProcess(['db', 'migrate', '--json'], { DATABASE_URL: database.url })),
    );
    expect(ended.map(({ code, stderr }) => [code, stderr])).toEqual(Array(2).fill([0, '']));
    expect(ended.flatMap(({ stdout }) => JSON.parse(stdout).migrations).sort()).toEqual(MIGRATIONS);
    const migrated = await createTestDatabase({ migrate: true });
    expect(await schemaOf(database)).toEqual(await schemaOf(migrated));
  });

  test('--down takes back one after the other, and up makes them again', async () => {
    const database = await createTestDatabase({ migrate: true });
    const before = await schemaOf(database);
    for (const [i, name] of MIGRATIONS.toReversed().entries()) {
      const { code, json } = await run(['db', 'migrate', '--down', '--json', '--db', database.url]);
      expect([code, json().migrations]).toEqual([0, [name]]);
      if (i > 0) continue;
      const { stdout } = await run(['db', 'migrate', '--db', database.url]);
      expect(stdout).toBe(`${name}\n`);
      expect(await schemaOf(database)).toEqual(before);
      await run(['db', 'migrate', '--down', '--db', database.url]);
    }
    expect(await schemaOf(database)).toEqual([]);
    expect((await run(['db', 'migrate', '--down', '--db', database.url])).code).toBe(0);
    expect((await run(['db', 'migrate', '--json', '--db', database.url])).json().migrations).toEqual(MIGRATIONS);
    expect(await schemaOf(database)).toEqual(before);
  });

  test('--down is refused where the archive has the only bars, and says so', async () => {
    const database = await createTestDatabase({ migrate: true });
    await database.query(`INSERT INTO raw_ohlcv_archive VALUES ('AAPL', '2020-01-02', 1, 1, 1, 1, 1)`);
    const before = await schemaOf(database);
    const { code, stderr } = await run(['db', 'migrate', '--down', '--db', database.url]);
    expect(code).toBe(2);
    expect(stderr).toContain('raw_ohlcv_archive has the only bars');
    expect(stderr).toContain('Copy them elsewhere');
    expect(await schemaOf(database)).toEqual(before);
  });
});

describe('what is wrong with a database is told, with what to do', () => {
  const changed = (url: string, change: Partial<URL>) => Object.assign(new URL(url), change).href;

  test.each<[string, (url: string) => string, number, RegExp]>([
    ['no server', () => DEAD, 1, /127\.0\.0\.1:9\/market: .*ECONNREFUSED.*: check that the server runs/],
    ['the password', (url) => changed(url, { password: 'other' }), 2, /check the user and the password/],
    ['no password', (url) => changed(url, { password: '' }), 2, /check the user and the password/],
    ['the user', (url) => changed(url, { username: 'nobody' }), 2, /check the user and the password/],
    [
      'the database',
      (url) => changed(url, { pathname: '/nowhere' }),
      2,
      /"nowhere" does not exist.*: create the database/,
    ],
    ['the protocol', () => 'mysql://writer:pw@127.0.0.1/market', 2, /expected postgresql:\/\/user@host/],
    ['the port', () => 'postgresql://127.0.0.1:port/market', 2, /expected postgresql:\/\/user@host/],
    ['a parameter', (url) => `${url}?host=/tmp`, 2, /has other parameters: expected sslmode and sslrootcert only/],
    ['sslmode', (url) => `${url}?sslmode=maybe`, 2, /sslmode is maybe: expected verify-full/],
    ['TLS that the server does not have', (url) => `${url}?sslmode=require`, 2, /SSL.*sslrootcert/],
    ['a file of authorities', (url) => `${url}?sslrootcert=/nowhere/ca.pem`, 2, /\/nowhere\/ca\.pem: cannot be read/],
  ])('%s', async (_, urlOf, code, expected) => {
    const { url } = await createTestDatabase();
    const folder = await temporaryFolder();
    const commands = [['db', 'migrate'], ['db', 'migrate', '--down'], ['db', 'reconcile'], ['retention']];
    for (const command of commands) {
      const form = command[1] === 'reconcile' ? ['--lake', `file:${folder}`] : [];
      const { stdout, stderr, ...ended } = await run([...command, ...form, '--db', urlOf(url)]);
      expect([command, ended.code, stdout]).toEqual([command, code, '']);
      expect(stderr).toMatch(expected);
      expect(stderr.trim().split('\n')).toHaveLength(1);
    }
    const { json, ...ended } = await run(['db', 'migrate', '--json', '--db', urlOf(url)]);
    expect([ended.code, json()]).toEqual([
      code,
      {
        command: 'db migrate',
        error: { code: code === 1 ? 'Unavailable' : 'BadInput', message: expect.stringMatching(expected) },
        seconds: expect.any(Number),
      },
    ]);
  });

  test.each([
    ['none is named', ['db', 'migrate']],
    ['none is named', ['db', 'reconcile']],
    ['none is named', ['retention']],
  ])('%s: %j', async (_, command) => {
    for (const form of [[], ['--db', '']]) {
      const { code, stderr } = await run([...command, ...form]);
      expect([code, stderr]).toEqual([
        2,
        'batch-layer: no database: give --db postgresql://user@host/name, or set DATABASE_URL or RDS_SECRET_ARN\n',
      ]);
    }
  });

  test('it has no tables', async () => {
    const { url } = await createTestDatabase();
    const { run: onLake } = await createLake();
    for (const command of [['db', 'reconcile'], ['retention']]) {
      const { code, stderr } =
        command[0] === 'db' ? await onLake([...command, '--db', url]) : await run([...command, '--db', url]);
      expect([command, code]).toEqual([command, 2]);
      expect(stderr).toContain('run batch-layer db migrate');
    }
  });

  test('a role that may not make tables', async () => {
    const database = await createTestDatabase();
    const role = `reader_${new URL(database.url).pathname.slice(-8)}`;
    await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'reader'`);
    const url = changed(database.url, { username: role, password: 'reader' });
    const { code, stderr } = await run(['db', 'migrate', '--db', url]);
    await database.query(`DROP ROLE ${role}`);
    expect([code, stderr]).toEqual([2, expect.stringContaining('grant the role')]);
  });
});

test.each(['db reconcile', 'retention', 'db migrate'])(
  'a stop while the database says nothing ends it at once: %s',
  async (command) => {
    const controller = new AbortController();
    const server = createServer(() => controller.abort(new Error('stopped by a signal')));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const begun = performance.now();
    const form = command === 'db reconcile' ? ['--lake', `file:${await temporaryFolder()}`] : [];
    const args = [...command.split(' '), ...form, '--db', `postgresql://u:p@127.0.0.1:${port}/x`];
    const { code, stderr } = await runCommand(args, { env: NO_DATABASE, signal: controller.signal });
    expect([code, stderr]).toEqual([1, 'batch-layer: stopped by a signal\n']);
    // Else when the time for a connection is over, or that of three.
    expect(performance.now() - begun).toBeLessThan(5000);
  },
);

describe('db reconcile', () => {
  /** A lake from a CSV file, all of it in data.parquet, beside an empty database. */
  async function createCsvLake() {
    const lake = await createLake();
    const csv = `${lake.folder}.csv`;
    await writeFile(csv, barsToCsv(marketBars(MARKET)));
    expect((await lake.run(['ingest', 'csv', csv, '--consolidated'])).code).toBe(0);
    const database = await createTestDatabase({ migrate: true });
    return {
      ...lake,
      database,
      reconcile: (...form: string[]) => lake.run(['db', 'reconcile', '--db', database.url, ...form]),
    };
  }
  const BARS = Object.values(marketBars(MARKET)).flat().length;

  test('fills a database from a lake that came from a CSV file, and then finds nothing to do', async () => {
    const { store, database, reconcile } = await createCsvLake();
    const filled = await reconcile('--json');
    const same = { command: 'db reconcile', symbols: 11, bars: BARS, extra: 0, contested: 0, failed: [] };
    expect([filled.code, filled.stderr]).toEqual([0, '']);
    expect(filled.json()).toMatchObject({ ...same, written: BARS });
    expect(await storedBars(database)).toEqual(await lakeBars(store));
    const before = await versionsOf(database, 'raw_ohlcv');
    expect((await reconcile('--json')).json()).toMatchObject({ ...same, differing: 0, written: 0 });
    const { code, stdout } = await reconcile();
    expect(code).toBe(0);
    const compared = String.raw`${BARS} bars of 11 symbols since 20\d\d-\d\d-01 compared by month`;
    expect(stdout).toMatch(new RegExp(`${compared}; 0 symbol months differed, 0 rows written`));
    expect(await versionsOf(database, 'raw_ohlcv')).toEqual(before);
  });

  test('gives SQL the rows that DuckDB reads in the lake', async () => {
    const { folder, database, reconcile } = await createCsvLake();
    await reconcile();
    const columns = 'symbol, CAST(date AS text) AS date, open, high, low, close, volume, vwap, trades';
    const files = `read_parquet('${folder}/bronze/raw_ohlcv/*/data.parquet', hive_partitioning = false)`;
    const rows = await queryDuckDB(`SELECT ${columns} FROM ${files} ORDER BY symbol, date`);
    expect(rows).toHaveLength(BARS);
    expect(await database.query(`SELECT ${columns} FROM raw_ohlcv ORDER BY symbol, date`)).toEqual(rows);
  });

  test('tells of rows that only the database has', async () => {
    const { database, reconcile } = await createCsvLake();
    await reconcile();
    await database.query(
      `INSERT INTO raw_ohlcv SELECT 'GONE', date, 1, 1, 1, 1, 1 FROM raw_ohlcv WHERE symbol = 'ON' LIMIT 2`,
    );
    const { code, stdout } = await reconcile();
    expect(code).toBe(0);
    expect(stdout).toContain('2 rows of the database that the lake has no bar of: left as they are');
    expect((await reconcile('--json')).json()).toMatchObject({ extra: 2, written: 0 });
  });

  test('ends with 3 where a symbol is damaged, and names it', async () => {
    const { store, reconcile } = await createCsvLake();
    await store.put(dataKey('AAPW'), Buffer.from('PAR1'));
    const { code, stdout } = await reconcile();
    expect(code).toBe(3);
    expect(stdout).toContain('CorruptObject: bronze/raw_ohlcv/symbol=AAPW/data.parquet');
    expect((await reconcile('--json')).json().failed).toMatchObject([{ symbol: 'AAPW', code: 'CorruptObject' }]);
  });

  test('ends with 1 where all symbols are damaged', async () => {
    const { store, reconcile } = await createCsvLake();
    for (const symbol of Object.keys(marketBars(MARKET))) await store.put(dataKey(symbol), Buffer.from('PAR1'));
    expect((await reconcile()).code).toBe(1);
  });
});

describe('ingest ohlcv', () => {
  const INGEST = ['ingest', 'ohlcv', ...DATES];

  test.each<[string, (url: string) => readonly [string[], Variables]]>([
    ['--db', (url) => [['--db', url], {}]],
    ['DATABASE_URL', (url) => [[], { DATABASE_URL: url }]],
    ['--db, whatever DATABASE_URL is', (url) => [['--db', url], { DATABASE_URL: DEAD }]],
  ])('with %s writes to the database too, and compares it with the lake', async (_, formOf) => {
    const database = await createTestDatabase({ migrate: true });
    const { store, run: onLake } = await createFetchedLake();
    const [form, env] = formOf(database.url);
    const { code, json, stderr } = await onLake([...INGEST, ...form, '--json'], env);
    expect([code, stderr]).toEqual([0, '']);
    const truth = marketBars(MARKET);
    const bars = Object.values(truth).flat().length;
    expect(json()).toMatchObject({
      command: 'ingest ohlcv',
      databaseFailures: [],
      missingCount: 0,
      database: {
        failure: null,
        reconciled: { symbols: 11, bars, differing: 0, written: 0, extra: 0, contested: 0, failed: [] },
      },
    });
    expect(await lakeBars(store)).toEqual(truth);
    expect(await storedBars(database)).toEqual(truth);
    expect(await lakeWatermarks(store).read()).toEqual(new Map());
    expect((await database.query('SELECT FROM watermarks')).length).toBe(Object.keys(truth).length);
  });

  test('without a database says so, and keeps its watermarks in the lake', async () => {
    const { store, run: onLake } = await createFetchedLake();
    const { code, json } = await onLake([...INGEST, '--json']);
    expect([code, json().database, json().databaseFailures]).toEqual([0, null, []]);
    expect((await lakeWatermarks(store).read()).size).toBe(11);
  });

  test('with a dead database is done, and tells that the database has nothing of it', async () => {
    const { store, run: onLake } = await createFetchedLake();
    const { code, json, stderr } = await onLake([...INGEST, '--db', DEAD, '--json']);
    expect([code, stderr]).toEqual([0, '']);
    const dates = SESSIONS.map(formatSession);
    expect(json()).toMatchObject({
      missingCount: 0,
      databaseFailures: [...dates, 'watermarks'].map((of) => ({
        of,
        message: expect.stringMatching(/ECONNREFUSED/),
      })),
      database: { reconciled: null, failure: expect.stringMatching(/ECONNREFUSED/) },
    });
    expect(await lakeBars(store)).toEqual(marketBars(MARKET));
    const told = await onLake([...INGEST, '--force', '--db', DEAD]);
    expect(told.code).toBe(0);
    expect(told.stdout).toMatch(/the database did not take watermarks: 127\.0\.0\.1:9\/market: .*ECONNREFUSED/);
    expect(told.stdout).toMatch(/could not be compared with the lake, the next run does it: .*ECONNREFUSED/);
  });

  test('brings back what somebody took from the database, or changed in it', async () => {
    const database = await createTestDatabase({ migrate: true });
    const { store, run: onLake } = await createFetchedLake();
    await onLake([...INGEST, '--db', database.url]);
    const gone = await database.query(`DELETE FROM raw_ohlcv WHERE symbol < 'B' RETURNING symbol`);
    await database.query(
      `UPDATE raw_ohlcv SET close = 1 WHERE (symbol, date) = (SELECT max(symbol), $1::date FROM raw_ohlcv)`,
      [formatSession(SESSIONS.at(-1)!)],
    );
    const { json } = await onLake([...INGEST, '--db', database.url, '--json']);
    expect(json()).toMatchObject({ stored: 0, database: { reconciled: { written: gone.length + 1, extra: 0 } } });
    expect(await storedBars(database)).toEqual(await lakeBars(store));
  });

  test('with a database that has no watermarks yet begins with those of the lake', async () => {
    const database = await createTestDatabase({ migrate: true });
    const { store, asked, run: onLake } = await createFetchedLake();
    const chosen = ['ingest', 'ohlcv', '--symbols', 'AAPW,BRK.B', ...DATES];
    expect((await onLake(chosen)).code).toBe(0);
    const marks = await lakeWatermarks(store).read();
    expect([...marks.keys()].sort()).toEqual(['AAPW', 'BRK.B']);
    asked();
    const { json } = await onLake([...chosen, '--db', database.url, '--json']);
    expect(json()).toMatchObject({ symbolsKnown: 2, symbolsFetched: 0, database: { reconciled: { symbols: 2 } } });
    expect(asked().ranges).toEqual([]);
    expect(await databaseWatermarks(openUntilFinished(database.url)).read()).toEqual(marks);
    expect(await storedBars(database)).toEqual(marketBars(MARKET, { symbols: ['AAPW', 'BRK.B'] }));

    // From then on the database has its own.
    await onLake(['ingest', 'ohlcv', '--symbols', 'ON', ...DATES]);
    await onLake([...chosen, '--db', database.url]);
    expect([...(await databaseWatermarks(openUntilFinished(database.url)).read()).keys()].sort()).toEqual([
      'AAPW',
      'BRK.B',
    ]);
  });

  test('with a database without tables is done, and says what to run', async () => {
    const database = await createTestDatabase();
    const { store, run: onLake } = await createFetchedLake();
    const { code, stdout } = await onLake([...INGEST, '--db', database.url]);
    expect(code).toBe(0);
    expect(stdout).toContain('run batch-layer db migrate');
    expect(await lakeBars(store)).toEqual(marketBars(MARKET));
  });

  test('with a URL that is none fetches nothing', async () => {
    const { server, run: onLake } = await createFetchedLake();
    const { code } = await onLake([...INGEST, '--db', 'mysql://127.0.0.1/market']);
    expect([code, server.requests]).toEqual([2, []]);
  });
});

describe('other commands', () => {
  test('ingest meta --db fills symbol_metadata, and with a dead database is done all the same', async () => {
    const database = await createTestDatabase({ migrate: true });
    const { run: onLake } = await createFetchedLake();
    const { code, json } = await onLake(['ingest', 'meta', '--db', database.url, '--json']);
    expect([code, json().databaseFailure]).toEqual([0, undefined]);
    const symbols = MARKET.tickers.map(({ ticker }) => ({ symbol: ticker }));
    expect(await database.query('SELECT symbol FROM symbol_metadata ORDER BY symbol')).toEqual(symbols);
    const dead = await onLake(['ingest', 'meta', '--db', DEAD]);
    expect(dead.code).toBe(0);
    expect(dead.stdout).toMatch(/the database did not take it: .*ECONNREFUSED/);
  });

  test('resample --db fills the tables of silver, and with a dead database is done all the same', async () => {
    const database = await createTestDatabase({ migrate: true });
    const { store, folder, run: onLake } = await createLake();
    await writeFile(`${folder}.csv`, barsToCsv(marketBars(MARKET)));
    await onLake(['ingest', 'csv', `${folder}.csv`, '--consolidated']);
    const args = ['resample', '--intervals', '3,5'];
    const dead = await onLake([...args, '--db', DEAD, '--json']);
    expect([dead.code, dead.json().database]).toEqual([
      0,
      expect.objectContaining({ failure: expect.stringMatching(/ECONNREFUSED/) }),
    ]);
    const silver = await silverDigests(store);
    const { code, json } = await onLake([...args, '--db', database.url, '--json']);
    expect(code).toBe(0);
    expect(await silverDigests(store)).toEqual(silver);
    for (const interval of [3, 5]) {
      const groups = Object.values(marketBars(MARKET)).reduce(
        (sum, rows) => sum + Math.ceil(rows.length / interval),
        0,
      );
      const [{ rows, volume } = {}] = await database.query<{ rows: number; volume: number }>(
        `SELECT count(*)::int AS rows, sum(volume) AS volume FROM silver_${interval}d`,
      );
      const of = json().database.intervals.find((one: { interval: number }) => one.interval === interval);
      expect([rows, of.rowsWritten]).toEqual([groups, groups]);
      // Volumes are in eighths: their sum is exact.
      expect(volume).toBe(
        Object.values(marketBars(MARKET))
          .flat()
          .reduce((sum, row) => sum + Number(row[5]), 0),
      );
    }
    expect((await onLake([...args, '--json'])).json().database).toBe(null);
  });

  test('retention plans, and with --apply archives, the months before the window', async () => {
    const database = await createTestDatabase({ migrate: true });
    const old = formatSession(sessionAt(Date.now()) - 4 * 366);
    await database.query(`SELECT route_ohlcv_months(ARRAY[$1::date], '2000-01-01')`, [old]);
    await database.query(`INSERT INTO raw_ohlcv VALUES ('AAPL', $1, 1, 1, 1, 1, 125.5)`, [old]);
    const month = { month: old.slice(0, 7), rows: 1, volume: 125.5 };
    const planned = await run(['retention', '--json'], { DATABASE_URL: database.url });
    expect([planned.code, planned.json()]).toMatchObject([
      0,
      { applied: false, months: [{ ...month, archived: false }] },
    ]);
    expect(await storedBars(database, 'raw_ohlcv_archive')).toEqual({});
    const applied = await run(['retention', '--apply', '--json'], { DATABASE_URL: database.url });
    expect([applied.code, applied.json()]).toMatchObject([
      0,
      { applied: true, months: [{ ...month, archived: true }] },
    ]);
    expect([await storedBars(database), Object.keys(await storedBars(database, 'raw_ohlcv_archive'))]).toEqual([
      {},
      ['AAPL'],
    ]);
  });
});

describe('a database whose login is in Secrets Manager', () => {
  /** Secrets as RDS writes them, with more or less in them. */
  async function startSecrets({ url }: TestDatabase) {
    const { username, password, hostname: host, port, pathname } = new URL(url);
    const dbname = pathname.slice(1);
    const login = { username, password };
    const whole = { ...login, engine: 'postgres', host, port: Number(port), dbname, dbInstanceIdentifier: 'market' };
    const secrets = {
      whole,
      'port in words': { ...whole, port },
      login,
      'no password': { username },
      'another password': { ...whole, password: 'another' },
      list: [login],
    };
    const json = Object.entries(secrets).map(([name, secret]) => [name.replaceAll(' ', '-'), JSON.stringify(secret)]);
    return startSecretsManager({ ...Object.fromEntries(json), broken: `{"username":"${username}"`, empty: '' });
  }

  test.each(['whole', 'port-in-words'])('is found by the secret alone: %s', async (name) => {
    const database = await createTestDatabase();
    const env = (await startSecrets(database))(name);
    const { code, json, stderr } = await run(['db', 'migrate', '--json'], env);
    expect([code, stderr, json().migrations]).toEqual([0, '', MIGRATIONS]);
    expect(await database.query('SELECT FROM raw_ohlcv')).toEqual([]);
  });

  test('is found by the URL, and the secret has user and password', async () => {
    const database = await createTestDatabase();
    const env = (await startSecrets(database))('login');
    const { host, pathname } = new URL(database.url);
    const url = `postgresql://${host}${pathname}`;
    expect((await run(['db', 'migrate', '--db', url], env)).code).toBe(0);
    const { store, run: onLake } = await createFetchedLake();
    const { code, json } = await onLake(['ingest', 'ohlcv', ...DATES, '--json'], { ...env, DATABASE_URL: url });
    expect([code, json().databaseFailures]).toEqual([0, []]);
    expect(await storedBars(database)).toEqual(await lakeBars(store));
  });

  test('what the URL says wins over the secret', async () => {
    const database = await createTestDatabase();
    const env = (await startSecrets(database))('another-password');
    expect((await run(['db', 'migrate'], env)).code).toBe(2);
    expect((await run(['db', 'migrate', '--db', database.url], env)).code).toBe(0);
  });

  test.each(['no-password', 'list', 'broken', 'empty', 'nowhere'])(
    'a secret that has none is named: %s',
    async (name) => {
      const database = await createTestDatabase();
      const env = (await startSecrets(database))(name);
      const { code, stdout, stderr } = await run(['db', 'migrate', '--json'], env);
      expect(code).toBe(2);
      expect(stderr).toContain(env.RDS_SECRET_ARN);
      for (const secret of [new URL(database.url).password, new URL(database.url).username]) {
        expect(stdout + stderr).not.toContain(secret);
      }
    },
  );
});

describe('a fetch whose database cannot be had', () => {
  const INGEST = ['ingest', 'ohlcv', ...DATES];
  const withoutLogin = ({ url }: TestDatabase) => {
    const { host, pathname } = new URL(url);
    return `postgresql://${host}${pathname}`;
  };

  test.each([
    ['down', /cannot be read: .*try again later/],
    ['nowhere', /cannot be read: .*check the ARN/],
    ['none', /holds no login of a database/],
  ])('because its secret is %s is done, and tells so', async (name, reason) => {
    const database = await createTestDatabase({ migrate: true });
    const secrets = await startSecretsManager({ down: 503, none: '{}' });
    const { store, run: onLake } = await createFetchedLake();
    for (const env of [secrets(name), { ...secrets(name), DATABASE_URL: withoutLogin(database) }]) {
      const { code, json, stderr } = await onLake([...INGEST, '--force', '--json'], env);
      expect([code, stderr]).toEqual([0, '']);
      const { databaseFailures, database: outcome } = json();
      expect(databaseFailures).toEqual(
        [...SESSIONS.map(formatSession), 'watermarks'].map((of) => ({ of, message: expect.stringMatching(reason) })),
      );
      expect(outcome).toEqual({ reconciled: null, failure: expect.stringMatching(reason) });
    }
    expect(await lakeBars(store)).toEqual(marketBars(MARKET));
    const { code, json } = await onLake(['resample', '--json'], secrets(name));
    expect([code, json().database.failure]).toEqual([0, expect.stringMatching(reason)]);
    const meta = await onLake(['ingest', 'meta'], secrets(name));
    expect([meta.code, meta.stdout]).toEqual([0, expect.stringMatching(reason)]);
    expect((await run(['db', 'migrate'], secrets(name))).code).toBe(name === 'down' ? 1 : 2);
  });

  test('its secret is not asked for where the URL has a password', async () => {
    const database = await createTestDatabase({ migrate: true });
    const secrets = await startSecretsManager({ down: 503 });
    const { run: onLake } = await createFetchedLake();
    const env = { ...secrets('down'), DATABASE_URL: database.url };
    const { code, json } = await onLake([...INGEST, '--json'], env);
    expect([code, json().databaseFailures, json().database.failure, secrets.asked]).toEqual([0, [], null, []]);
    expect((await run(['retention'], env)).code).toBe(0);
    expect(secrets.asked).toEqual([]);
  });

  test('because its URL is none fetches nothing, whatever its secret is', async () => {
    const secrets = await startSecretsManager({ down: 503 });
    const { server, run: onLake } = await createFetchedLake();
    const { code } = await onLake([...INGEST, '--db', 'mysql://127.0.0.1/market'], secrets('down'));
    expect([code, server.requests]).toEqual([2, []]);
  });
});

describe('the database of another lake', () => {
  /** All that is in it. */
  async function stateOf(database: TestDatabase): Promise<unknown> {
    const tables = ['raw_ohlcv', 'watermarks', 'silver_3d', 'silver_files', 'symbol_metadata', 'lake', 'ohlcv_months'];
    return Promise.all(tables.map((table) => versionsOf(database, table)));
  }

  test('is left as it is by all that writes to it; fetches and resampling are done, and tell', async () => {
    const database = await createTestDatabase({ migrate: true });
    const form = ['--db', database.url];
    const first = await createFetchedLake();
    for (const command of [['ingest', 'ohlcv', ...DATES], ['ingest', 'meta'], ['resample']]) {
      expect((await first.run([...command, ...form])).code).toBe(0);
    }
    const before = await stateOf(database);

    const other = await createFetchedLake();
    const refused =
      /is the database of another lake \([-0-9a-f]{36}\), not of this one \([-0-9a-f]{36}\): check --lake and --db/;
    const told = expect.stringMatching(refused);
    const fetched = await other.run(['ingest', 'ohlcv', ...DATES, ...form, '--json']);
    expect([fetched.code, fetched.stderr]).toEqual([0, '']);
    expect(fetched.json().databaseFailures).toEqual(
      [...SESSIONS.map(formatSession), 'watermarks'].map((of) => ({ of, message: told })),
    );
    expect(fetched.json().database).toEqual({ reconciled: null, failure: told });
    expect(await lakeBars(other.store)).toEqual(marketBars(MARKET));
    // Whatever the database's watermarks say.
    const chosen = await other.run(['ingest', 'ohlcv', '--symbols', 'AAPW', ...DATES, ...form, '--json']);
    expect([chosen.code, chosen.json().symbolsFetched]).toEqual([0, 1]);

    const resampled = await other.run(['resample', ...form, '--json']);
    expect([resampled.code, resampled.json().database.failure]).toEqual([0, told]);
    expect(await silverDigests(other.store)).toEqual(await silverDigests(first.store));
    const meta = await other.run(['ingest', 'meta', ...form]);
    expect([meta.code, meta.stdout]).toEqual([0, told]);
    const compared = await other.run(['db', 'reconcile', ...form]);
    expect([compared.code, compared.stdout, compared.stderr]).toEqual([2, '', told]);
    expect(await stateOf(database)).toEqual(before);

    expect((await first.run(['db', 'reconcile', ...form, '--json'])).json()).toMatchObject({ differing: 0, extra: 0 });
  });

  test('a lake whose id is damaged is fetched to all the same', async () => {
    const database = await createTestDatabase({ migrate: true });
    const { store, run: onLake } = await createFetchedLake();
    await store.put(LAKE_ID_KEY, Buffer.from('{}'));
    const { code, json } = await onLake(['ingest', 'ohlcv', ...DATES, '--db', database.url, '--json']);
    expect([code, json().database.failure]).toEqual([0, expect.stringContaining(LAKE_ID_KEY)]);
    expect(await lakeBars(store)).toEqual(marketBars(MARKET));
    expect(await database.query('SELECT FROM lake')).toEqual([]);
    expect((await onLake(['db', 'reconcile', '--db', database.url])).code).toBe(1);
  });
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function runProcess(args: readonly string[], env: Variables): Promise<Ended> {
  const child = spawn(process.execPath, [CLI, ...args], { env: { PATH: process.env.PATH, ...env } });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, stdout, stderr };
}
