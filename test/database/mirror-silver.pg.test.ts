import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sliceBars } from '../../src/bars.ts';
import { mirrorSilver } from '../../src/database/mirror-silver.ts';
import { BatchLayerError } from '../../src/errors.ts';
import { ingestCsv } from '../../src/ingest/index.ts';
import { checkpointKey, consolidate, memoryStore, type ObjectStore, openStore } from '../../src/lake/index.ts';
import { INTERVALS as ALL_INTERVALS, resample } from '../../src/resample/index.ts';
import { syntheticMarket, toCsv } from '../../src/runtime/synthetic-market.ts';
import { queryDuckDB } from '../support/duckdb.ts';
import { dyingStore } from '../support/dying-store.ts';
import { arbitraryEvents, EVENT_INTERVALS, eventfulLake } from '../support/lake-events.ts';
import { keysOf } from '../support/lake-reader.ts';
import { withClient } from '../support/postgres/client.ts';
import { createTestDatabase } from '../support/postgres/database.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { openTestDatabase, openUntilFinished } from './open-database.ts';
import {
  addEarlierBar,
  committedFiles,
  copyLakeId,
  expectMirrored,
  expectSame,
  growTo,
  HISTORIES,
  INTERVALS,
  importBars,
  lakeGroups,
  lakeWith,
  mirror,
  NOTHING,
  tableGroups,
  totalOf,
  versionsOfAll,
} from './silver-world.ts';

test('all six tables have the rows of the month files, as DuckDB reads them; run again, nothing is touched', async () => {
  const folder = await temporaryFolder();
  const csv = join(folder, 'bars.csv');
  // More months than one transaction takes.
  const market = { symbols: 20, bars: 12_000, longest: 2_000, lastDate: '2026-03-13' };
  await writeFile(csv, [...toCsv(syntheticMarket(market))].join(''));
  const store = openStore(`file:${folder}/lake`);
  await ingestCsv(store, [csv], { consolidated: true });
  await consolidate(store);
  const { intervals } = await resample(store);
  const world = await openTestDatabase();
  const steps: unknown[] = [];
  const result = await mirrorSilver(store, world.database, { onProgress: (step) => steps.push(step) });
  expect(result.failure).toBeUndefined();
  for (const [i, { interval, groups, filesWritten }] of intervals.entries()) {
    expect(result.intervals[i]).toEqual({ interval, ...NOTHING, filesWritten, filesUnchanged: 0, rowsWritten: groups });
    const values = 'open, high, low, close, volume, vwap, bars, complete';
    const duckdb = await queryDuckDB(
      `SELECT symbol, date::VARCHAR AS date, end_date::VARCHAR AS end_date, ${values}
        FROM read_parquet('${folder}/lake/silver/silver_${interval}d/*/*/*.parquet') ORDER BY symbol, date`,
    );
    const found = await world.query(
      `SELECT symbol, date, end_date, ${values} FROM silver_${interval}d ORDER BY symbol, date`,
    );
    expect(found).toEqual(duckdb);
  }
  const files = totalOf(result).filesWritten;
  expect(steps.length).toBeGreaterThan(ALL_INTERVALS.length);
  expect(steps.at(-1)).toEqual({ step: 'mirror', done: files, total: files });
  const before = await versionsOfAll(world, ALL_INTERVALS);
  expect(totalOf(await mirrorSilver(store, world.database))).toEqual({ ...NOTHING, filesUnchanged: files });
  expect(await versionsOfAll(world, ALL_INTERVALS)).toEqual(before);
});

test('after any history of a lake, whatever the tables had before, they have what silver has', async () => {
  // Of one lake after the other: epochs begin anew, and the tables have what the one before had.
  const world = await openTestDatabase();
  const property = fc.asyncProperty(arbitraryEvents, async (events) => {
    await world.query('TRUNCATE lake');
    const { store, play } = eventfulLake(memoryStore());
    for (const event of events) {
      await play(event);
      if (event.kind !== 'resample') continue;
      // Of a lake that is damaged, or where a run has died, it mirrors what it can.
      const { failure } = await mirrorSilver(store, world.database, { intervals: EVENT_INTERVALS });
      expect(failure).toBeUndefined();
    }
    await resample(store, { intervals: EVENT_INTERVALS });
    await expectMirrored(store, world, EVENT_INTERVALS);
  });
  await fc.assert(property, { numRuns: 25, seed: 3 });
});

test('another lake is told, and nothing of either is touched; a copy of the lake is the same one', async () => {
  const [store, other] = [await lakeWith(20), await lakeWith(30)];
  for (const lake of [store, other]) await resample(lake, { intervals: [2] });
  const world = await openTestDatabase();
  await expectMirrored(store, world, [2]);
  const before = await versionsOfAll(world, [2]);
  const { failure, failed, intervals } = await mirrorSilver(other, world.database, { intervals: [2] });
  expect(failure).toMatch(
    /: is the database of another lake \([-0-9a-f]{36}\), not of this one \([-0-9a-f]{36}\): check/,
  );
  expect([failed, intervals]).toEqual([[], [{ interval: 2, ...NOTHING, filesUnchanged: 0 }]]);
  expect(await versionsOfAll(world, [2])).toEqual(before);
  await expectMirrored(store, world, [2]);
  await copyLakeId(store, other);
  expect((await expectMirrored(other, world, [2])).filesWritten).toBeGreaterThan(0);
});

test('a correction, a late bar and a removal touch no other rows than theirs', async () => {
  const store = await lakeWith(40);
  const world = await openTestDatabase();
  await resample(store, { intervals: INTERVALS });
  await expectMirrored(store, world);
  const before = (await versionsOfAll(world)).flat();
  const corrected = { ...sliceBars(HISTORIES[1]!, 9, 10), volume: Float64Array.of(1) };
  await importBars(store, 'AA', corrected);
  await addEarlierBar(store, 'a');
  for (const key of await keysOf(store, 'bronze/raw_ohlcv/symbol=BRK/')) await store.delete(key);
  await resample(store, { intervals: INTERVALS });
  const made = await expectMirrored(store, world);
  expect(made.rowsDeleted).toBeGreaterThan(0);
  const kept = (await versionsOfAll(world)).flat().filter((row) => before.includes(row));
  const same = before.filter((row) => /\([A-Za-z]/.test(row) && !/\((?:AA|a|BRK),/.test(row));
  expect(same.length).toBeGreaterThan(60);
  expect(kept).toEqual(expect.arrayContaining(same));
  // Of AA one group of each interval.
  expect(before.filter((row) => row.includes('(AA,') && !kept.includes(row))).toHaveLength(INTERVALS.length);
});

test('months that are new, changed and no more, all at once: each row is counted as what became of it', async () => {
  const [store, other] = [await lakeWith(40), await lakeWith(25)];
  await addEarlierBar(other, 'a', 40);
  for (const lake of [store, other]) await resample(lake, { intervals: [2] });
  const world = await openTestDatabase();
  await expectMirrored(store, world, [2]);
  await copyLakeId(store, other);
  const [before, after] = [await lakeGroups(store, [2]), await lakeGroups(other, [2])];
  const expected = { ...NOTHING, filesUnchanged: 0 };
  for (const month of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [were, are] = [before[month] ?? [], after[month] ?? []];
    if (String(were) === String(are)) {
      expected.filesUnchanged++;
      continue;
    }
    const keyOf = (row: string) => row.split(',', 2).join();
    const keys = are.map(keyOf);
    expected[are.length > 0 ? 'filesWritten' : 'filesDeleted']++;
    expected.rowsWritten += are.filter((row) => !were.includes(row)).length;
    expected.rowsUnchanged += are.filter((row) => were.includes(row)).length;
    expected.rowsDeleted += were.filter((row) => !keys.includes(keyOf(row))).length;
  }
  for (const count of ['filesWritten', 'filesDeleted', 'rowsWritten', 'rowsUnchanged', 'rowsDeleted'] as const) {
    expect(expected[count]).toBeGreaterThan(0);
  }
  expect(totalOf(await mirrorSilver(other, world.database, { intervals: [2] }))).toEqual(expected);
  await expectSame(other, world, [2]);
});

test('months that a look-back has left behind are those of the files', async () => {
  const store = await lakeWith(20);
  const world = await openTestDatabase();
  await resample(store, { intervals: INTERVALS });
  await expectMirrored(store, world);
  await growTo(store, 40);
  await addEarlierBar(store, 'A');
  const { intervals } = await resample(store, { intervals: INTERVALS, lookbackMonths: 1 });
  expect(intervals.some(({ filesDeferred }) => filesDeferred > 0)).toBe(true);
  expect((await expectMirrored(store, world)).filesWritten).toBeGreaterThan(0);
  await resample(store, { intervals: INTERVALS });
  expect((await expectMirrored(store, world)).filesWritten).toBeGreaterThan(0);
});

test('an interval without checkpoint is left alone', async () => {
  const store = await lakeWith(20);
  const world = await openTestDatabase();
  await resample(store, { intervals: [2] });
  await mirrorSilver(store, world.database, { intervals: [2, 7] });
  await expectSame(store, world, [2]);
  expect(await world.query(`SELECT to_regclass('silver_7d') AS "table"`)).toEqual([{ table: null }]);
  const before = await versionsOfAll(world, [2]);
  await store.delete(checkpointKey(2));
  expect(totalOf(await mirrorSilver(store, world.database, { intervals: [2] }))).toEqual({
    ...NOTHING,
    filesUnchanged: 0,
  });
  expect(await versionsOfAll(world, [2])).toEqual(before);
  // The first run that makes it anew has claimed it, and died.
  const { store: dying } = dyingStore(store, { at: 2, death: 'before' });
  await expect(resample(dying, { intervals: [2] })).rejects.toThrow('died');
  expect(totalOf(await mirrorSilver(store, world.database, { intervals: [2] }))).toEqual({
    ...NOTHING,
    filesUnchanged: 0,
  });
  expect(await versionsOfAll(world, [2])).toEqual(before);
});

test('months that a run has written and not committed are told as pending, and stay as they were', async () => {
  const store = await lakeWith(40);
  const world = await openTestDatabase();
  await resample(store, { intervals: [2] });
  await expectMirrored(store, world, [2]);
  const before = await lakeGroups(store, [2]);
  await addEarlierBar(store, 'A');
  // Its claim is the first write, a month file the next one.
  const { store: dying } = dyingStore(store, { at: 2, death: 'after' });
  await expect(resample(dying, { intervals: [2], threads: 1 })).rejects.toThrow('died');
  // As on a day on which the database was not there before.
  await world.query('TRUNCATE silver_2d, silver_files');
  const result = totalOf(await mirrorSilver(store, world.database, { intervals: [2] }));
  expect(result.filesPending).toBe(1);
  expect(result.filesWritten).toBeGreaterThan(0);
  for (const [month, rows] of Object.entries(await tableGroups(world, [2]))) expect(rows).toEqual(before[month]);
  await resample(store, { intervals: [2] });
  await expectMirrored(store, world, [2]);
});

test.each<readonly [string, (store: ObjectStore, key: string, others: readonly string[]) => Promise<unknown>, RegExp]>([
  ['is cut short', async (store, key) => store.put(key, (await store.get(key)).body.subarray(0, -9)), /data_2d/],
  ['is gone', (store, key) => store.delete(key), /is gone; run resample again/],
  ['is another', async (store, key, [other]) => store.put(key, (await store.get(other!)).body), /as was committed/],
])('a month file that %s is told, and the others are mirrored', async (_, damage, message) => {
  const store = await lakeWith(30);
  const world = await openTestDatabase();
  await resample(store, { intervals: INTERVALS });
  await expectMirrored(store, world);
  await addEarlierBar(store, 'A');
  await resample(store, { intervals: INTERVALS });
  const [key, ...others] = await keysOf(store, 'silver/silver_2d/');
  const sound = (await store.get(key!)).body;
  await damage(store, key!, others);
  const result = await mirror(store, world.database);
  expect(result.failed).toEqual([{ key, message: expect.stringMatching(message) }]);
  expect(result.failure).toBeUndefined();
  expect(totalOf(result)).toMatchObject({ filesWritten: (await committedFiles(store)).length - 1, filesPending: 0 });
  await store.put(key!, sound);
  expect((await expectMirrored(store, world)).filesWritten).toBe(1);
});

test('a checkpoint that is damaged is told, and the other intervals are mirrored', async () => {
  const store = await lakeWith(30);
  const world = await openTestDatabase();
  await resample(store, { intervals: INTERVALS });
  await store.put(checkpointKey(5), new TextEncoder().encode('{}'));
  const result = await mirror(store, world.database);
  expect(result.failed).toEqual([
    { key: 'silver/silver_5d/', message: expect.stringMatching(/5d_checkpoint.*force-full/) },
  ]);
  await expectSame(store, world, [2]);
  await resample(store, { intervals: INTERVALS, forceFull: true });
  await expectMirrored(store, world);
});

test('a lake that does not answer, tables that are missing and a month that another run holds are told', async () => {
  const store = await lakeWith(20);
  await resample(store, { intervals: [2] });
  const world = await openTestDatabase({ lockTimeoutMs: 20 });
  const silent: ObjectStore = {
    ...store,
    get: (key, call) =>
      key.startsWith('silver/')
        ? Promise.reject(new BatchLayerError('Unavailable', 'no answer'))
        : store.get(key, call),
  };
  expect((await mirrorSilver(silent, world.database, { intervals: [2] })).failure).toBe('no answer');
  const empty = await createTestDatabase();
  const { failure } = await mirrorSilver(store, openUntilFinished(empty.url), { intervals: [2] });
  expect(failure).toMatch(/run batch-layer db migrate/);
  await withClient(world.url, async (client) => {
    await client.query(
      'BEGIN; SELECT create_silver_table(2); COMMIT; BEGIN; LOCK TABLE silver_files IN EXCLUSIVE MODE',
    );
    const held = await mirrorSilver(store, world.database, { intervals: [2] });
    expect(held.failure).toMatch(/another transaction holds what it needs/);
  });
  await expect(mirrorSilver(store, world.database, { intervals: [0] })).rejects.toMatchObject({ code: 'BadInput' });
  await expectMirrored(store, world, [2]);
});
