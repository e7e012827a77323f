import { describe, expect, test } from 'vitest';
import { allocateBars } from '../../src/bars.ts';
import type { Database } from '../../src/database/connection.ts';
import { reconcile } from '../../src/database/reconcile.ts';
import { upsertBars } from '../../src/database/upsert-bars.ts';
import { BatchLayerError } from '../../src/errors.ts';
import { writeDaily } from '../../src/ingest/daily-writer.ts';
import { consolidate } from '../../src/lake/consolidate.ts';
import { encodeConsolidated, readConsolidated } from '../../src/lake/consolidated.ts';
import { dailyKey, dataKey } from '../../src/lake/keys.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { monthOf, sessionFrom } from '../../src/session.ts';
import { copyStore, lakeBars } from '../support/lake-bars.ts';
import { keysOf } from '../support/lake-reader.ts';
import { withClient } from '../support/postgres/client.ts';
import {
  barsAt,
  barsSince,
  barsWhere,
  countBars,
  createLakeWorld,
  dayAfter,
  keysIn,
  type LakeWorld,
  putData,
  storedBars,
} from './lake-world.ts';
import { openUntilFinished, versionsOf } from './open-database.ts';

/** 2022-10 is the first month that is kept. */
const NOW = Date.parse('2025-11-19T22:00:00Z');
const EARLIER = monthOf(sessionFrom('2022-01-01'));
const NOTHING = {
  from: '2022-10-01',
  symbols: 0,
  bars: 0,
  differing: 0,
  written: 0,
  extra: 0,
  contested: 0,
  failed: [],
};

const run = (world: Pick<LakeWorld, 'store' | 'database'>, options: Parameters<typeof reconcile>[2] = {}) =>
  reconcile(world.store, world.database, { now: () => NOW, onProgress: () => undefined, ...options });

/** Three symbols, two of which differ by the case of a letter, in three months; two of the bars are daily files. */
async function fillLake(store: ObjectStore): Promise<void> {
  for (const [s, symbol] of ['AAPW', 'AAPw', 'BRK.B'].entries()) {
    const days = ['2022-10-03', '2022-10-04', '2025-10-30', '2025-10-31', '2025-11-03', '2025-11-04', '2025-11-05'];
    const values = Object.fromEntries(days.map((day, d) => [day, 100 * (s + 1) + d]));
    await putData(store, symbol, barsAt(values));
    await writeDaily(store, symbol, barsAt({ '2025-11-05': 100 * s + 50.5, '2025-11-06': 100 * s + 51.25 }));
  }
}
const BARS = 24;

/** {@link fillLake}, and a database that has the same. */
async function createFilledWorld(): Promise<LakeWorld> {
  const world = await createLakeWorld();
  await fillLake(world.store);
  await run(world);
  return world;
}

async function expectSame(world: LakeWorld): Promise<void> {
  expect(await storedBars(world)).toEqual(await lakeBars(world.store));
}

describe('an empty database', () => {
  const months = ['2022-10', '2022-11', '2022-12', '2023-01', '2023-02', '2023-03', '2023-05', '2023-06', '2025-01'];

  test.each([
    ['2025-11-19T22:00:00Z', '2022-10-01'],
    ['2026-01-31T17:00:00Z', '2022-12-01'],
    ['2026-02-28T17:00:00Z', '2023-01-01'],
    ['2026-03-31T17:00:00Z', '2023-02-01'],
    ['2028-02-29T17:00:00Z', '2025-01-01'],
    // It is already the next day, the next month, the next year in UTC, and not yet in New York.
    ['2026-01-01T04:59:59Z', '2022-11-01'],
    ['2026-01-01T05:00:00Z', '2022-12-01'],
    ['2026-07-01T03:59:59Z', '2023-05-01'],
    ['2026-07-01T04:00:00Z', '2023-06-01'],
  ])(
    'gets the bars of the month of three years and one month before, and later ones: at %s from %s on',
    async (now, first) => {
      const world = await createLakeWorld();
      const days = months.flatMap((month) => [dayAfter(`${month}-01`, -1), `${month}-01`]);
      await putData(world.store, 'AAPL', barsAt(Object.fromEntries(days.map((day, i) => [day, i + 1]))));
      await writeDaily(world.store, 'MSFT', barsAt({ [dayAfter(first, -1)]: 7, [first]: 8 }));
      const [window] = await world.query(
        `SELECT date_trunc('month', ($1::timestamptz AT TIME ZONE 'America/New_York')::date
        - interval '3 years 1 month')::date AS first`,
        [now],
      );
      expect(window).toEqual({ first });
      const expected = barsSince(await lakeBars(world.store), first);
      const result = await run(world, { now: () => Date.parse(now) });
      const bars = countBars(expected);
      const differing = new Set(keysIn(expected).map((key) => key.slice(0, -'-01'.length))).size;
      expect(result).toEqual({ ...NOTHING, from: first, symbols: 2, bars, differing, written: bars });
      expect(await storedBars(world)).toEqual(expected);
      expect(Object.values(expected).map((rows) => rows[0]![0])).toEqual([first, first]);
    },
  );

  test('gets daily files and data.parquet as a reader of the lake sees them', async () => {
    const world = await createLakeWorld();
    await fillLake(world.store);
    expect(await run(world)).toEqual({ ...NOTHING, symbols: 3, bars: BARS, differing: 9, written: BARS });
    await expectSame(world);
  });

  test('beside an empty lake stays empty', async () => {
    const world = await createLakeWorld();
    expect(await run(world)).toEqual(NOTHING);
    expect(await storedBars(world)).toEqual({});
    expect(await world.query('SELECT FROM ohlcv_months')).toEqual([]);
  });
});

test('the number of symbols is told, also where nobody asks for progress', async () => {
  const world = await createLakeWorld();
  await fillLake(world.store);
  expect(await reconcile(world.store, world.database, { now: () => NOW })).toMatchObject({ symbols: 3 });
});

test('progress is told: months of the database, then symbols of the lake', async () => {
  const world = await createFilledWorld();
  const steps: unknown[] = [];
  await run(world, { onProgress: (step) => steps.push(step) });
  // Symbols are read at the same time: how many are begun when one is read, nobody knows, but of the last one.
  expect(steps).toEqual([
    ...[1, 2, 3].map((done) => ({ step: 'compare', done, total: 3 })),
    ...[1, 2, 3].map((done) => ({ step: 'reconcile', done })),
  ]);
});

describe('what differs', () => {
  test('where nothing does, no row is touched', async () => {
    const world = await createFilledWorld();
    const before = await versionsOf(world, 'raw_ohlcv');
    expect(await run(world)).toEqual({ ...NOTHING, symbols: 3, bars: BARS });
    expect(await versionsOf(world, 'raw_ohlcv')).toEqual(before);
    await expectSame(world);
  });

  test('daily files that are merged into data.parquet make no difference', async () => {
    const world = await createFilledWorld();
    const before = await versionsOf(world, 'raw_ohlcv');
    for (const retentionDays of [100_000, 0]) {
      const { failed } = await consolidate(world.store, { retentionDays, now: () => NOW });
      expect(failed).toEqual([]);
      expect(await run(world)).toEqual({ ...NOTHING, symbols: 3, bars: BARS });
    }
    expect((await keysOf(world.store, 'bronze/')).filter((key) => key.includes('/date='))).toEqual([]);
    expect(await versionsOf(world, 'raw_ohlcv')).toEqual(before);
  });

  test('daily files that data.parquet has taken over count no more, in a copy of the lake either', async () => {
    const world = await createFilledWorld();
    await consolidate(world.store, { retentionDays: 100_000, now: () => NOW });
    // A bulk import has another bar of a session whose daily file is still there.
    const data = (await readConsolidated(world.store, 'BRK.B'))!;
    data.bars.close[data.bars.session.indexOf(sessionFrom('2025-11-06'))] = 777;
    await world.store.put(dataKey('BRK.B'), encodeConsolidated('BRK.B', data).bytes);
    expect(await run(world)).toMatchObject({ differing: 1, written: 1 });
    await expectSame(world);
    // Etags are others there: what was taken over is known by the names of its writes.
    const copy = await copyStore(world.store, memoryStore());
    for (const { key } of await Array.fromAsync(copy.list('bronze/'))) await copy.put(key, (await copy.get(key)).body);
    expect(await run({ ...world, store: copy })).toMatchObject({ bars: BARS, differing: 0, written: 0 });
  });

  test('one changed value is put right, whatever it is, and only its row is written', async () => {
    const world = await createLakeWorld();
    const prices = ['open', 'high', 'low', 'close', 'volume'];
    const values = ["'NaN'", "'Infinity'", '0', '-1', '5e-324', '1.7976931348623157e308'];
    const changes = [
      ...prices.flatMap((column) => values.map((value) => `${column} = ${value}`)),
      ...prices.flatMap((column) => [`${column} = -${column}`, `${column} = ${column} + 1`]),
      ...['open = close, close = open', 'high = low, low = high', 'vwap = close', 'vwap = vwap + 1', 'vwap = trades'],
      ...['vwap = NULL', "vwap = 'NaN'", 'vwap = 0', 'vwap = -vwap', 'trades = trades + 1', 'trades = NULL'],
      ...['trades = -1', 'trades = 0', 'trades = 2147483647', 'vwap = NULL, trades = NULL'],
    ];
    // Each of a symbol of its own, so that each is found, or not, by itself.
    const symbols = changes.map((_, i) => `S${i}`);
    const bars = barsAt({ '2025-10-30': 2.5, '2025-10-31': 3.5, '2025-11-03': 4.5 });
    bars.vwap!.fill(3.25);
    bars.trades!.fill(7);
    for (const symbol of symbols) await putData(world.store, symbol, bars);
    await run(world);
    const before = await versionsByKey(world);
    const updates = changes.map((change, i) => {
      return `UPDATE raw_ohlcv SET ${change} WHERE symbol = 'S${i}' AND date = '2025-10-31'`;
    });
    await world.query(updates.join(';'));
    expect(await run(world)).toEqual({
      ...NOTHING,
      symbols: symbols.length,
      bars: 3 * symbols.length,
      differing: changes.length,
      written: changes.length,
    });
    await expectSame(world);
    const after = await versionsByKey(world);
    const written = Object.keys(after).filter((key) => after[key] !== before[key]);
    expect(written.sort()).toEqual(symbols.map((symbol) => `${symbol} 2025-10-31`).sort());
  });

  test('a value where there is none, of vwap and trades, is taken away', async () => {
    const world = await createLakeWorld();
    const changes = ['vwap = 0', 'vwap = 1', 'trades = 0', 'trades = 1', 'trades = -2147483648'];
    const bars = barsAt({ '2025-10-30': 2.5, '2025-10-31': 3.5 });
    bars.vwap!.fill(Number.NaN);
    bars.trades!.fill(-1);
    for (const i of changes.keys()) await putData(world.store, `S${i}`, bars);
    await run(world);
    const updates = changes.map((change, i) => {
      return `UPDATE raw_ohlcv SET ${change} WHERE symbol = 'S${i}' AND date = '2025-10-30'`;
    });
    await world.query(updates.join(';'));
    expect(await run(world)).toMatchObject({ differing: changes.length, written: changes.length });
    await expectSame(world);
  });

  test('a value that is another one in its last bit is put right', async () => {
    const world = await createFilledWorld();
    const days = { open: '2025-11-03', volume: '2025-10-31', vwap: '2025-11-04' };
    for (const [column, date] of Object.entries(days)) {
      const place = `WHERE symbol = 'AAPW' AND date = '${date}'`;
      const [row] = await world.query<{ value: number }>(`SELECT ${column} AS value FROM raw_ohlcv ${place}`);
      const next = nextDouble(row!.value);
      expect([next > row!.value, next - row!.value < 1e-9]).toEqual([true, true]);
      await world.query(`UPDATE raw_ohlcv SET ${column} = ${next} ${place}`);
    }
    expect(await run(world)).toMatchObject({ differing: 2, written: 3, extra: 0, contested: 0 });
    await expectSame(world);
  });

  test('values that are swapped between two days are put right, though all sums are the same', async () => {
    const world = await createFilledWorld();
    const sums = 'SELECT count(*), sum(close::numeric), sum(volume::numeric) FROM raw_ohlcv';
    const before = await world.query(sums);
    await world.query(`UPDATE raw_ohlcv AS r SET close = o.close, volume = o.volume FROM raw_ohlcv AS o
      WHERE r.symbol = 'AAPW' AND o.symbol = 'AAPW'
        AND (r.date, o.date) IN (('2025-11-03', '2025-11-04'), ('2025-11-04', '2025-11-03'))`);
    expect(await world.query(sums)).toEqual(before);
    expect(await run(world)).toMatchObject({ differing: 1, written: 2, extra: 0, contested: 0 });
    await expectSame(world);
  });

  test('two symbols that differ in case are two symbols', async () => {
    const world = await createFilledWorld();
    await world.query(`DELETE FROM raw_ohlcv WHERE symbol = 'AAPW' AND date = '2025-11-05'`);
    await world.query(`UPDATE raw_ohlcv SET symbol = 'AAPW' WHERE symbol = 'AAPw' AND date = '2025-11-05'`);
    expect(await run(world)).toMatchObject({ differing: 2, written: 2, extra: 0, contested: 0 });
    await expectSame(world);
  });

  test('rows that are gone come back: some, those of a month, those of a symbol, all', async () => {
    const world = await createFilledWorld();
    for (const [where, differing] of [
      [`date = '2025-10-31' AND symbol > 'AAPW'`, 2],
      [`date >= '2025-10-01' AND date < '2025-11-01'`, 3],
      [`symbol = 'AAPw'`, 3],
      ['true', 9],
    ] as const) {
      const gone = await world.query(`DELETE FROM raw_ohlcv WHERE ${where} RETURNING symbol`);
      expect(await run(world), where).toMatchObject({ differing, written: gone.length, extra: 0, contested: 0 });
      await expectSame(world);
    }
  });

  test('zero with either sign is the same, and so are an absent value and NaN or -1', async () => {
    const world = await createLakeWorld();
    const bars = barsAt({ '2025-11-03': 1, '2025-11-04': 2, '2025-11-05': 3 });
    bars.low.set([0, -0, 0]);
    bars.vwap!.fill(Number.NaN);
    bars.trades!.fill(-1);
    await putData(world.store, 'AAPL', bars);
    await run(world);
    expect(await storedBars(world)).toEqual(await lakeBars(world.store));
    await world.query(`UPDATE raw_ohlcv SET low = CASE low::text WHEN '0' THEN '-0'::float8 ELSE 0 END`);
    await world.query(`UPDATE raw_ohlcv SET vwap = 'NaN', trades = -1 WHERE date > '2025-11-03'`);
    const before = await versionsOf(world, 'raw_ohlcv');
    expect(await run(world)).toMatchObject({ differing: 0, written: 0 });
    expect(await versionsOf(world, 'raw_ohlcv')).toEqual(before);
  });

  test('what others write between writing and comparing again is told as contested, and put right by the next run', async () => {
    const world = await createFilledWorld();
    await world.query(`DELETE FROM raw_ohlcv WHERE date = '2025-11-04'`);
    let isWritten = false;
    const meddling: Database = {
      ...world.database,
      async transaction(work, call) {
        const isAgain = isWritten;
        const result = await world.database.transaction(work, call);
        isWritten = (await world.query(`SELECT FROM raw_ohlcv WHERE date = '2025-11-04'`)).length > 0;
        if (isWritten && !isAgain) {
          await world.query(`UPDATE raw_ohlcv SET close = close + 1 WHERE date = '2025-11-04' AND symbol = 'BRK.B'`);
          await world.query(`DELETE FROM raw_ohlcv WHERE date = '2025-11-04' AND symbol = 'AAPW'`);
        }
        return result;
      },
    };
    expect(await run({ ...world, database: meddling })).toMatchObject({
      differing: 3,
      written: 3,
      extra: 0,
      contested: 2,
    });
    expect(await run(world)).toMatchObject({ differing: 2, written: 2, extra: 0, contested: 0 });
    await expectSame(world);
  });
});

describe('rows that only the database has are counted and left', () => {
  test('of symbols and months that the lake has too', async () => {
    const world = await createFilledWorld();
    await world.query(`INSERT INTO raw_ohlcv SELECT symbol, date + 20, open, high, low, close, volume
      FROM raw_ohlcv WHERE date IN ('2025-10-03', '2022-10-03', '2025-11-03') AND symbol < 'B'`);
    const before = await storedBars(world);
    expect(countBars(before)).toBe(BARS + 4);
    for (let i = 0; i < 2; i++) {
      expect(await run(world)).toEqual({ ...NOTHING, symbols: 3, bars: BARS, differing: 4, extra: 4 });
    }
    expect(await storedBars(world)).toEqual(before);
  });

  test('beside rows that it lacks, and rows that are others', async () => {
    const world = await createFilledWorld();
    const extra = await world.query(`INSERT INTO raw_ohlcv SELECT symbol, date + 14, 1, 1, 1, 1, 1
      FROM raw_ohlcv WHERE date = '2025-11-05' RETURNING symbol, date`);
    await world.query(`DELETE FROM raw_ohlcv WHERE date = '2025-11-03'`);
    await world.query(`UPDATE raw_ohlcv SET volume = 1 WHERE date = '2025-11-06'`);
    expect(await run(world)).toMatchObject({ differing: 3, written: 6, extra: 3, contested: 0 });
    const lake = await lakeBars(world.store);
    expect(barsWhere(await storedBars(world), (date) => date !== '2025-11-19')).toEqual(lake);
    expect(await world.query(`SELECT symbol, date FROM raw_ohlcv WHERE date = '2025-11-19'`)).toEqual(extra);
  });

  test('of a symbol, a month, and a whole symbol of several months', async () => {
    const world = await createFilledWorld();
    await world.store.delete(dataKey('BRK.B'));
    await world.query(`SELECT route_ohlcv_months('{2024-02-01}', '2022-10-01')`);
    await world.query(`INSERT INTO raw_ohlcv VALUES ('AAPW', '2024-02-29', 1, 1, 1, 1, 1), ('GONE', '2024-02-29', 1, 1, 1, 1, 1),
      ('GONE', '2022-10-31', 1, 1, 1, 1, 1)`);
    const before = await versionsOf(world, 'raw_ohlcv');
    // Of BRK.B two daily files are left: of its eight rows six have no bar.
    expect(await run(world)).toMatchObject({ symbols: 3, differing: 1, written: 0, extra: 6 + 3, contested: 0 });
    expect((await versionsOf(world, 'raw_ohlcv')).length).toBe(before.length);
    const missing = (await lakeBars(world.store))['BRK.B']!.map(([date]) => date);
    expect(missing).toEqual(['2025-11-05', '2025-11-06']);
  });

  test('all of them, beside an empty lake: nothing is deleted', async () => {
    const world = await createFilledWorld();
    for (const key of await keysOf(world.store, 'bronze/')) await world.store.delete(key);
    const before = await versionsOf(world, 'raw_ohlcv');
    expect(await run(world)).toEqual({ ...NOTHING, extra: BARS });
    expect(await versionsOf(world, 'raw_ohlcv')).toEqual(before);
  });
});

describe('a lake that is damaged, or changes meanwhile', () => {
  test.each([
    ['data.parquet', (store: ObjectStore) => store.put(dataKey('AAPw'), Buffer.from('PAR1 no more'))],
    [
      'a daily file',
      (store: ObjectStore) => store.put(dailyKey('AAPw', sessionFrom('2025-11-06')), Buffer.from('PAR1')),
    ],
    [
      'a daily file that is the file of another symbol',
      async (store: ObjectStore) => {
        const { body } = await store.get(dailyKey('AAPW', sessionFrom('2025-11-06')));
        return store.put(dailyKey('AAPw', sessionFrom('2025-11-06')), body);
      },
    ],
  ])('%s: its symbol is failed and its rows stay, the others go on', async (_, damage) => {
    const world = await createFilledWorld();
    await damage(world.store);
    await world.query(`UPDATE raw_ohlcv SET close = 1 WHERE date = '2025-11-04'`);
    const before = await storedBars(world);
    expect(await run(world)).toEqual({
      ...NOTHING,
      symbols: 3,
      bars: (BARS / 3) * 2,
      differing: 2,
      written: 2,
      failed: [{ symbol: 'AAPw', code: 'CorruptObject', message: expect.stringContaining('symbol=AAPw/') }],
    });
    expect((await storedBars(world)).AAPw).toEqual(before.AAPw);
    for (const key of await keysOf(world.store, 'bronze/raw_ohlcv/symbol=AAPw/')) await world.store.delete(key);
    await fillLake(world.store);
    expect(await run(world)).toMatchObject({ written: 1, failed: [] });
    await expectSame(world);
  });

  test('symbols that fail are told in the order of their names', async () => {
    const world = await createFilledWorld();
    for (const symbol of ['BRK.B', 'AAPw', 'AAPW']) await world.store.put(dataKey(symbol), new Uint8Array(9));
    const { failed, bars, extra } = await run(world);
    expect([failed.map(({ symbol }) => symbol), bars, extra]).toEqual([['AAPW', 'AAPw', 'BRK.B'], 0, 0]);
  });

  test('daily files that are merged and deleted between listing and reading are not missed', async () => {
    const world = await createFilledWorld();
    await writeDaily(world.store, 'AAPW', barsAt({ '2025-11-04': 1.5, '2025-11-10': 2.5 }));
    let isOver = false;
    const changing: ObjectStore = {
      ...world.store,
      async get(key, call) {
        if (!isOver && key.includes('/date=')) {
          isOver = true;
          await consolidate(world.store, { retentionDays: 0, now: () => NOW });
        }
        return world.store.get(key, call);
      },
    };
    expect(await run({ ...world, store: changing })).toMatchObject({ symbols: 3, written: 2, extra: 0, failed: [] });
    expect(isOver).toBe(true);
    expect((await keysOf(world.store)).filter((key) => key.includes('/date='))).toEqual([]);
    await expectSame(world);
  });

  test('a symbol that vanishes between listing and reading is one that only the database has', async () => {
    const world = await createFilledWorld();
    const vanishing: ObjectStore = {
      ...world.store,
      async get(key, call) {
        if (key === dataKey('AAPw')) {
          for (const gone of await keysOf(world.store, 'bronze/raw_ohlcv/symbol=AAPw/')) await world.store.delete(gone);
        }
        return world.store.get(key, call);
      },
    };
    expect(await run({ ...world, store: vanishing })).toMatchObject({ written: 0, extra: BARS / 3, failed: [] });
  });

  test('what is corrupt in the database is no failure of a symbol', async () => {
    const world = await createLakeWorld();
    const first = sessionFrom('2022-10-01');
    const bars = allocateBars(1_130);
    for (const i of bars.session.keys()) bars.session[i] = first + i;
    // More rows than are written at once.
    const symbols = Array.from({ length: 90 }, (_, i) => `S${i}`);
    for (const symbol of symbols) await putData(world.store, symbol, bars);
    const reason = new BatchLayerError('CorruptObject', 'the database: invalid page in block 7');
    let transactions = 0;
    const damaged: Database = {
      ...world.database,
      // The first one lists the months, of which there is none to compare: the second one is a write.
      transaction: (work, call) =>
        ++transactions === 2 ? Promise.reject(reason) : world.database.transaction(work, call),
    };
    await expect(run({ ...world, database: damaged })).rejects.toThrow(reason);
  });

  test('a store that does not answer ends it, and what was written stays', async () => {
    const world = await createFilledWorld();
    const down: ObjectStore = { ...world.store, get: () => Promise.reject(new Error('the store is down')) };
    const before = await storedBars(world);
    await expect(run({ ...world, store: down })).rejects.toThrow('the store is down');
    expect(await storedBars(world)).toEqual(before);
  });
});

describe('chosen symbols', () => {
  test('alone are read, compared and written; of others nothing is said', async () => {
    const world = await createFilledWorld();
    await world.query(`DELETE FROM raw_ohlcv WHERE date = '2025-11-04'`);
    await world.query(`INSERT INTO raw_ohlcv SELECT s, '2025-11-18', 1, 1, 1, 1, 1
      FROM unnest(ARRAY['AAPW', 'AAPw', 'GONE', 'OTHER']) AS s`);
    const read: string[] = [];
    const watched: ObjectStore = {
      ...world.store,
      get(key, call) {
        if (key.startsWith('bronze/')) read.push(key);
        return world.store.get(key, call);
      },
    };
    const symbols = ['AAPW', 'GONE', 'NEW', 'AAPW'];
    const found = await run({ ...world, store: watched }, { symbols });
    expect(found).toEqual({ ...NOTHING, symbols: 1, bars: BARS / 3, differing: 1, written: 1, extra: 2 });
    expect(read.filter((key) => !/symbol=(?:AAPW|GONE|NEW)\//.test(key))).toEqual([]);
    expect(await world.query(`SELECT symbol FROM raw_ohlcv WHERE date = '2025-11-04'`)).toEqual([{ symbol: 'AAPW' }]);
    expect(await run(world, { symbols: [] })).toEqual(NOTHING);
    expect(await run(world)).toMatchObject({ differing: 3, written: 2, extra: 4 });
  });

  test('that are damaged fail, and damaged others do not matter', async () => {
    const world = await createFilledWorld();
    await world.store.put(dataKey('AAPw'), Buffer.from('PAR1'));
    expect(await run(world, { symbols: ['AAPW', 'BRK.B'] })).toMatchObject({ symbols: 2, failed: [] });
    const { failed, extra } = await run(world, { symbols: ['AAPw'] });
    expect([failed.map(({ symbol }) => symbol), extra]).toEqual([['AAPw'], 0]);
  });

  test('have names', async () => {
    const world = await createFilledWorld();
    await expect(run(world, { symbols: ['../x'] })).rejects.toMatchObject({ code: 'BadInput' });
  });
});

test('a symbol that a fetch changes in bronze and database meanwhile is contested, and no row of it is extra', async () => {
  const world = await createFilledWorld();
  await world.query(`DELETE FROM raw_ohlcv WHERE date = '2025-11-04'`);
  await world.query(`INSERT INTO raw_ohlcv VALUES ('AAPw', '2025-11-18', 1, 1, 1, 1, 1)`);
  let isFetched = false;
  const fetching: Database = {
    ...world.database,
    async transaction(work, call) {
      const result = await world.database.transaction(work, call);
      const isWritten = (await world.query(`SELECT FROM raw_ohlcv WHERE date = '2025-11-04'`)).length > 0;
      if (isFetched || !isWritten) return result;
      isFetched = true;
      const bars = barsAt({ '2025-11-10': 7, '2025-11-11': 8 });
      await writeDaily(world.store, 'AAPW', bars);
      await upsertBars(world.database, { symbols: ['AAPW', 'AAPW'], bars }, { keepFrom: EARLIER });
      return result;
    },
  };
  expect(await run({ ...world, database: fetching })).toMatchObject({
    differing: 3,
    written: 3,
    extra: 1,
    contested: 1,
  });
  expect(isFetched).toBe(true);
  expect(await run(world)).toMatchObject({ differing: 1, written: 0, extra: 1, contested: 0 });
});

describe('months before the window', () => {
  const OLD = { '2022-07-29': 1, '2022-08-31': 2, '2022-09-30': 3, '2022-10-03': 4 };

  test('that the database still has are compared, others passed over', async () => {
    const world = await createLakeWorld();
    await putData(world.store, 'AAPL', barsAt(OLD));
    await upsertBars(
      world.database,
      { symbols: ['AAPL', 'GONE'], bars: barsAt({ '2022-08-30': 9, '2022-08-31': 9 }) },
      { keepFrom: EARLIER },
    );
    expect(await run(world)).toMatchObject({ symbols: 1, bars: 2, differing: 2, written: 2, extra: 2, contested: 0 });
    expect((await storedBars(world)).AAPL).toEqual([
      expect.arrayContaining(['2022-08-30', 9]),
      ...barsWhere(await lakeBars(world.store), (date) => date > '2022-09-30' || date.startsWith('2022-08')).AAPL!,
    ]);
    const months = await world.query('SELECT month FROM ohlcv_months ORDER BY month');
    expect(months).toEqual([{ month: '2022-08-01' }, { month: '2022-10-01' }]);
  });

  test('that are archived, in the window or before it, are left where they are, and as they are', async () => {
    const world = await createLakeWorld();
    const bars = barsAt({ ...OLD, '2022-11-30': 5, '2025-10-31': 6 });
    await putData(world.store, 'AAPL', bars);
    await upsertBars(world.database, { symbols: Array(6).fill('AAPL'), bars }, { keepFrom: EARLIER });
    for (const month of ['2022-08-01', '2022-11-01']) {
      await world.query('SELECT archive_ohlcv_month($1, $2)', [month, '2022-12-01']);
    }
    await world.query(`UPDATE raw_ohlcv_archive SET close = 77 WHERE date = '2022-11-30'`);
    await world.query(`DELETE FROM raw_ohlcv_archive WHERE date = '2022-08-31'`);
    const archive = await versionsOf(world, 'raw_ohlcv_archive');
    await world.query(`UPDATE raw_ohlcv SET close = 77 WHERE date IN ('2022-07-29', '2025-10-31')`);
    expect(await run(world)).toEqual({
      ...NOTHING,
      from: '2022-07-01',
      symbols: 1,
      bars: 4,
      differing: 2,
      written: 2,
    });
    expect(await versionsOf(world, 'raw_ohlcv_archive')).toEqual(archive);
    const isArchived = (date: string) => date.startsWith('2022-08') || date.startsWith('2022-11');
    expect(await storedBars(world)).toEqual(barsWhere(await lakeBars(world.store), (date) => !isArchived(date)));
  });

  test('that are archived while it compares go to the archive, and nothing is in both', async () => {
    const world = await createLakeWorld();
    await putData(world.store, 'AAPL', barsAt(OLD));
    await upsertBars(
      world.database,
      { symbols: ['AAPL', 'AAPL'], bars: barsAt({ '2022-08-31': 9, '2022-09-30': 9 }) },
      { keepFrom: EARLIER },
    );
    const onProgress = () => undefined;
    let isArchived = false;
    const archiving: ObjectStore = {
      ...world.store,
      async get(key, call) {
        if (isArchived || !key.startsWith('bronze/')) return world.store.get(key, call);
        await world.query(`SELECT archive_ohlcv_month('2022-08-01', '2022-10-01')`);
        isArchived = true;
        return world.store.get(key, call);
      },
    };
    expect(await run({ ...world, store: archiving }, { onProgress })).toMatchObject({ written: 3, contested: 1 });
    const lake = await lakeBars(world.store);
    expect(await storedBars(world)).toEqual(barsSince(lake, '2022-09-01'));
    expect(await storedBars(world, 'raw_ohlcv_archive')).toEqual(barsWhere(lake, (date) => date === '2022-08-31'));
    expect(await run(world)).toMatchObject({ differing: 0, written: 0, contested: 0 });
  });
});

describe('months that are archived, with the archive', () => {
  const ARCHIVED = ['2021-01-04', '2021-01-05', '2021-02-01', '2022-08-30', '2022-08-31'];
  const KEPT = ['2022-10-03', '2022-11-30', '2025-10-31'];
  const SYMBOLS = ['AAPL', 'AAPl', 'ZZZ'];

  /** A lake and a database that have the same, also of months that are archived; the lake has more of others before the window. */
  async function createArchivedWorld(): Promise<LakeWorld> {
    const world = await createLakeWorld();
    const days = [...ARCHIVED, ...KEPT, '2021-03-01'];
    for (const [s, symbol] of SYMBOLS.entries()) {
      await putData(world.store, symbol, barsAt(Object.fromEntries(days.map((day, d) => [day, 100 * s + d + 1]))));
      const bars = barsAt(Object.fromEntries([...ARCHIVED, ...KEPT].map((day, d) => [day, 100 * s + d + 1])));
      const keepFrom = monthOf(sessionFrom('2021-01-01'));
      await upsertBars(world.database, { symbols: Array(bars.session.length).fill(symbol), bars }, { keepFrom });
    }
    for (const month of ['2021-01-01', '2021-02-01', '2022-08-01', '2022-11-01']) {
      await world.query('SELECT archive_ohlcv_month($1, $2)', [month, '2022-12-01']);
    }
    return world;
  }
  const isArchived = (date: string) => ARCHIVED.includes(date) || date === '2022-11-30';

  async function expectAllSame(world: LakeWorld): Promise<void> {
    const lake = barsWhere(await lakeBars(world.store), (date) => date !== '2021-03-01');
    expect(await storedBars(world, 'raw_ohlcv_archive')).toEqual(barsWhere(lake, isArchived));
    expect(await storedBars(world)).toEqual(barsWhere(lake, (date) => !isArchived(date)));
  }

  const SAME = { ...NOTHING, from: '2021-01-01', symbols: 3, bars: 3 * (ARCHIVED.length + KEPT.length) };

  test('are compared, and where nothing differs no row is touched', async () => {
    const world = await createArchivedWorld();
    const before = [await versionsOf(world, 'raw_ohlcv'), await versionsOf(world, 'raw_ohlcv_archive')];
    expect(await run(world, { archive: true })).toEqual(SAME);
    expect([await versionsOf(world, 'raw_ohlcv'), await versionsOf(world, 'raw_ohlcv_archive')]).toEqual(before);
    await expectAllSame(world);
  });

  test('get a correction that came while there was no database, and only its row is written', async () => {
    const world = await createArchivedWorld();
    await writeDaily(world.store, 'AAPl', barsAt({ '2021-01-05': 55 }));
    const before = await versionsByKey(world, 'raw_ohlcv_archive');
    expect(await run(world)).toMatchObject({ differing: 0, written: 0 });
    expect(await run(world, { archive: true })).toEqual({ ...SAME, differing: 1, written: 1 });
    await expectAllSame(world);
    const after = await versionsByKey(world, 'raw_ohlcv_archive');
    expect(Object.keys(after).filter((key) => after[key] !== before[key])).toEqual(['AAPl 2021-01-05']);
    expect(await run(world, { archive: true })).toEqual(SAME);
  });

  test('get back what is gone or was changed in whichever of the two tables; what bronze has not is counted', async () => {
    const world = await createArchivedWorld();
    await world.query(`DELETE FROM raw_ohlcv_archive WHERE date = '2021-02-01' OR symbol = 'ZZZ'`);
    await world.query(`UPDATE raw_ohlcv_archive SET volume = volume + 1 WHERE date = '2022-08-31'`);
    await world.query(`UPDATE raw_ohlcv SET volume = volume + 1 WHERE date = '2022-10-03'`);
    await world.query(`INSERT INTO raw_ohlcv_archive SELECT 'GONE', date, open, high, low, close, volume FROM raw_ohlcv_archive
      WHERE symbol = 'AAPL' AND date < '2021-01-31'`);
    expect(await run(world, { archive: true })).toEqual({ ...SAME, differing: 11, written: 13, extra: 2 });
    await world.query(`DELETE FROM raw_ohlcv_archive WHERE symbol = 'GONE'`);
    await expectAllSame(world);
    expect(await run(world, { archive: true })).toEqual(SAME);
  });

  test('are found also when they are archived while it compares', async () => {
    const world = await createArchivedWorld();
    await world.query(`UPDATE raw_ohlcv SET close = 77 WHERE date = '2022-10-03'`);
    let isMoved = false;
    const archiving: ObjectStore = {
      ...world.store,
      async get(key, call) {
        if (!isMoved && key.startsWith('bronze/')) {
          isMoved = true;
          await world.query(`SELECT archive_ohlcv_month('2022-10-01', '2022-12-01')`);
        }
        return world.store.get(key, call);
      },
    };
    expect(await run({ ...world, store: archiving }, { archive: true })).toEqual({ ...SAME, differing: 3, written: 3 });
    expect(await run(world, { archive: true })).toEqual(SAME);
    const october = barsWhere(await lakeBars(world.store), (date) => date === '2022-10-03');
    expect(barsWhere(await storedBars(world, 'raw_ohlcv_archive'), (date) => date === '2022-10-03')).toEqual(october);
  });
});

describe('an abort', () => {
  test.each(['compare', 'reconcile'])(
    'ends it with its reason, and the next run makes it good: at step %s',
    async (at) => {
      const world = await createFilledWorld();
      await world.query('DELETE FROM raw_ohlcv');
      const controller = new AbortController();
      const onProgress = ({ step }: { readonly step: string }) => {
        if (step === at) controller.abort(new Error('stopped'));
      };
      await expect(run(world, { signal: controller.signal, onProgress })).rejects.toThrow('stopped');
      expect(await storedBars(world)).toEqual({});
      expect(await run(world)).toMatchObject({ written: BARS });
      await expectSame(world);
    },
  );

  test('before it begins reads and writes nothing', async () => {
    const world = await createLakeWorld();
    await fillLake(world.store);
    const before = await keysOf(world.store);
    const untouched: ObjectStore = {
      ...world.store,
      list: () => expect.unreachable(),
      put: () => expect.unreachable(),
      get(_, { signal: stop } = {}) {
        stop?.throwIfAborted();
        return expect.unreachable();
      },
    };
    const signal = AbortSignal.abort(new Error('stopped'));
    await expect(run({ ...world, store: untouched }, { signal })).rejects.toThrow('stopped');
    expect([await world.connections(), await keysOf(world.store)]).toEqual([0, before]);
  });

  test('while it waits for another transaction ends at once, and its backend with it', async () => {
    const world = await createFilledWorld();
    await world.query(`DELETE FROM raw_ohlcv WHERE date = '2025-11-04'`);
    const controller = new AbortController();
    await withClient(world.url, async (client) => {
      await client.query(`BEGIN; SELECT FROM ohlcv_months FOR UPDATE`);
      const stopped = run(world, { signal: controller.signal });
      await expect.poll(world.waiting).toBe(1);
      controller.abort(new Error('stopped'));
      await expect(stopped).rejects.toThrow('stopped');
      await client.query('ROLLBACK');
    });
    await expect.poll(() => world.connections()).toBe(0);
    expect(await run(world)).toMatchObject({ written: 3 });
    await expectSame(world);
  });
});

test.each([
  [
    'time zone, digits and isolation',
    { TimeZone: 'Pacific/Kiritimati', extra_float_digits: '0', default_transaction_isolation: 'serializable' },
  ],
  ['style of dates', { DateStyle: 'German, DMY' }],
])('a database with another %s is compared alike', async (_, settings) => {
  const world = await createFilledWorld();
  const name = new URL(world.url).pathname.slice(1);
  for (const [setting, value] of Object.entries(settings)) {
    await world.query(`ALTER DATABASE "${name}" SET ${setting} = '${value}'`);
  }
  const other = { ...world, database: openUntilFinished(world.url) };
  expect(await run(other)).toMatchObject({ differing: 0, written: 0, bars: BARS });
  await world.query(`UPDATE raw_ohlcv SET close = 1 WHERE date = make_date(2025, 10, 31)`);
  expect(await run(other)).toMatchObject({ differing: 3, written: 3, extra: 0, contested: 0 });
});

/** Which version of each row there is, by symbol and date. */
async function versionsByKey({ query }: LakeWorld, table = 'raw_ohlcv'): Promise<Readonly<Record<string, string>>> {
  const rows = await query<{ key: string; version: string }>(
    `SELECT symbol || ' ' || date AS key, format('%s %s', ctid, xmin) AS version FROM ${table}`,
  );
  return Object.fromEntries(rows.map(({ key, version }) => [key, version]));
}

function nextDouble(value: number): number {
  const bits = new BigInt64Array([0n]);
  const numbers = new Float64Array(bits.buffer);
  numbers[0] = value;
  bits[0]! += 1n;
  return numbers[0]!;
}
