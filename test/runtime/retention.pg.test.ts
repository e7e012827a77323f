import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { createWorld, NOW, placesOf, snapshotOf, spoilCopy } from '../database/archive-world.ts';
import { runCommand } from '../support/run-command.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: NOW });
  onTestFinished(() => {
    vi.useRealTimers();
  });
});

test('without --apply it tells the months and changes nothing', async () => {
  const world = await createWorld();
  const before = await snapshotOf(world);
  const { code, stdout } = await runCommand(['retention', '--db', world.url]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^3 months before 2022-10-01 to be archived: 36 bars, volume [\d,.]+\n {2}2022-07: 12 bars\n/);
  expect(stdout).toMatch(/\nnothing was archived: run it again with --apply\n$/);
  expect(await snapshotOf(world)).toEqual(before);
});

test('with --apply it archives them, and then has nothing to do', async () => {
  const world = await createWorld();
  const first = await runCommand(['retention', '--apply', '--json'], { env: { DATABASE_URL: world.url } });
  expect([first.code, first.json()]).toMatchObject([
    0,
    { command: 'retention', applied: true, cutoff: '2022-10-01', rows: 36, archivedByOthers: 0, failed: [] },
  ]);
  expect(first.json().months.map(({ month }: { readonly month: string }) => month)).toEqual([
    '2022-07',
    '2022-08',
    '2022-09',
  ]);
  expect(await placesOf(world)).toMatchObject({ '2022-09': '0 raw, 12 archived, dropped' });
  const again = await runCommand(['retention', '--apply', '--db', world.url]);
  expect([again.code, again.stdout]).toEqual([0, 'no month before 2022-10-01 is in raw_ohlcv: nothing to archive\n']);
});

test('months that fail are told: it ends with 3, or with 1 where none was archived', async () => {
  const world = await createWorld();
  await spoilCopy(world, 'RETURN NULL');
  const some = await runCommand(['retention', '--apply', '--db', world.url]);
  expect(some.code).toBe(3);
  expect(some.stdout).toMatch(/^2 months before 2022-10-01 archived: 24 bars/);
  expect(some.stdout).toMatch(/\n1 month failed, to be archived by the next run:\n {2}2022-08 CorruptObject: .*\n$/);
  const none = await runCommand(['retention', '--apply', '--db', world.url, '--json']);
  expect([none.code, none.json()]).toMatchObject([
    1,
    { rows: 0, failed: [{ month: '2022-08', code: 'CorruptObject' }] },
  ]);
});

test('without a database it says where one is named', async () => {
  const env = { DATABASE_URL: undefined, RDS_SECRET_ARN: undefined };
  const { code, stderr } = await runCommand(['retention'], { env });
  expect([code, stderr]).toEqual([2, expect.stringMatching(/no database: give --db .* or set DATABASE_URL/)]);
});
