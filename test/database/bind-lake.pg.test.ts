import { describe, expect, test } from 'vitest';
import { bindLake, LAKE_ID_KEY } from '../../src/database/bind-lake.ts';
import type { Database } from '../../src/database/connection.ts';
import { databaseWatermarks } from '../../src/database/database-watermarks.ts';
import { mirrorSilver } from '../../src/database/mirror-silver.ts';
import { reconcile } from '../../src/database/reconcile.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { resample } from '../../src/resample/index.ts';
import { sessionFrom } from '../../src/session.ts';
import { copyStore } from '../support/lake-bars.ts';
import { keysOf } from '../support/lake-reader.ts';
import { barsAt, createLakeWorld, putData } from './lake-world.ts';
import { type OpenTestDatabase, openTestDatabase, versionsOf } from './open-database.ts';

const NOW = Date.parse('2025-11-19T22:00:00Z');
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The id as it is in a lake. */
async function idOf(store: ObjectStore): Promise<string> {
  const text = Buffer.from((await store.get(LAKE_ID_KEY)).body).toString();
  const { id, ...rest } = JSON.parse(text);
  expect([id, rest, text]).toEqual([expect.stringMatching(UUID), {}, `{"id":"${id}"}\n`]);
  return id;
}

const boundOf = ({ query }: OpenTestDatabase) => query<{ id: string }>('SELECT id FROM lake');

describe('a lake and a database', () => {
  test('are bound by the first use, and once', async () => {
    const world = await createLakeWorld();
    await bindLake(world.store, world.database);
    const id = await idOf(world.store);
    expect([await boundOf(world), await keysOf(world.store)]).toEqual([[{ id }], [LAKE_ID_KEY]]);
    const { etag } = await world.store.get(LAKE_ID_KEY);
    const before = await versionsOf(world, 'lake');
    await bindLake(world.store, world.database);
    expect((await world.store.get(LAKE_ID_KEY)).etag).toBe(etag);
    expect(await versionsOf(world, 'lake')).toEqual(before);
  });

  test('a copy of the lake is the same lake', async () => {
    const world = await createLakeWorld();
    await bindLake(world.store, world.database);
    const copy = await copyStore(world.store, memoryStore());
    await bindLake(copy, world.database);
    expect(await idOf(copy)).toBe(await idOf(world.store));
  });

  test('a lake may have two databases', async () => {
    const world = await createLakeWorld();
    const other = await openTestDatabase();
    for (const { database } of [world, other]) await bindLake(world.store, database);
    const id = await idOf(world.store);
    expect([await boundOf(world), await boundOf(other)]).toEqual([[{ id }], [{ id }]]);
    expect(await keysOf(world.store)).toEqual([LAKE_ID_KEY]);
  });

  test('that are used for the first time by many at once get one id', async () => {
    for (let i = 0; i < 10; i++) {
      const store = memoryStore();
      const world = await openTestDatabase();
      await Promise.all(Array.from({ length: 4 }, () => bindLake(store, world.database)));
      expect(await boundOf(world)).toEqual([{ id: await idOf(store) }]);
    }
  });

  test('the database of two lakes at once is that of one, and the other is refused', async () => {
    const world = await openTestDatabase();
    for (let i = 0; i < 10; i++) {
      await world.query('DELETE FROM lake');
      const stores = [memoryStore(), memoryStore()];
      const ended = await Promise.allSettled(stores.map((store) => bindLake(store, world.database)));
      const ids = await Promise.all(stores.map(idOf));
      const [bound] = await boundOf(world);
      expect(ids.map((id) => id === bound!.id)).toEqual(ended.map(({ status }) => status === 'fulfilled'));
      expect(ended.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      expect(ended.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'BadInput' } });
    }
  });

  test('an id that was written before its run died is the one that the next run takes', async () => {
    const world = await createLakeWorld();
    const dead: Database = { ...world.database, transaction: () => Promise.reject(new Error('died')) };
    await expect(bindLake(world.store, dead)).rejects.toThrow('died');
    const id = await idOf(world.store);
    expect(await boundOf(world)).toEqual([]);
    await bindLake(world.store, world.database);
    expect([await idOf(world.store), await boundOf(world)]).toEqual([id, [{ id }]]);
  });

  test('a database that was emptied may be given to another lake', async () => {
    const world = await createLakeWorld();
    await bindLake(world.store, world.database);
    await world.query('DELETE FROM lake');
    const other = memoryStore();
    await bindLake(other, world.database);
    expect(await boundOf(world)).toEqual([{ id: await idOf(other) }]);
    await expect(bindLake(world.store, world.database)).rejects.toMatchObject({ code: 'BadInput' });
  });

  test('an abort ends it, and nothing is bound', async () => {
    const world = await createLakeWorld();
    const signal = AbortSignal.abort(new Error('stopped'));
    await expect(bindLake(world.store, world.database, { signal })).rejects.toThrow('stopped');
    expect([await boundOf(world), await keysOf(world.store)]).toEqual([[], []]);
  });
});

test.each([
  ['an empty lake', async () => undefined],
  [
    'one with bars',
    async (store: ObjectStore) => {
      await putData(store, 'MSFT', barsAt({ '2025-11-03': 5 }));
      await resample(store, { intervals: [3] });
    },
  ],
])('another lake is refused with both ids, and nothing is changed: %s', async (_, fill) => {
  const world = await createLakeWorld();
  await putData(world.store, 'AAPL', barsAt({ '2025-11-03': 1, '2025-11-04': 2, '2025-11-05': 3, '2025-11-06': 4 }));
  await resample(world.store, { intervals: [3] });
  await reconcile(world.store, world.database, { now: () => NOW });
  expect((await mirrorSilver(world.store, world.database, { intervals: [3] })).failure).toBe(undefined);
  const session = sessionFrom('2025-11-06');
  const mark = { symbol: 'AAPL', lastSession: session, checkedFrom: session, checkedThrough: session };
  await databaseWatermarks(world.database).advance([mark]);
  const tables = ['raw_ohlcv', 'silver_3d', 'silver_files', 'watermarks', 'lake', 'ohlcv_months'];
  const state = () => Promise.all(tables.map((table) => versionsOf(world, table)));
  const before = await state();
  for (const [i, rows] of before.entries()) expect([tables[i], rows.length > 0]).toEqual([tables[i], true]);

  const other = memoryStore();
  await fill(other);
  const message = `${world.database.place}: is the database of another lake (${await idOf(world.store)}), not of this one `;
  const calls = [
    () => bindLake(other, world.database),
    () => reconcile(other, world.database, { now: () => NOW }),
    () => reconcile(other, world.database, { now: () => NOW, symbols: ['AAPL'] }),
  ];
  for (const call of calls) {
    const refused = await call().catch((error) => error);
    expect(refused).toMatchObject({ code: 'BadInput', message: expect.stringContaining(message) });
    expect(refused.message).toContain(`(${await idOf(other)}): check --lake and --db`);
  }
  expect((await mirrorSilver(other, world.database, { intervals: [3] })).failure).toContain(message);
  expect(await state()).toEqual(before);
});

test.each([
  ['empty', ''],
  ['no JSON', '{"id":'],
  ['no object', '"5a1c0de5-0000-4000-8000-000000000001"'],
  ['no id', '{}'],
  ['no UUID', '{"id":"mine"}'],
  ['more than an id', '{"id":"5a1c0de5-0000-4000-8000-000000000001","of":"me"}'],
  ['no UTF-8', Buffer.from([0x22, 0xff, 0x22])],
])('an id that is damaged is told, and neither replaced nor bound: %s', async (_, text) => {
  const world = await createLakeWorld();
  await world.store.put(LAKE_ID_KEY, Buffer.from(text as string));
  for (const call of [bindLake, reconcile]) {
    await expect(call(world.store, world.database)).rejects.toMatchObject({
      code: 'CorruptObject',
      message: expect.stringContaining(LAKE_ID_KEY),
    });
  }
  expect(Buffer.from((await world.store.get(LAKE_ID_KEY)).body)).toEqual(Buffer.from(text as string));
  expect([await boundOf(world), await world.connections()]).toEqual([[], 0]);
});

test('a database without tables tells what to run', async () => {
  const world = await createLakeWorld();
  await world.query('DROP TABLE lake');
  await expect(bindLake(world.store, world.database)).rejects.toMatchObject({
    code: 'BadInput',
    message: expect.stringContaining('batch-layer db migrate'),
  });
});
