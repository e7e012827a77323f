import { expect, test } from 'vitest';
import { mirrorSilver } from '../../src/database/mirror-silver.ts';
import { checkpointKey, dataKey } from '../../src/lake/index.ts';
import { resample } from '../../src/resample/index.ts';
import { keysOf } from '../support/lake-reader.ts';
import { resampleShards } from '../support/shards.ts';
import { openTestDatabase } from './open-database.ts';
import {
  addEarlierBar,
  committedFiles,
  expectMirrored,
  growTo,
  INTERVALS,
  lakeWith,
  mirror,
  NOTHING,
  recordedFiles,
  SYMBOLS,
  tableGroups,
  totalOf,
  versionsOfAll,
} from './silver-world.ts';

test('what is divided anew takes the place of the old division when all of it is there, and never before', async () => {
  const store = await lakeWith(30);
  const world = await openTestDatabase();
  await resample(store, { intervals: INTERVALS });
  await expectMirrored(store, world);
  const before = await versionsOfAll(world);
  await growTo(store, 40);
  for (const [from, to] of [
    [1, 2],
    [2, 3],
    [3, 1],
  ] as const) {
    const old = await versionsOfAll(world);
    for (let index = 0; index < to; index++) {
      await resample(store, { intervals: INTERVALS, shard: { index, count: to }, forceFull: true });
      if (index === to - 1) break;
      // The files of the old division are gone by now.
      const waiting = totalOf(await mirror(store, world.database));
      expect(waiting).toEqual({ ...NOTHING, filesUnchanged: 0, filesPending: old[0]!.length });
      expect(await versionsOfAll(world)).toEqual(old);
    }
    const made = await expectMirrored(store, world);
    expect(made.rowsDeleted).toBe(0);
    // The rows are the same, whichever files they are in.
    if (from > 1) expect(made.rowsWritten).toBe(0);
  }
  expect(await versionsOfAll(world)).not.toEqual(before);
});

test('a month of a new division with a file that is damaged stays as it was, whole', async () => {
  const store = await lakeWith(30);
  const world = await openTestDatabase();
  await resample(store, { intervals: [2] });
  await expectMirrored(store, world, [2]);
  const before = await tableGroups(world, [2]);
  for (const symbol of SYMBOLS) await addEarlierBar(store, symbol);
  await resampleShards(store, 2, { intervals: [2], forceFull: true });
  const [key] = await keysOf(store, 'silver/silver_2d/');
  const sound = (await store.get(key!)).body;
  await store.put(key!, sound.subarray(0, -9));
  const result = await mirrorSilver(store, world.database, { intervals: [2] });
  const files = await committedFiles(store, [2]);
  expect(totalOf(result)).toMatchObject({
    filesWritten: files.length - 2,
    // The other shard's file of the month.
    filesPending: 1,
  });
  const [month] = Object.keys(before).sort();
  expect((await tableGroups(world, [2]))[month!]).toEqual(before[month!]);
  await store.put(key!, sound);
  await expectMirrored(store, world, [2]);
});

test('of a shard that changes no other rows are touched, and one without a month any more leaves none', async () => {
  const store = await lakeWith(40);
  const world = await openTestDatabase();
  await resampleShards(store, 3, { intervals: INTERVALS });
  await expectMirrored(store, world);
  for (const symbol of SYMBOLS) {
    await store.delete(dataKey(symbol));
    await resampleShards(store, 3, { intervals: INTERVALS });
    const before = (await versionsOfAll(world)).flat().filter((row) => /\([A-Za-z]/.test(row));
    const made = await expectMirrored(store, world);
    const after = (await versionsOfAll(world)).flat().filter((row) => /\([A-Za-z]/.test(row));
    expect(after).toEqual(before.filter((row) => !row.includes(`(${symbol},`)));
    expect(made.rowsDeleted).toBe(before.length - after.length);
  }
  expect(await recordedFiles(world)).toEqual([]);
});

test('while one has not run yet, the others are mirrored', async () => {
  const store = await lakeWith(40);
  const world = await openTestDatabase();
  for (const index of [2, 0]) {
    await resample(store, { intervals: INTERVALS, shard: { index, count: 3 } });
    await expectMirrored(store, world);
  }
  await store.delete(checkpointKey(2, { index: 0, count: 3 }));
  const before = await versionsOfAll(world);
  expect(totalOf(await mirror(store, world.database))).toMatchObject(NOTHING);
  expect(await versionsOfAll(world)).toEqual(before);
});

test('divided anew and back again while nobody mirrored, it is what silver has, though epochs began anew', async () => {
  const store = await lakeWith(20);
  const world = await openTestDatabase();
  for (let run = 0; run < 3; run++) await resample(store, { intervals: INTERVALS, forceFull: true });
  await expectMirrored(store, world);
  await growTo(store, 40);
  await resampleShards(store, 2, { intervals: INTERVALS, forceFull: true });
  const { intervals } = await resample(store, { intervals: INTERVALS, forceFull: true });
  expect(intervals[0]?.epoch).toBe(1);
  expect((await expectMirrored(store, world)).rowsWritten).toBeGreaterThan(0);
});
