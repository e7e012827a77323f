import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { archiveBars } from '../../src/database/archive-bars.ts';
import type { Database } from '../../src/database/connection.ts';
import { databaseWatermarks } from '../../src/database/database-watermarks.ts';
import { migrateDatabase } from '../../src/database/migrate.ts';
import { reconcile } from '../../src/database/reconcile.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { openUntilFinished } from '../database/open-database.ts';
import { keysOf } from '../support/lake-reader.ts';
import { startProxy } from '../support/postgres/proxy.ts';
import { runCommand, type Variables } from '../support/run-command.ts';
import {
  type CanaryDatabase,
  createCanaryDatabase,
  createFetchedLake,
  createLake,
  DATES,
  NO_DATABASE,
} from './database-world.ts';

/** Of the user and of the password. */
const TRACES = /CANARY/;
const PASSWORD = /CANARY_pw/;
const CANARY = 'CANARY_pw-0123456789';
const WITH_DATABASE = [
  'db migrate',
  'db reconcile',
  'ingest ohlcv',
  'ingest meta',
  'ingest flatfiles',
  'resample',
  'retention',
];

const run = (args: readonly string[], env: Variables = {}) => runCommand(args, { env: { ...NO_DATABASE, ...env } });

const changed = (url: string, change: Partial<URL>) => Object.assign(new URL(url), change).href;

/** What may be wrong with a database, by the URL that leads to it. */
const WRONG: Readonly<Record<string, (database: CanaryDatabase) => string>> = {
  'no server': ({ url }) => changed(url, { host: '127.0.0.1:9' }),
  'another password': ({ url }) => changed(url, { password: CANARY }),
  'no password': ({ url }) => changed(url, { password: '' }),
  'another user': ({ url }) => changed(url, { username: 'CANARY_user_other' }),
  'no such database': ({ url }) => changed(url, { pathname: '/nowhere' }),
  'no tables': ({ url }) => url,
  'no TLS': ({ url }) => `${url}?sslmode=require`,
  'no such mode': ({ url }) => `${url}?sslmode=maybe`,
  'no such file': ({ url }) => `${url}?sslrootcert=/nowhere`,
  'no such parameter': ({ url }) => `${url}&x=1`.replace('&', '?'),
  'a parameter that is a password': ({ url }) => `${url}?${CANARY}=1`,
  'no such port': ({ url }) => url.replace(/:\d+\//, ':port/'),
  'no such protocol': ({ url }) => url.replace('postgresql', 'mysql'),
  'a password that is not encoded': ({ url, password }) => changed(url, { password: '' }).replace('@', `:${password}@`),
};

describe('neither user nor password is in what a command prints', () => {
  test('where all goes well, nor in the lake', async () => {
    const database = await createCanaryDatabase();
    const { store, run: onLake } = await createFetchedLake();
    const env = { DATABASE_URL: database.url };
    const printed = [await run(['db', 'migrate'], env), await run(['db', 'migrate', '--down', '--json'], env)];
    printed.push(await run(['db', 'migrate', '--json'], env));
    for (const form of [[], ['--json']]) {
      for (const command of [
        ['ingest', 'ohlcv', ...DATES],
        ['ingest', 'meta'],
        ['consolidate'],
        ['resample'],
        ['db', 'reconcile'],
      ]) {
        printed.push(await onLake([...command, ...form], env));
      }
      printed.push(await run(['retention', '--apply', ...form], env));
    }
    expect(printed.map(({ code }) => code)).toEqual(printed.map(() => 0));
    for (const { stdout, stderr } of printed) expect(stdout + stderr).not.toMatch(TRACES);
    for (const key of await keysOf(store)) {
      expect(key).not.toMatch(TRACES);
      expect(Buffer.from((await store.get(key)).body).toString('latin1')).not.toMatch(TRACES);
    }
  });

  test.each(Object.entries(WRONG))('where there is %s', async (_, urlOf) => {
    const database = await createCanaryDatabase();
    const url = urlOf(database);
    const { run: onLake } = await createLake();
    for (const [command, isOnLake] of [
      [['db', 'migrate'], false],
      [['db', 'reconcile'], true],
      [['retention'], false],
    ] as const) {
      for (const form of [
        ['--db', url],
        ['--db', url, '--json'],
      ]) {
        if (command[1] === 'migrate' && url === database.url) continue;
        const { code, stdout, stderr } = await (isOnLake ? onLake : run)([...command, ...form]);
        expect(code).not.toBe(0);
        expect(stdout + stderr).not.toMatch(TRACES);
      }
    }
  });

  test('where a fetch is done and its database is not', async () => {
    const database = await createCanaryDatabase();
    const { run: onLake } = await createFetchedLake();
    for (const name of ['no server', 'another password', 'no tables', 'no TLS']) {
      for (const form of [[], ['--json']]) {
        const { code, stdout, stderr } = await onLake(['ingest', 'ohlcv', ...DATES, '--force', ...form], {
          DATABASE_URL: WRONG[name]!(database),
        });
        expect([name, code]).toEqual([name, 0]);
        expect(stdout + stderr).toMatch(/database/);
        expect(stdout + stderr).not.toMatch(TRACES);
      }
    }
  });

  test.each(WITH_DATABASE)('where help is asked for: %s', async (command) => {
    const env = {
      DATABASE_URL: `postgresql://CANARY_user:${CANARY}@127.0.0.1/market`,
      RDS_SECRET_ARN: CANARY,
      PGPASSWORD: CANARY,
    };
    const { code, stdout, stderr } = await run([...command.split(' '), '--help'], env);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/env:\s+DATABASE_URL/);
    expect(stdout).not.toMatch(TRACES);
  });

  test.each(WITH_DATABASE)('where the environment has it and the usage is wrong: %s', async (command) => {
    const env = { DATABASE_URL: `postgresql://CANARY_user:${CANARY}@127.0.0.1/market`, PGPASSWORD: CANARY };
    for (const form of [['--nonsense'], ['--nonsense', '--json'], ['surplus'], ['--db']]) {
      const { code, stdout, stderr } = await run([...command.split(' '), ...form], env);
      expect(code).toBe(2);
      expect(stdout + stderr).not.toMatch(TRACES);
    }
  });

  test('where a URL is not behind --db', async () => {
    const url = `postgresql://writer:${CANARY}@127.0.0.1/market`;
    const lines = [
      ...[url, `--db=${url} db migrate`, `db ${url}`, `db migrate ${url}`, `db migrate --bd=${url}`],
      ...[
        `db migrate --json=${url}`,
        `retention --apply=${url}`,
        `resample --intervals ${url}`,
        `resample --lake ${url}`,
      ],
      ...[`resample --lookback ${url}`, `ingest ohlcv --symbols ${url}`, `ingest ohlcv --date ${url}`],
    ];
    const telling: string[] = [];
    for (const line of lines) {
      for (const form of [[], ['--json']]) {
        const { code, stdout, stderr } = await run([...line.split(' '), ...form]);
        expect([line, code, stdout + stderr]).toEqual([line, 2, expect.stringContaining('error')]);
        if (TRACES.test(stdout + stderr)) telling.push(line.replace(url, 'URL'));
      }
    }
    expect(telling).toEqual([]);
  });
});

describe('the password is in nothing that there is to inspect', () => {
  const inspected = (value: unknown) => inspect(value, { depth: 10, showHidden: true, getters: true });

  async function failuresOf(database: Database): Promise<readonly unknown[]> {
    const rows = { symbols: ['AAPL'], failing: 1 };
    const works: (() => Promise<unknown>)[] = [
      () => database.connect(),
      () => database.transaction(async (client) => client.query('SELECT 1 / 0')),
      () => database.transaction(async (client) => client.query('no statement', [rows])),
      () => database.transaction(async (client) => client.query('SELECT pg_terminate_backend(pg_backend_pid())')),
      () => databaseWatermarks(database).read(),
      () => reconcile(memoryStore(), database),
      () => archiveBars(database, { apply: true }),
    ];
    const failures: unknown[] = [];
    for (const work of works) {
      await work().then(
        (made) => (made as { end?: () => Promise<void> } | undefined)?.end?.(),
        (error) => failures.push(error),
      );
    }
    return failures;
  }

  test('of a database, open and closed', async () => {
    const { url } = await createCanaryDatabase({ migrate: true });
    const database = openUntilFinished(url);
    expect(inspected(database)).not.toMatch(TRACES);
    await database.transaction((client) => client.query('SELECT 1'));
    expect(inspected([database, JSON.stringify(database), String(database.transaction)])).not.toMatch(TRACES);
    await database.close();
    expect(inspected(database)).not.toMatch(TRACES);
  });

  test.each(['no server', 'another password', 'no password', 'no such database', 'no tables', 'no TLS'])(
    'of errors where there is %s',
    async (name) => {
      const canary = await createCanaryDatabase();
      const failures = await failuresOf(openUntilFinished(WRONG[name]!(canary)));
      expect(failures.length).toBeGreaterThanOrEqual(6);
      for (const failure of failures) {
        expect(failure).toMatchObject({ name: 'BatchLayerError', message: expect.not.stringMatching(TRACES) });
        expect(inspected(failure)).not.toMatch(PASSWORD);
      }
    },
  );

  test('of errors where the connection is lost, or hangs', async () => {
    const canary = await createCanaryDatabase({ migrate: true });
    const proxy = await startProxy(canary.url);
    for (const fault of [
      { kind: 'cut', at: 2 },
      { kind: 'kill', at: 1 },
      { kind: 'hang', at: 4 },
    ] as const) {
      const database = openUntilFinished(proxy.url, { timeoutMs: 2100 });
      const errors: unknown[] = [];
      const work = async (client: { query: (sql: string) => Promise<unknown> }) => {
        try {
          return await client.query('SELECT 1');
        } catch (error) {
          errors.push(error);
          throw error;
        }
      };
      const count = proxy.arm(fault);
      if (fault.kind === 'hang') {
        const signal = AbortSignal.timeout(150);
        errors.push(await database.transaction(work, { signal }).catch((error) => error));
      } else await database.transaction(work).catch((error) => errors.push(error));
      expect([fault, count.hits]).toEqual([fault, 1]);
      expect(inspected(errors)).not.toMatch(PASSWORD);
      await proxy.disarm();
    }
  });

  test('of errors of migrations', async () => {
    const canary = await createCanaryDatabase();
    await canary.query('CREATE TABLE raw_ohlcv (n int)');
    const failure = await migrateDatabase(openUntilFinished(canary.url)).catch((error) => error);
    expect(failure).toMatchObject({ name: 'BatchLayerError', message: expect.stringContaining('already exists') });
    expect(inspected(failure)).not.toMatch(PASSWORD);
  });
});
