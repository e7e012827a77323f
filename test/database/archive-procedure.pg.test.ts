import { expect, test } from 'vitest';
import { archiveBars } from '../../src/database/archive-bars.ts';
import { migrateDatabase } from '../../src/database/migrate.ts';
import { withClient } from '../support/postgres/client.ts';
import { createTestDatabase } from '../support/postgres/database.ts';
import { allBars, createWorld, NOW, placesOf, snapshotOf, type World, whileOpen } from './archive-world.ts';
import { openUntilFinished } from './open-database.ts';

const RAW = '12 raw, 0 archived, kept';
const ARCHIVED = '0 raw, 12 archived, dropped';

/** Runs statements on one connection, and tells what the server said. */
async function run({ url }: World, ...statements: readonly string[]) {
  const said: string[] = [];
  const error = await withClient(url, async (client) => {
    client.on('notice', ({ message }) => said.push(message ?? ''));
    for (const sql of statements) await client.query(sql);
  }).catch((thrown: Error) => thrown.message);
  return { said, error };
}

test('the procedure tells what it would do, unless it is told to do it', async () => {
  const world = await createWorld();
  const before = await snapshotOf(world);
  const sums = await world.query<{ volume: string }>(
    `SELECT sum(volume::numeric) AS volume FROM raw_ohlcv WHERE date < '2022-09-01' GROUP BY date_trunc('month', date) ORDER BY 1`,
  );
  // The month of the cutoff is not wholly before it.
  for (const rest of ['', ', true', ', NULL']) {
    expect(await run(world, `CALL archive_old_ohlcv_data('2022-09-30'${rest})`)).toEqual({
      said: ['07', '08'].map((month, i) => `2022-${month} would be archived: 12 rows, volume ${sums[i]!.volume}`),
      error: undefined,
    });
  }
  expect(await snapshotOf(world)).toEqual(before);

  const bars = await allBars(world);
  const { said, error } = await run(world, `CALL archive_old_ohlcv_data('2022-10-01', false)`);
  expect([error, said.length, said[0]]).toEqual([undefined, 3, `2022-07 archived: 12 rows, volume ${sums[0]!.volume}`]);
  expect(await placesOf(world)).toMatchObject({ '2022-07': ARCHIVED, '2022-09': ARCHIVED, '2022-10': RAW });
  expect(await allBars(world)).toEqual(bars);
  expect(await world.query('SELECT archived::int, failed::int FROM v_retention_log_summary')).toEqual([
    { archived: 3, failed: 0 },
  ]);
  expect(await run(world, `CALL archive_old_ohlcv_data('2022-10-01', false)`)).toEqual({ said: [], error: undefined });
});

test('the procedure goes on after a month that fails, and ends with an error', async () => {
  const world = await createWorld();
  await whileOpen(world, async (client) => {
    await client.query(`SELECT route_ohlcv_months('{2022-08-01}', '2022-01-01')`);
    const { said, error } = await run(
      world,
      `SET lock_timeout = '50ms'`,
      `CALL archive_old_ohlcv_data('2022-10-01', false)`,
    );
    expect(said[1]).toBe('2022-08: canceling statement due to lock timeout');
    expect(error).toBe('a month could not be archived');
  });
  expect(await placesOf(world)).toMatchObject({ '2022-07': ARCHIVED, '2022-08': RAW, '2022-09': ARCHIVED });
  expect(
    await world.query(`SELECT cutoff, archived::int, failed::int, first_month, last_month, rows::int, error
      FROM v_retention_log_summary`),
  ).toEqual([
    {
      cutoff: '2022-10-01',
      archived: 2,
      failed: 1,
      first_month: '2022-07-01',
      last_month: '2022-09-01',
      rows: 24,
      error: 'canceling statement due to lock timeout',
    },
  ]);
});

test('a month that is not over is never archived', async () => {
  const world = await createWorld();
  const [{ next }] = (await world.query<{ next: string }>(
    `SELECT (date_trunc('month', now() AT TIME ZONE 'America/New_York') + interval '1 month')::date AS next`,
  )) as [{ next: string }];
  for (const cutoff of [`'${next}'`, 'NULL', `'infinity'`]) {
    const { error } = await run(world, `CALL archive_old_ohlcv_data(${cutoff}, false)`);
    expect(error).toMatch(/expected the first day of the current month at the latest/);
  }
  for (const [month, cutoff] of [
    [`date '${next}' - interval '1 month'`, next],
    [`date '${next}' - interval '1 month'`, 'infinity'],
    [`date '2022-07-01'`, '2022-07-31'],
  ]) {
    const { error } = await run(world, `SELECT archive_ohlcv_month((${month})::date, '${cutoff}')`);
    expect(error).toMatch(/is not wholly before the cutoff/);
  }
  expect(await run(world, `SELECT archive_ohlcv_month('2022-07-01', '2022-08-01')`)).toMatchObject({
    error: undefined,
  });
});

test('a transaction with an older snapshot is refused, a session without a lock timeout gets one', async () => {
  const world = await createWorld();
  const call = `SELECT archive_ohlcv_month('2022-07-01', '2022-10-01')`;
  for (const level of ['REPEATABLE READ', 'SERIALIZABLE']) {
    const { error } = await run(world, `BEGIN ISOLATION LEVEL ${level}`, call);
    expect(error).toBe(`archiving in a transaction that is ${level.toLowerCase()}: expected read committed`);
  }
  const timeouts = await withClient(world.url, async (client) => {
    const read = async () => (await client.query('SHOW lock_timeout')).rows[0].lock_timeout;
    await client.query('BEGIN');
    await client.query(call);
    const given = await read();
    await client.query('COMMIT');
    return [given, await read()];
  });
  expect(timeouts).toEqual(['5s', '0']);
});

test('a month of which the archive has bars already is not archived', async () => {
  const world = await createWorld();
  await world.query(`INSERT INTO raw_ohlcv_archive VALUES ('STRAY', '2022-07-31', 1, 1, 1, 1, 1)`);
  const { failed } = await archiveBars(world.database, { apply: true, now: () => NOW });
  expect(failed).toEqual([
    { month: '2022-07', code: 'CorruptObject', message: expect.stringMatching(/has bars of 2022-07, which is not/) },
  ]);
});

test('the migration is not taken back while the archive has bars', async () => {
  const world = await createWorld();
  await archiveBars(world.database, { apply: true, now: () => NOW });
  const before = await snapshotOf(world);
  await expect(migrateDatabase(world.database, { direction: 'down' })).rejects.toMatchObject({
    code: 'BadInput',
    message: expect.stringMatching(/raw_ohlcv_archive has the only bars of 3 archived months/),
  });
  expect(await snapshotOf(world)).toEqual(before);
  await world.query('TRUNCATE raw_ohlcv_archive');
  await expect(migrateDatabase(world.database, { direction: 'down' })).rejects.toThrow(/3 archived months/);
  await world.query('DELETE FROM ohlcv_months WHERE archived_at IS NOT NULL');
  expect(await migrateDatabase(world.database, { direction: 'down' })).toEqual(['0005_retention']);
  expect(await migrateDatabase(world.database)).toEqual(['0005_retention']);
});

test('the migration taken back leaves nothing behind', async () => {
  const { url, query } = await createTestDatabase();
  const database = openUntilFinished(url);
  const objects = () =>
    query(`SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace
      UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY name`);
  await migrateDatabase(database, { count: 4 });
  const before = await objects();
  expect(await migrateDatabase(database)).toEqual(['0005_retention']);
  expect(await migrateDatabase(database, { direction: 'down' })).toEqual(['0005_retention']);
  expect(await objects()).toEqual(before);
});
