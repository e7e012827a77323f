import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test, vi } from 'vitest';
import { sliceBars } from '../../src/bars.ts';
import { mirrorSilver } from '../../src/database/mirror-silver.ts';
import type { Division } from '../../src/database/silver-state.ts';
import { BatchLayerError } from '../../src/errors.ts';
import { checkpointKey, dataKey, type ObjectStore } from '../../src/lake/index.ts';
import { resample } from '../../src/resample/index.ts';
import { createTestDatabase } from '../support/postgres/database.ts';
import { startProxy } from '../support/postgres/proxy.ts';
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
  recordedFiles,
  SYMBOLS,
  tableGroups,
  totalOf,
} from './silver-world.ts';

// Two months a transaction: there are some to meet. Where two runs meet, those of one are not always those of the other.
const batches = vi.hoisted(() => ({ areOthers: false, calls: 0 }));
vi.mock(import('../../src/database/plan-mirror.ts'), async (original) => {
  const batchMonths = (_: Division, months: Iterable<number>) => {
    const most = batches.areOthers ? 1 + (batches.calls++ % 2) : 2;
    const latestFirst = [...months].sort((a, b) => b - a);
    return latestFirst.flatMap((_month, i) => (i % most === 0 ? [latestFirst.slice(i, i + most).reverse()] : []));
  };
  return { ...(await original()), batchMonths };
});

function batchOtherwise(): void {
  batches.areOthers = true;
  onTestFinished(() => {
    batches.areOthers = false;
  });
}

test('stopped at any step it throws the reason, has whole months, and the next run does the rest', async () => {
  const intervals = [...INTERVALS, 3];
  const [store, changed] = [await lakeWith(40), await lakeWith(40)];
  for (const symbol of SYMBOLS) await addEarlierBar(changed, symbol);
  for (const lake of [store, changed]) await resample(lake, { intervals });
  const groups = [await lakeGroups(store, intervals), await lakeGroups(changed, intervals)];
  const world = await openTestDatabase();
  const steps: number[] = [];
  const { filesWritten } = totalOf(
    await mirror(store, world.database, { intervals, onProgress: ({ done }) => steps.push(done) }),
  );
  await copyLakeId(store, changed);
  expect(Object.keys(groups[1]!)).toHaveLength(filesWritten);
  expect(steps.at(-1)).toBe(filesWritten);
  expect(steps.length).toBeGreaterThan(5);
  // Later all that is left has been begun.
  for (const [i, at] of [0, ...steps.slice(0, 3)].entries()) {
    const controller = new AbortController();
    const reason = new BatchLayerError('Unavailable', `stopped at ${at}`);
    const stop = (done: number) => done >= at && controller.abort(reason);
    stop(0);
    const lake = [changed, store][i % 2]!;
    const run = mirror(lake, world.database, {
      intervals,
      signal: controller.signal,
      onProgress: ({ done }) => stop(done),
    });
    await expect(run).rejects.toBe(reason);
    const found = await tableGroups(world, intervals);
    for (const month of Object.keys(found)) expect(groups.map((all) => all[month])).toContainEqual(found[month]);
    await expectMirrored(lake, world, intervals);
  }
});

test('whichever statement the server dies at, and wherever in the rows, all is mirrored', async () => {
  const [store, changed] = [await lakeWith(20), await lakeWith(20)];
  await addEarlierBar(changed, 'A');
  const { url, query } = await createTestDatabase({ migrate: true });
  const proxy = await startProxy(url);
  const database = openUntilFinished(proxy.url);
  for (const lake of [store, changed]) await resample(lake, { intervals: [2] });
  await mirrorSilver(store, database, { intervals: [2] });
  await copyLakeId(store, changed);
  await mirrorSilver(changed, database, { intervals: [2] });
  await query('TRUNCATE lake');
  proxy.arm({ kind: 'kill', at: 1_000_000 });
  await mirrorSilver(store, database, { intervals: [2] });
  const statements = proxy.statements().length;
  expect(statements).toBeGreaterThan(19);
  const lakes = [changed, store];
  for (let k = 1; k <= statements; k++) {
    const lake = lakes[(k - 1) % 2]!;
    // It is that of no lake, so that it is written too whose it is.
    await query('TRUNCATE lake');
    const kill = proxy.killAt(k);
    const result = await mirrorSilver(lake, database, { intervals: [2] });
    expect(result.failure).toBeUndefined();
    expect(kill.hits).toBe(1);
    await expectSame(lake, { query }, [2]);
  }
  for (const [n, afterCopyBytes] of [0, 30, 500, 2_000].entries()) {
    const lake = lakes[(statements + n) % 2]!;
    const cut = proxy.arm({ kind: 'cut', afterCopyBytes });
    expect((await mirrorSilver(lake, database, { intervals: [2] })).failure).toBeUndefined();
    expect(cut.hits).toBe(1);
    await expectSame(lake, { query }, [2]);
  }
});

test('a database that goes away stops it: what is done is told, and the next run does the rest', async () => {
  const store = await lakeWith(40);
  await resample(store, { intervals: INTERVALS });
  const { url, query, connections } = await createTestDatabase({ migrate: true });
  const proxy = await startProxy(url);
  const result = await mirror(store, openUntilFinished(proxy.url), { onProgress: proxy.close });
  expect(result.failure).toMatch(/127\.0\.0\.1:\d+\/test_.*run it again/);
  // A COMMIT may be on its way to the server yet.
  await expect.poll(connections).toBe(0);
  const recorded = await recordedFiles({ query });
  expect(recorded.length).toBeLessThan((await committedFiles(store)).length);
  // More, where the answer to a commit was lost with the connection.
  const { filesWritten } = totalOf(result);
  expect(filesWritten).toBeGreaterThan(0);
  expect(recorded.length).toBeGreaterThanOrEqual(filesWritten);
  const rest = await mirror(store, openUntilFinished(url));
  expect(totalOf(rest).filesUnchanged).toBe(recorded.length);
  await expectSame(store, { query });
});

test('two runs at once bring each month once', async () => {
  batchOtherwise();
  const store = await lakeWith(40);
  await resample(store, { intervals: INTERVALS });
  const world = await openTestDatabase();
  const others = [world.database, openUntilFinished(world.url), openUntilFinished(world.url)];
  for (let round = 0; round < 4; round++) {
    const results = await Promise.all(others.map((database) => mirror(store, database)));
    const files = await committedFiles(store);
    for (const result of results) expect(result).toMatchObject({ failed: [] });
    expect(results.map(({ failure }) => failure)).toEqual([undefined, undefined, undefined]);
    if (round === 0) {
      expect(results.reduce((sum, result) => sum + totalOf(result).filesWritten, 0)).toBe(files.length);
    }
    for (const result of results) {
      const { filesWritten, filesUnchanged } = totalOf(result);
      expect(filesWritten + filesUnchanged).toBe(files.length);
    }
    await expectSame(store, world);
    await addEarlierBar(store, SYMBOLS[round]!);
    await resample(store, { intervals: INTERVALS });
  }
});

test('of two lakes that come first at the same time one has the database, and nothing of the other is there', async () => {
  for (let round = 0; round < 4; round++) {
    const lakes = [await lakeWith(20), await lakeWith(30)];
    for (const lake of lakes) await resample(lake, { intervals: [2] });
    const world = await openTestDatabase();
    const databases = [world.database, openUntilFinished(world.url)];
    const runs = lakes.flatMap((lake) => databases.map((database) => ({ lake, database })));
    const results = await Promise.all(
      runs.map(async ({ lake, database }) => {
        const { failure } = await mirrorSilver(lake, database, { intervals: [2] });
        return { lake, failure };
      }),
    );
    const done = results.filter(({ failure }) => failure === undefined);
    const told = results.filter(({ failure }) => failure !== undefined);
    expect([done.length, told.length]).toEqual([2, 2]);
    expect(new Set(done.map(({ lake }) => lake)).size).toBe(1);
    for (const { failure } of told) expect(failure).toMatch(/is the database of another lake/);
    await expectSame(done[0]!.lake, world, [2]);
  }
});

/** A store whose nth answer, counted from 1, is held back until it is released. */
function heldStore(store: ObjectStore, at: number) {
  const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let answers = 0;
  const hold = async <T>(answer: T): Promise<T> => {
    if (++answers === at) {
      reached.resolve();
      await released.promise;
    }
    return answer;
  };
  const held: ObjectStore = {
    ...store,
    get: async (key, call) => hold(await store.get(key, call)),
    async *list(prefix, call) {
      yield* await hold(await Array.fromAsync(store.list(prefix, call)));
    },
  };
  return { store: held, reached: reached.promise, release: () => released.resolve(), answers: () => answers };
}

test('a run that is held up with whichever answer of the lake puts nothing old in the place of something new', async () => {
  batchOtherwise();
  const world = await openTestDatabase();
  const newer = openUntilFinished(world.url);
  let first: ObjectStore | undefined;
  for (let at = 1; ; at++) {
    const store = await lakeWith(20);
    if (first) await copyLakeId(first, store);
    first ??= store;
    await resample(store, { intervals: [2] });
    await expectMirrored(store, world, [2]);
    await growTo(store, 30);
    for (const symbol of SYMBOLS) await addEarlierBar(store, symbol);
    await resample(store, { intervals: [2] });
    const held = heldStore(store, at);
    const late = mirrorSilver(held.store, world.database, { intervals: [2] });
    const isHeld = await Promise.race([held.reached.then(() => true), late.then(() => false)]);
    if (!isHeld) {
      expect(at).toBeGreaterThan(8);
      break;
    }
    // All groups are others then, some months are new, and some are gone.
    for (const symbol of SYMBOLS) await store.delete(dataKey(symbol));
    for (const [i, symbol] of SYMBOLS.entries()) await importBars(store, symbol, sliceBars(HISTORIES[i]!, 17, 40));
    await resample(store, { intervals: [2] });
    let isDone = false;
    const newest = mirrorSilver(store, newer, { intervals: [2] }).finally(() => {
      isDone = true;
    });
    // It may have to wait for the month that the other one has.
    while (!isDone && (await world.waiting()) === 0) await sleep(2);
    held.release();
    for (const { failure, failed } of [await late, await newest]) expect([failure, failed]).toEqual([undefined, []]);
    await expectSame(store, world, [2]);
  }
});

test('whoever reads while months are replaced sees each whole, old or new', async () => {
  const store = await lakeWith(40);
  const world = await openTestDatabase();
  await resample(store, { intervals: INTERVALS });
  await expectMirrored(store, world);
  const before = await lakeGroups(store);
  for (const symbol of SYMBOLS) await addEarlierBar(store, symbol);
  await resample(store, { intervals: INTERVALS });
  const after = await lakeGroups(store);
  let isDone = false;
  const mirrored = mirror(store, world.database).finally(() => {
    isDone = true;
  });
  for (let reads = 0; !isDone || reads === 0; reads++) {
    const found = await tableGroups(world);
    for (const month of Object.keys(after))
      expect([before[month] ?? [], after[month]]).toContainEqual(found[month] ?? []);
  }
  await mirrored;
  await expectSame(store, world);
});

test('a checkpoint that is damaged between plan and transactions is told once, and nothing is touched', async () => {
  const world = await openTestDatabase();
  const store = await lakeWith(40);
  await resample(store, { intervals: [2] });
  await expectMirrored(store, world, [2]);
  const before = await tableGroups(world, [2]);
  for (const symbol of SYMBOLS) await addEarlierBar(store, symbol);
  await resample(store, { intervals: [2] });
  const [key, sound] = [checkpointKey(2), (await store.get(checkpointKey(2))).body];
  let lists = 0;
  const damaging: ObjectStore = {
    ...store,
    async *list(prefix, call) {
      if (key.startsWith(prefix) && ++lists === 2) await store.put(key, new TextEncoder().encode('{}'));
      yield* store.list(prefix, call);
    },
  };
  const { failed, failure } = await mirrorSilver(damaging, world.database, { intervals: [2] });
  expect(lists).toBeGreaterThan(2);
  expect([failed, failure]).toEqual([
    [{ key: 'silver/silver_2d/', message: expect.stringMatching(/2d_checkpoint/) }],
    undefined,
  ]);
  expect(await tableGroups(world, [2])).toEqual(before);
  await store.put(key, sound);
  await expectMirrored(store, world, [2]);
});
