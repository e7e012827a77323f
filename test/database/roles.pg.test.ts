import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { expect, onTestFinished, test } from 'vitest';
import { archiveBars } from '../../src/database/archive-bars.ts';
import { bindLake } from '../../src/database/bind-lake.ts';
import { databaseWatermarks } from '../../src/database/database-watermarks.ts';
import { upsertBars } from '../../src/database/upsert-bars.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { withClient } from '../support/postgres/client.ts';
import { allBars, createWorld, FIRST_MONTH, NOW, placesOf, rowsOf, type World } from './archive-world.ts';
import { openUntilFinished } from './open-database.ts';

const ROLES = ['writer', 'reader', 'retention'] as const;
type Role = (typeof ROLES)[number];

interface Guarded extends World {
  /** The URL of a user that has this role. */
  readonly as: Readonly<Record<Role, string>>;
}

/** A world with users of each role; tells who. */
async function createGuarded(): Promise<Guarded> {
  const world = await createWorld();
  const sql = await readFile(new URL('../../docs/database-roles.sql', import.meta.url), 'utf8');
  const existing = await world.query<{ rolname: string }>(
    `SELECT rolname FROM pg_roles WHERE rolname LIKE 'batch\\_layer\\_%'`,
  );
  const groups = ROLES.map((role) => `batch_layer_${role}`);
  const kept = new Set(existing.map(({ rolname }) => rolname));
  const users = Object.fromEntries(ROLES.map((role) => [role, `${role}_${randomUUID()}`])) as Record<Role, string>;
  onTestFinished(async () => {
    const made = [...Object.values(users), ...groups.filter((name) => !kept.has(name))];
    const names = made.map((name) => `"${name}"`).join(', ');
    await world.query(`DROP OWNED BY ${names}; DROP ROLE ${names}`);
  });
  // Run again it does no harm.
  for (let i = 0; i < 2; i++) await world.query(sql);
  const password = randomUUID();
  for (const role of ROLES) {
    await world.query(`CREATE ROLE "${users[role]}" LOGIN PASSWORD '${password}' IN ROLE batch_layer_${role}`);
  }
  const urlOf = (username: string) => Object.assign(new URL(world.url), { username, password }).href;
  return { ...world, as: Object.fromEntries(ROLES.map((role) => [role, urlOf(users[role])])) as Record<Role, string> };
}

function run(url: string, sql: string) {
  return withClient(url, async (client) => (await client.query(sql)).rows);
}

const EVERY_SILVER = [3, 5, 8, 13, 21, 34].map((n) => `silver_${n}d`);
const PRIVILEGES: Readonly<Record<Role, Readonly<Record<string, readonly string[]>>>> = {
  writer: {
    SELECT: ['ohlcv_months'],
    'SELECT INSERT': ['lake'],
    'SELECT INSERT UPDATE': ['raw_ohlcv', 'raw_ohlcv_archive', 'watermarks'],
    'SELECT INSERT UPDATE DELETE': [...EVERY_SILVER, 'silver_files', 'symbol_metadata'],
    EXECUTE: ['bar_hash', 'create_silver_table', 'route_ohlcv_months'],
  },
  reader: {
    SELECT: [
      'lake',
      'ohlcv_months',
      'raw_ohlcv',
      'raw_ohlcv_archive',
      ...EVERY_SILVER,
      'silver_files',
      'symbol_metadata',
      'v_archive_statistics',
      'v_raw_ohlcv_data_distribution',
      'watermarks',
    ],
    EXECUTE: ['bar_hash'],
  },
  retention: {
    SELECT: [
      'data_retention_log',
      'ohlcv_months',
      'raw_ohlcv',
      'raw_ohlcv_archive',
      'v_archive_statistics',
      'v_raw_ohlcv_data_distribution',
      'v_retention_log_summary',
    ],
    EXECUTE: ['archive_ohlcv_month', 'archive_old_ohlcv_data', 'bar_hash', 'log_archive_failure'],
  },
};

test('each role has the rights it needs and no others', async () => {
  const { as } = await createGuarded();
  for (const role of ROLES) {
    const rows = await run(
      as[role],
      `SELECT name, privileges FROM (
        SELECT relname AS name, concat_ws(' ', VARIADIC ARRAY(
          SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p
          WHERE has_table_privilege(oid, p))) AS privileges
        FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')
        UNION ALL SELECT proname, 'EXECUTE' FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND has_function_privilege(oid, 'EXECUTE')
      ) AS objects WHERE privileges <> ''`,
    );
    const expected = Object.entries(PRIVILEGES[role]).flatMap(([privileges, names]) =>
      names.map((name) => ({ name, privileges })),
    );
    expect(new Set(rows)).toEqual(new Set(expected));
    expect(await run(as[role], `SELECT has_schema_privilege('public', 'CREATE') AS may`)).toEqual([{ may: false }]);
  }
});

test('a writer writes whose the database is, bars, watermarks, metadata and silver', async () => {
  const world = await createGuarded();
  await archiveBars(world.database, { apply: true, now: () => NOW });
  const database = openUntilFinished(world.as.writer);
  const lake = memoryStore();
  for (let i = 0; i < 2; i++) await bindLake(lake, database);
  await expect(bindLake(memoryStore(), database)).rejects.toMatchObject({ code: 'BadInput' });
  const rows = rowsOf([
    ['NEW', '2022-07-18', 1],
    ['NEW', '2022-10-18', 2],
    ['NEW', '2022-11-18', 3],
  ]);
  expect(await upsertBars(database, rows, { keepFrom: FIRST_MONTH })).toMatchObject({ written: 3 });
  expect(await placesOf(world)).toMatchObject({
    '2022-07': '0 raw, 13 archived, dropped',
    '2022-10': '13 raw, 0 archived, kept',
    '2022-11': '1 raw, 0 archived, kept',
  });
  const marks = databaseWatermarks(database);
  const mark = { symbol: 'NEW', lastSession: 20_000, checkedFrom: 19_000, checkedThrough: 20_000 };
  await marks.advance([mark]);
  await marks.advance([{ ...mark, lastSession: 20_001 }]);
  expect((await marks.read()).get('NEW')).toMatchObject({ lastSession: 20_001 });

  await run(
    world.as.writer,
    `BEGIN;
    LOCK TABLE symbol_metadata IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM symbol_metadata;
    SELECT create_silver_table(89);
    INSERT INTO silver_89d VALUES ('NEW', '2022-11-18', '2022-11-18', 1, 1, 1, 1, 1, 1, 1, false);
    INSERT INTO silver_5d SELECT * FROM silver_89d ON CONFLICT (symbol, date) DO UPDATE SET bars = 2;
    DELETE FROM silver_5d; DELETE FROM silver_files;
    COMMIT`,
  );
  expect(await run(world.as.reader, 'SELECT symbol FROM silver_89d')).toEqual([{ symbol: 'NEW' }]);
});

test('retention plans, archives and logs, by the library and by the procedure', async () => {
  const world = await createGuarded();
  const bars = await allBars(world);
  const database = openUntilFinished(world.as.retention, { lockTimeoutMs: 50 });
  expect((await archiveBars(database, { now: () => NOW })).months).toHaveLength(3);
  await world.query(`INSERT INTO raw_ohlcv_archive VALUES ('STRAY', '2022-07-31', 1, 1, 1, 1, 1)`);
  const { rows, failed } = await archiveBars(database, { apply: true, now: () => NOW });
  expect([rows, failed.length]).toEqual([24, 1]);
  await world.query('DELETE FROM raw_ohlcv_archive WHERE symbol = $1', ['STRAY']);
  await run(world.as.retention, `CALL archive_old_ohlcv_data('2022-10-01', false)`);
  expect(await allBars(world)).toEqual(bars);
  const user = new URL(world.as.retention).username;
  expect(await run(world.as.retention, 'SELECT run_by, status FROM data_retention_log ORDER BY id')).toEqual(
    ['failed', 'archived', 'archived', 'archived'].map((status) => ({ run_by: user, status })),
  );
  expect(await run(world.as.reader, 'SELECT rows::int FROM v_archive_statistics')).toEqual([{ rows: 36 }]);
});

test.each<[Role, readonly string[]]>([
  [
    'reader',
    [
      `INSERT INTO raw_ohlcv VALUES ('A', '2022-10-03', 1, 1, 1, 1, 1)`,
      'UPDATE raw_ohlcv_archive SET close = 1',
      'DELETE FROM symbol_metadata',
      'INSERT INTO lake VALUES (gen_random_uuid())',
      `SELECT route_ohlcv_months('{2022-07-01}', '2022-01-01')`,
      'BEGIN; LOCK TABLE watermarks IN SHARE ROW EXCLUSIVE MODE',
      'SELECT FROM data_retention_log',
    ],
  ],
  [
    'writer',
    [
      'DELETE FROM raw_ohlcv',
      'UPDATE lake SET id = gen_random_uuid()',
      'DELETE FROM lake',
      'TRUNCATE lake',
      'DELETE FROM raw_ohlcv_archive',
      'TRUNCATE raw_ohlcv',
      'DELETE FROM raw_ohlcv_202207',
      'DROP TABLE raw_ohlcv_202207',
      'ALTER TABLE raw_ohlcv DETACH PARTITION raw_ohlcv_202207',
      'UPDATE ohlcv_months SET archived_at = now()',
      `SELECT archive_ohlcv_month('2022-07-01', '2022-10-01')`,
      `CALL archive_old_ohlcv_data('2022-10-01', true)`,
      `SELECT log_archive_failure('2022-07-01', '2022-10-01', gen_random_uuid(), '')`,
      'CREATE TABLE silver_144d (symbol text)',
    ],
  ],
  [
    'retention',
    [
      `INSERT INTO raw_ohlcv_archive VALUES ('A', '2022-07-03', 1, 1, 1, 1, 1)`,
      'INSERT INTO lake VALUES (gen_random_uuid())',
      'UPDATE raw_ohlcv SET close = 1',
      'DELETE FROM raw_ohlcv_202207',
      'DROP TABLE raw_ohlcv_202207',
      'UPDATE ohlcv_months SET archived_at = NULL',
      'DELETE FROM data_retention_log',
      `SELECT route_ohlcv_months('{2022-07-01}', '2022-01-01')`,
      'CREATE FUNCTION bar_hash(text) RETURNS int LANGUAGE sql RETURN 1',
    ],
  ],
])('a %s is refused what it must not do', async (role, statements) => {
  const world = await createGuarded();
  const bars = await allBars(world);
  for (const sql of statements) {
    const error = await run(world.as[role], sql).catch(({ code }) => code);
    expect([sql, error]).toEqual([sql, '42501']);
  }
  expect(await allBars(world)).toEqual(bars);
});

test('a user without these roles archives nothing, and learns what is missing', async () => {
  const world = await createGuarded();
  const database = openUntilFinished(world.as.writer);
  await expect(archiveBars(database, { apply: true, now: () => NOW })).rejects.toMatchObject({
    code: 'BadInput',
    message: expect.stringMatching(/permission denied.*grant the role what docs\/postgresql\.md lists/),
  });
});

// Each fits what it is called with better than the system's own: a signature, and what it returns.
const PLANTED: readonly (readonly [signature: string, returns: string])[] = [
  ['to_char(date, text)', 'text RETURN pg_catalog.to_char($1::timestamp, $2)'],
  ['format(text, text)', 'text RETURN pg_catalog.format($1, VARIADIC ARRAY[$2])'],
  ['format(text, integer)', 'text RETURN pg_catalog.format($1, VARIADIC ARRAY[$2])'],
  ['date_trunc(text, date)', 'timestamp RETURN pg_catalog.date_trunc($1, $2::timestamp)'],
];

test('a user who puts functions into public, where anyone may, has none run with the rights of the owner', async () => {
  const world = await createGuarded();
  const bars = await allBars(world);
  const [username, password] = [`anyone_${randomUUID()}`, randomUUID()];
  await world.query(`CREATE ROLE "${username}" LOGIN PASSWORD '${password}'`);
  onTestFinished(async () => {
    await world.query(`DROP OWNED BY "${username}" CASCADE; DROP ROLE "${username}"`);
  });
  await world.query('GRANT CREATE ON SCHEMA public TO PUBLIC');
  const anyone = Object.assign(new URL(world.url), { username, password }).href;
  await run(anyone, 'CREATE TABLE ran (name text, by_whom text); GRANT ALL ON ran TO PUBLIC');
  for (const [signature, returns] of PLANTED) {
    const [type, result] = returns.split(' RETURN ');
    await run(
      anyone,
      `CREATE FUNCTION public.${signature} RETURNS ${type} LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.ran VALUES ('${signature}', current_user);
        RETURN ${result};
      END $$`,
    );
  }
  const ran = async () => {
    const rows = await world.query<{ name: string }>('SELECT DISTINCT name FROM ran');
    await world.query('TRUNCATE ran');
    return rows.map(({ name }) => name).sort();
  };
  const begin = (month: string) => run(world.as.writer, `SELECT route_ohlcv_months('{${month}}', '2022-01-01')`);
  const silver = (n: number) => run(world.as.writer, `SELECT create_silver_table(${n})`);
  const archive = (month: string) => run(world.as.retention, `SELECT archive_ohlcv_month('${month}', '2022-10-01')`);
  const fail = () =>
    run(world.as.retention, `SELECT log_archive_failure('2022-07-01', '2022-10-01', gen_random_uuid(), 'no')`);
  await begin('2022-11-01');
  await silver(89);
  await archive('2022-07-01');
  await fail();
  expect(await ran()).toEqual([]);
  expect(await allBars(world)).toEqual(bars);
  expect(await placesOf(world)).toMatchObject({ '2022-07': '0 raw, 12 archived, dropped' });
  // The test itself has asked by them.
  await ran();

  // Without their search_path they run all of them: these are functions that would gain something.
  for (const name of ['route_ohlcv_months', 'create_silver_table', 'archive_ohlcv_month']) {
    await world.query(`ALTER FUNCTION ${name} RESET search_path`);
  }
  await begin('2022-12-01');
  expect(await ran()).toEqual(
    expect.arrayContaining(['date_trunc(text, date)', 'format(text, text)', 'to_char(date, text)']),
  );
  await silver(90);
  expect(await ran()).toContain('format(text, integer)');
  await archive('2022-08-01');
  expect(await ran()).toEqual(expect.arrayContaining(['format(text, text)', 'to_char(date, text)']));
});
