import { expect, inject, test } from 'vitest';
import { archiveBars } from '../../src/database/archive-bars.ts';
import type { Database } from '../../src/database/connection.ts';
import { startProxy } from '../support/postgres/proxy.ts';
import {
  allBars,
  createWorld,
  NOW,
  OLD_MONTHS,
  placesOf,
  putBack,
  snapshotOf,
  type World,
  whileOpen,
  writeBar,
} from './archive-world.ts';
import { openUntilFinished } from './open-database.ts';

/** Who archives: whoever the server's URL names. */
const USER = new URL(inject('postgres').url).username;
const ROWS = 12;
const RAW = `${ROWS} raw, 0 archived, kept`;
const ARCHIVED = `0 raw, ${ROWS} archived, dropped`;
const BEFORE = { '2022-07': RAW, '2022-08': RAW, '2022-09': RAW, '2022-10': RAW, '2025-10': RAW };
const AFTER = { ...BEFORE, '2022-07': ARCHIVED, '2022-08': ARCHIVED, '2022-09': ARCHIVED };
/** Too short for whatever is in the way in these tests. */
const LOCK_TIMEOUT_MS = 50;

const archive = (database: Database, options = {}) =>
  archiveBars(database, { apply: true, now: () => NOW, ...options });

/** What SQL says of the months that are to be archived. */
async function expectedMonths({ query }: World, archived: boolean) {
  const rows = await query<{ month: string; rows: number; volume: number }>(
    `SELECT to_char(date, 'YYYY-MM') AS month, count(*)::int AS rows, sum(volume::numeric)::float8 AS volume
      FROM raw_ohlcv WHERE date < '2022-10-01' GROUP BY 1 ORDER BY 1`,
  );
  return rows.map((row) => ({ ...row, archived }));
}

function auditOf({ query }: World) {
  return query(`SELECT to_char(month, 'YYYY-MM') AS month, cutoff, status, rows::int, volume::float8, run_by, error
    FROM data_retention_log ORDER BY id`);
}

function audited(months: readonly { readonly month: string; readonly rows: number; readonly volume: number }[]) {
  return months.map(({ month, rows, volume }) => {
    return { month, cutoff: '2022-10-01', status: 'archived', rows, volume, run_by: USER, error: null };
  });
}

test('a dry run tells what would be archived and changes nothing', async () => {
  const world = await createWorld();
  const before = await snapshotOf(world);
  const result = await archiveBars(world.database, { now: () => NOW });
  const months = await expectedMonths(world, false);
  expect(months.map(({ month }) => month)).toEqual(OLD_MONTHS);
  expect(result).toEqual({
    applied: false,
    cutoff: '2022-10-01',
    months,
    rows: 3 * ROWS,
    volume: expect.closeTo(months.reduce((sum, { volume }) => sum + volume, 0)),
    archivedByOthers: 0,
    failed: [],
  });
  expect(await snapshotOf(world)).toEqual(before);
});

test('old months are in the archive to the bit, the others stay; run again it does nothing', async () => {
  const world = await createWorld();
  const [bars, months] = [await allBars(world), await expectedMonths(world, true)];
  const steps: unknown[] = [];
  const result = await archive(world.database, { onProgress: (step: unknown) => steps.push(step) });
  expect(result).toMatchObject({ applied: true, months, rows: 3 * ROWS, archivedByOthers: 0, failed: [] });
  expect(steps).toEqual([1, 2, 3].map((done) => ({ step: 'archive', done, total: 3 })));
  expect(await placesOf(world)).toEqual(AFTER);
  expect(await allBars(world)).toEqual(bars);
  expect(await auditOf(world)).toEqual(audited(months));

  const done = await snapshotOf(world);
  expect(await archive(world.database)).toMatchObject({ months: [], rows: 0, volume: 0, failed: [] });
  expect(await snapshotOf(world)).toEqual(done);
});

test('the views tell what is where', async () => {
  const { query, database } = await createWorld();
  await archive(database);
  expect(
    await query(`SELECT month, rows::int, symbols::int, first_date, last_date, bytes > 0 AS sized,
      volume = (SELECT sum(volume::numeric) FROM raw_ohlcv WHERE date < '2023-01-01') AS adds_up
      FROM v_raw_ohlcv_data_distribution ORDER BY month LIMIT 1`),
  ).toEqual([
    {
      month: '2022-10-01',
      rows: ROWS,
      symbols: 4,
      first_date: '2022-10-01',
      last_date: '2022-10-28',
      sized: true,
      adds_up: true,
    },
  ]);
  expect(
    await query(`SELECT rows::int, symbols::int, first_date, last_date, bytes > 0 AS sized,
      volume = (SELECT sum(volume) FROM data_retention_log) AS adds_up,
      last_archived_at = (SELECT max(archived_at) FROM ohlcv_months) AS is_last FROM v_archive_statistics`),
  ).toEqual([
    {
      rows: 3 * ROWS,
      symbols: 4,
      first_date: '2022-07-01',
      last_date: '2022-09-28',
      sized: true,
      adds_up: true,
      is_last: true,
    },
  ]);
  expect(
    await query(`SELECT cutoff, archived::int, failed::int, first_month, last_month, rows::int, run_by, error,
      started_at < finished_at AS took_time FROM v_retention_log_summary`),
  ).toEqual([
    {
      cutoff: '2022-10-01',
      archived: 3,
      failed: 0,
      first_month: '2022-07-01',
      last_month: '2022-09-01',
      rows: 3 * ROWS,
      run_by: USER,
      error: null,
      took_time: true,
    },
  ]);
});

test('two runs at once archive each month once', async () => {
  const world = await createWorld();
  const [bars, months] = [await allBars(world), await expectedMonths(world, true)];
  const results = await Promise.all([1, 2].map(() => archive(world.database)));
  expect(results.flatMap(({ failed }) => failed)).toEqual([]);
  const [one, other] = results.map((result) => result.months.filter(({ archived }) => archived));
  expect([...one!, ...other!].sort((a, b) => a.month.localeCompare(b.month))).toEqual(months);
  expect(results[0]!.months.length - one!.length).toBe(results[0]!.archivedByOthers);
  expect(await placesOf(world)).toEqual(AFTER);
  expect(await allBars(world)).toEqual(bars);
  expect(await auditOf(world)).toEqual(audited(months));
});

test.each([1, 2, 3])(
  'stopped after month %i it has archived so many, and the next run the others',
  async (stopAfter) => {
    const world = await createWorld();
    const [bars, months] = [await allBars(world), await expectedMonths(world, true)];
    const controller = new AbortController();
    const onProgress = ({ done }: { readonly done: number }) => {
      if (done === stopAfter) controller.abort(new Error('stopped'));
    };
    const stopped = archive(world.database, { signal: controller.signal, onProgress });
    if (stopAfter < 3) await expect(stopped).rejects.toThrow('stopped');
    else await stopped;
    expect(await auditOf(world)).toEqual(audited(months.slice(0, stopAfter)));
    expect(await allBars(world)).toEqual(bars);
    expect((await archive(world.database)).months).toEqual(months.slice(stopAfter));
    expect(await auditOf(world)).toEqual(audited(months));
    expect(await placesOf(world)).toEqual(AFTER);
  },
);

test('stopped in the middle of a month it leaves that month as it was', async () => {
  const world = await createWorld();
  const before = await snapshotOf(world);
  const controller = new AbortController();
  await whileOpen(world, async (client) => {
    await client.query(`SELECT route_ohlcv_months('{2022-07-01}', '2022-01-01')`);
    const stopped = archive(world.database, { signal: controller.signal });
    await expect.poll(world.waiting).toBe(1);
    controller.abort(new Error('stopped'));
    await expect(stopped).rejects.toThrow('stopped');
  });
  await expect.poll(() => world.connections()).toBe(0);
  expect(await snapshotOf(world)).toEqual(before);
});

test.each([
  ['the copy', 'BEFORE INSERT ON raw_ohlcv_archive FOR EACH STATEMENT'],
  ['the verification', 'AFTER INSERT ON raw_ohlcv_archive FOR EACH STATEMENT'],
  ['the mark', 'BEFORE UPDATE ON ohlcv_months FOR EACH STATEMENT'],
  ['the audit row', 'BEFORE INSERT ON data_retention_log FOR EACH ROW'],
  ['the drop', undefined],
])('a backend that dies before %s leaves all as it was', async (_, when) => {
  const world = await createWorld();
  const [before, bars] = [await snapshotOf(world), await allBars(world)];
  const returns = when ? 'trigger' : 'event_trigger';
  await world.query(`CREATE SCHEMA faults`);
  await world.query(`CREATE FUNCTION faults.die() RETURNS ${returns} LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(60); END $$`);
  await world.query(
    when
      ? `CREATE TRIGGER die ${when} EXECUTE FUNCTION faults.die()`
      : `CREATE EVENT TRIGGER die ON ddl_command_start WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION faults.die()`,
  );
  const { failed, rows } = await archive(world.database).catch((error) => ({ failed: [error], rows: 0 }));
  expect([rows, failed.every(({ code }) => code === 'Unavailable'), failed.length > 0]).toEqual([0, true, true]);
  const log = await world.query(`DELETE FROM data_retention_log RETURNING status`);
  expect(log.every(({ status }) => status === 'failed')).toBe(true);
  expect(await snapshotOf(world)).toEqual(before);

  await world.query(when ? 'DROP SCHEMA faults CASCADE' : 'DROP EVENT TRIGGER die');
  expect(await archive(world.database)).toMatchObject({ rows: 3 * ROWS, failed: [] });
  expect(await allBars(world)).toEqual(bars);
  expect(await placesOf(world)).toEqual(AFTER);
});

test('a connection that is lost at any message, or its backend at any statement, costs and doubles nothing', async () => {
  const probe = await createWorld();
  const counter = await startProxy(probe.url);
  await archive(openUntilFinished(counter.url));
  const [messages, statements] = [counter.messages().length, counter.statements().length];
  expect(statements).toBeGreaterThan(9);
  const faults = [
    ...Array.from({ length: statements }, (_, i) => ({ kind: 'kill', at: i + 1 }) as const),
    ...Array.from({ length: messages }, (_, i) => ({ kind: 'cut', at: i + 1, when: 'after' }) as const),
  ];
  const world = await createWorld();
  const [bars, months] = [await allBars(world), await expectedMonths(world, true)];
  const proxy = await startProxy(world.url);
  for (const fault of faults) {
    const count = proxy.arm(fault);
    const result = await archive(openUntilFinished(proxy.url));
    expect([fault, count.hits, result.months, result.failed]).toEqual([fault, 1, months, []]);
    expect(await allBars(world)).toEqual(bars);
    expect(await auditOf(world)).toEqual(audited(months));
    await putBack(world);
  }
});

test('a month that somebody writes is left, and the next run archives it', async () => {
  const world = await createWorld();
  const database = openUntilFinished(world.url, { lockTimeoutMs: LOCK_TIMEOUT_MS });
  await whileOpen(world, async (client) => {
    await client.query(`SELECT route_ohlcv_months('{2022-08-01}', '2022-01-01')`);
    const { failed, months, rows } = await archive(database);
    expect(failed).toEqual([{ month: '2022-08', code: 'Conflict', message: expect.stringMatching(/lock timeout/) }]);
    expect(months.map(({ archived }) => archived)).toEqual([true, false, true]);
    expect(rows).toBe(2 * ROWS);
    expect(await placesOf(world)).toEqual({ ...AFTER, '2022-08': RAW });
    expect(await auditOf(world)).toMatchObject([
      { month: '2022-07', status: 'archived' },
      { month: '2022-08', status: 'failed', rows: null, error: expect.stringMatching(/lock timeout/) },
      { month: '2022-09', status: 'archived' },
    ]);
  });
  expect(await archive(database)).toMatchObject({ rows: ROWS, failed: [] });
  expect(await placesOf(world)).toEqual(AFTER);
  expect(await world.query('SELECT archived::int, failed::int FROM v_retention_log_summary')).toEqual([
    { archived: 1, failed: 0 },
    { archived: 2, failed: 1 },
  ]);
});

test('where somebody reads for long nothing is archived, and he reads on', async () => {
  const world = await createWorld();
  const database = openUntilFinished(world.url, { lockTimeoutMs: LOCK_TIMEOUT_MS });
  const bars = await allBars(world);
  await whileOpen(world, async (client) => {
    const count = async () => (await client.query('SELECT FROM raw_ohlcv')).rowCount;
    expect(await count()).toBe(bars.length);
    const { failed, rows } = await archive(database);
    expect([failed.map(({ code }) => code), rows]).toEqual([Array(3).fill('Conflict'), 0]);
    expect(await count()).toBe(bars.length);
  });
  expect(await placesOf(world)).toEqual(BEFORE);
  expect(await archive(database)).toMatchObject({ rows: 3 * ROWS, failed: [] });
  expect(await allBars(world)).toEqual(bars);
});

test('late bars of an archived month go to the archive', async () => {
  const world = await createWorld();
  await archive(world.database);
  await writeBar(world, 'AAPL', '2022-07-15', 777);
  await writeBar(world, 'NEW', '2022-07-18', 778);
  await writeBar(world, 'NEW', '2022-10-18', 779);
  const late = await world.query(`SELECT symbol, date, open FROM raw_ohlcv_archive AS b JOIN ohlcv_months AS m
    ON m.month = date_trunc('month', date) WHERE b.archived_at > m.archived_at ORDER BY symbol`);
  expect(late).toEqual([
    { symbol: 'AAPL', date: '2022-07-15', open: 777 },
    { symbol: 'NEW', date: '2022-07-18', open: 778 },
  ]);
  expect(await placesOf(world)).toEqual({
    ...AFTER,
    '2022-07': '0 raw, 13 archived, dropped',
    '2022-10': '13 raw, 0 archived, kept',
  });
  // The same once more is no correction.
  const before = await snapshotOf(world);
  await writeBar(world, 'NEW', '2022-07-18', 778);
  expect(await snapshotOf(world)).toEqual(before);
});

test('what is wrong with every month is thrown', async () => {
  const world = await createWorld();
  await world.query('DROP FUNCTION archive_ohlcv_month');
  await expect(archive(world.database)).rejects.toMatchObject({ code: 'BadInput', message: /db migrate/ });
  await world.query('DROP VIEW v_raw_ohlcv_data_distribution');
  await expect(archiveBars(world.database)).rejects.toMatchObject({ code: 'BadInput', message: /db migrate/ });
});
