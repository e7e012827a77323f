import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import type { Database } from '../../src/database/connection.ts';
import { migrateDatabase } from '../../src/database/migrate.ts';
import { withClient } from '../support/postgres/client.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres/database.ts';
import { startProxy } from '../support/postgres/proxy.ts';
import { openUntilFinished } from './open-database.ts';

const SCRIPT = new URL('migrate-process.ts', import.meta.url).pathname;
const FOLDER = new URL('../../src/database/migrations', import.meta.url);
const NAMES = (await readdir(FOLDER)).map((file) => file.replace(/\.sql$/, '')).sort();

/** All that a migration may make, and which of them the database says it has. */
async function schemaOf({
  query,
}: TestDatabase): Promise<{ readonly objects: readonly string[]; readonly names: readonly string[] }> {
  const [{ objects } = { objects: [] }] = await query<{ objects: string[] }>(`
    WITH objects AS (
      SELECT format('%s %s', relkind, relname) AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace
      UNION ALL SELECT format('%s %s', prokind, oid::regprocedure) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    ) SELECT coalesce(array_agg(name ORDER BY name), '{}') AS objects FROM objects WHERE name !~ 'schema_migrations'`);
  const [{ isThere } = { isThere: false }] = await query<{ isThere: boolean }>(
    `SELECT to_regclass('schema_migrations') IS NOT NULL AS "isThere"`,
  );
  const rows = isThere ? await query<{ name: string }>('SELECT name FROM schema_migrations ORDER BY id') : [];
  return { objects, names: rows.map(({ name }) => name) };
}

async function open(): Promise<TestDatabase & { readonly database: Database }> {
  const world = await createTestDatabase();
  return { ...world, database: openUntilFinished(world.url) };
}

test('a database is brought up to date once, taken back one by one or at once, and brought up to the same again', async () => {
  const world = await open();
  const { database } = world;
  const empty = await schemaOf(world);
  expect(empty).toEqual({ objects: [], names: [] });
  expect(await migrateDatabase(database)).toEqual(NAMES);
  const whole = await schemaOf(world);
  expect(whole.names).toEqual(NAMES);
  expect(whole.objects.length).toBeGreaterThan(10);
  expect(await migrateDatabase(database)).toEqual([]);
  expect(await schemaOf(world)).toEqual(whole);

  expect(await migrateDatabase(database, { direction: 'down' })).toEqual(NAMES.slice(-1));
  expect((await schemaOf(world)).names).toEqual(NAMES.slice(0, -1));
  expect(await migrateDatabase(database, { direction: 'down', count: NAMES.length })).toEqual(
    NAMES.slice(0, -1).reverse(),
  );
  expect(await schemaOf(world)).toEqual(empty);
  expect(await migrateDatabase(database, { direction: 'down' })).toEqual([]);

  expect(await migrateDatabase(database, { count: 2 })).toEqual(NAMES.slice(0, 2));
  expect(await migrateDatabase(database)).toEqual(NAMES.slice(2));
  expect(await schemaOf(world)).toEqual(whole);
  expect(await world.connections()).toBe(0);
});

test('of runs at the same time, in one process and in others, one does it and the others wait for it', async () => {
  const [world, alone] = [await open(), await open()];
  const other = async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT, world.url]);
    return JSON.parse(stdout);
  };
  const here = [1, 2, 3, 4].map(() => migrateDatabase(openUntilFinished(world.url)));
  const made = await Promise.all([other(), other(), ...here]);
  expect(made.filter(({ length }) => length > 0)).toEqual([NAMES]);
  await migrateDatabase(alone.database);
  expect(await schemaOf(world)).toEqual(await schemaOf(alone));
});

test('a run that is killed at any of its statements leaves nothing half done, and the next one makes it whole', async () => {
  const [world, alone] = [await open(), await open()];
  const proxy = await startProxy(alone.url);
  await migrateDatabase(openUntilFinished(proxy.url));
  const [whole, statements] = [await schemaOf(alone), proxy.statements()];
  expect(statements.length).toBeGreaterThan(NAMES.length);
  const killer = await startProxy(world.url);
  const database = openUntilFinished(killer.url);
  for (const [k, step] of statements.entries()) {
    const count = killer.killAt(k + 1);
    const made = await migrateDatabase(database).catch((error) => error.code);
    const isDone = step.includes('pg_advisory_unlock');
    expect([count.hits, made], step).toEqual([1, isDone ? NAMES : 'Unavailable']);
    // The table of names alone may be there, without a name.
    expect(await schemaOf(world), step).toEqual(isDone ? whole : { objects: [], names: [] });
    expect(await migrateDatabase(database), step).toEqual(isDone ? [] : NAMES);
    expect(await schemaOf(world), step).toEqual(whole);
    await migrateDatabase(database, { direction: 'down', count: NAMES.length });
    if (k % 2 === 0) await world.query('DROP TABLE schema_migrations');
  }
  await expect.poll(world.connections).toBe(0);
});

test('a run whose answer to COMMIT is lost has done it', async () => {
  const [world, alone] = [await open(), await open()];
  const probe = await startProxy(alone.url);
  await migrateDatabase(openUntilFinished(probe.url));
  const proxy = await startProxy(world.url);
  const count = proxy.arm({ kind: 'cut', at: probe.messages().lastIndexOf('Query COMMIT') + 1, when: 'after' });
  await expect(migrateDatabase(openUntilFinished(proxy.url))).rejects.toMatchObject({ code: 'Unavailable' });
  expect(count.hits).toBe(1);
  expect(await schemaOf(world)).toEqual(await schemaOf(alone));
  expect(await migrateDatabase(world.database)).toEqual([]);
});

test('a role that may not create tables is told so, and nothing is made', async () => {
  const world = await open();
  const username = `role_${randomUUID()}`;
  await world.query(`CREATE ROLE "${username}" LOGIN PASSWORD 'secret'`);
  onTestFinished(async () => void (await world.query(`DROP ROLE "${username}"`)));
  const url = Object.assign(new URL(world.url), { username, password: 'secret' }).href;
  await expect(migrateDatabase(openUntilFinished(url))).rejects.toMatchObject({
    code: 'BadInput',
    message: expect.stringMatching(
      /permission denied for schema public: grant the role what docs\/postgresql\.md lists$/,
    ),
  });
  expect(await schemaOf(world)).toEqual({ objects: [], names: [] });
});

test('a server before PostgreSQL 15 is refused, and left alone', async () => {
  const world = await open();
  const old: Database = {
    ...world.database,
    async connect() {
      const client = await world.database.connect();
      const ask = client.query.bind(client) as (sql: string) => Promise<unknown>;
      const query = (sql: string) =>
        /SHOW server_version_num/.test(sql) ? ask("SELECT '140019' AS server_version_num") : ask(sql);
      return Object.assign(client, { query });
    },
  };
  await expect(migrateDatabase(old)).rejects.toMatchObject({
    code: 'BadInput',
    message: `${world.database.place}: is PostgreSQL 14: expected 15 or later`,
  });
  expect(await schemaOf(world)).toEqual({ objects: [], names: [] });
  await expect.poll(world.connections).toBe(0);
});

test('a server that is down is told', async () => {
  await expect(migrateDatabase(openUntilFinished('postgresql://127.0.0.1:1/market'))).rejects.toMatchObject({
    code: 'Unavailable',
    message: expect.stringMatching(/^127\.0\.0\.1:1\/market: connect ECONNREFUSED/),
  });
});

test('a database that has migrations of somebody else is refused as it is, not as one that is down', async () => {
  const world = await open();
  await migrateDatabase(world.database, { count: 1 });
  await world.query(`UPDATE schema_migrations SET name = '0001_other'`);
  const before = await schemaOf(world);
  await expect(migrateDatabase(world.database)).rejects.toMatchObject({
    code: 'BadInput',
    message: expect.stringMatching(/0001_bars is preceding already run migration 0001_other/),
  });
  expect(await schemaOf(world)).toEqual(before);
});

test('a run that is aborted before it begins does nothing and throws the reason', async () => {
  const world = await open();
  const reason = new Error('stopped');
  await expect(migrateDatabase(world.database, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  expect(await schemaOf(world)).toEqual({ objects: [], names: [] });
});

test('a run that is aborted while it waits for another ends at once, does nothing and throws the reason', async () => {
  const world = await open();
  const reason = new Error('stopped');
  await migrateDatabase(world.database, { count: 1 });
  const before = await schemaOf(world);
  await withClient(world.url, async (client) => {
    await client.query('BEGIN; LOCK TABLE schema_migrations IN ACCESS EXCLUSIVE MODE');
    const controller = new AbortController();
    const running = migrateDatabase(world.database, { signal: controller.signal }).catch((error) => error);
    await expect.poll(world.waiting).toBe(1);
    const start = performance.now();
    controller.abort(reason);
    expect(await running).toBe(reason);
    expect(performance.now() - start).toBeLessThan(10_000);
  });
  await expect.poll(world.connections).toBe(0);
  expect(await schemaOf(world)).toEqual(before);
  expect(await migrateDatabase(world.database)).toEqual(NAMES.slice(1));
});

test('a run that waits for a table longer than its time ends, so that others need not wait behind it', async () => {
  const world = await open();
  await migrateDatabase(world.database, { count: 1 });
  const before = await schemaOf(world);
  let [given, made] = [0, 0];
  const impatient: Database = {
    ...world.database,
    async connect(call) {
      const client = await world.database.connect(call);
      const ask = client.query.bind(client) as (...statement: readonly unknown[]) => Promise<unknown>;
      const query = (sql: unknown, ...rest: readonly unknown[]) => {
        const found = typeof sql === 'string' ? /^SET lock_timeout = (\d+)$/.exec(sql) : null;
        made++;
        if (!found) return ask(sql, ...rest);
        expect(made).toBe(1);
        given = Number(found[1]);
        return ask('SET lock_timeout = 50');
      };
      return Object.assign(client, { query });
    },
  };
  await withClient(world.url, async (client) => {
    await client.query('BEGIN; LOCK TABLE schema_migrations IN ACCESS EXCLUSIVE MODE');
    await expect(migrateDatabase(impatient)).rejects.toMatchObject({
      code: 'Conflict',
      message: expect.stringMatching(/lock timeout/),
    });
  });
  expect(given).toBe(30_000);
  expect(await schemaOf(world)).toEqual(before);
  expect(await migrateDatabase(world.database)).toEqual(NAMES.slice(1));
});
