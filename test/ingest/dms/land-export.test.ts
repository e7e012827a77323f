import { describe, expect, test } from 'vitest';
import { allocateBars, type Bars } from '../../../src/bars.ts';
import { writeDaily } from '../../../src/ingest/daily-writer.ts';
import { ingestDms } from '../../../src/ingest/dms/ingest-dms.ts';
import { consolidate } from '../../../src/lake/consolidate.ts';
import { consolidateSymbol } from '../../../src/lake/consolidate-symbol.ts';
import { encodeConsolidated } from '../../../src/lake/consolidated.ts';
import { dataKey } from '../../../src/lake/keys.ts';
import { memoryStore } from '../../../src/lake/memory-store.ts';
import type { ObjectStore } from '../../../src/lake/store.ts';
import { listSymbol } from '../../../src/lake/symbol-files.ts';
import { queryDuckDB } from '../../support/duckdb.ts';
import { dyingStore } from '../../support/dying-store.ts';
import { copyStore } from '../../support/lake-bars.ts';
import { readBronze } from '../../support/lake-reader.ts';
import { contentOf, type ExportLake, lakeOf, rowsOfSymbol, selectRows } from './dms-export.ts';

// An export of ten sessions of A, volumes 1000, 1000.125, …; what comes from elsewhere has volume 7.
const FROM = 18_000;
const lakeOfTen = () => lakeOf(selectRows(rowsOfSymbol('A', 10, FROM)));
const KEPT = { kept: 1, keptBronzeVolume: 7, failed: [], landed: 10, rejected: 0 };

function corrected(session: number): Bars {
  const bars = allocateBars(1);
  bars.session[0] = session;
  for (const name of ['open', 'high', 'low', 'close'] as const) bars[name][0] = 10;
  bars.volume[0] = 7;
  return bars;
}

async function importBar(store: ObjectStore, session: number): Promise<void> {
  await consolidateSymbol(store, await listSymbol(store, 'A'), { imported: corrected(session) });
}

/** The volumes of A in bronze, the daily files merged. */
async function volumesOf(store: ObjectStore): Promise<number[]> {
  await consolidate(store, { retentionDays: 100_000 });
  return [...(await readBronze(store)).A!.volume];
}

function volumesWith(...sessions: readonly number[]): number[] {
  return Array.from({ length: 10 }, (_, i) => (sessions.includes(FROM + i) ? 7 : 1000 + i / 8));
}

/** The store, and something that is done before or after the nth write of A's history. */
function around(store: ObjectStore, when: 'before' | 'after', work: (write: number) => Promise<void>): ObjectStore {
  let writes = 0;
  return {
    ...store,
    async put(key, body, call) {
      if (key !== dataKey('A')) return store.put(key, body, call);
      const write = ++writes;
      if (when === 'before') await work(write);
      const etag = await store.put(key, body, call);
      if (when === 'after') await work(write);
      return etag;
    },
  };
}

const once = (work: () => Promise<unknown>) => async (write: number) => {
  if (write === 1) await work();
};

describe('a bar that bronze has is not undone by the export', () => {
  test('in data.parquet', async () => {
    const { store } = await lakeOfTen();
    await importBar(store, FROM + 3);
    const result = await ingestDms(store);
    expect(result).toMatchObject({ ...KEPT, objectsReplaced: 1, keptExportVolume: 1000.375 });
    expect(result.exportVolume - 1000.375).toBe(result.bronzeVolume - 7);
    expect(await volumesOf(store)).toEqual(volumesWith(FROM + 3));
  });

  test('in a daily file', async () => {
    const { store } = await lakeOfTen();
    await writeDaily(store, 'A', corrected(FROM + 3));
    expect(await ingestDms(store)).toMatchObject({ ...KEPT, objectsCreated: 1 });
    expect(await volumesOf(store)).toEqual(volumesWith(FROM + 3));
  });

  test('in either, when the run is made again after a correction', async () => {
    const { store } = await lakeOfTen();
    expect(await ingestDms(store)).toMatchObject({ kept: 0 });
    await importBar(store, FROM + 1);
    await writeDaily(store, 'A', corrected(FROM + 8));
    expect(await ingestDms(store)).toMatchObject({ kept: 2, objectsReplaced: 1, failed: [], keptBronzeVolume: 14 });
    expect(await ingestDms(store)).toMatchObject({ kept: 2, objectsUnchanged: 1, failed: [] });
    expect(await volumesOf(store)).toEqual(volumesWith(FROM + 1, FROM + 8));
  });

  test('as a daily file that comes between listing and writing', async () => {
    const { store } = await lakeOfTen();
    const racing = around(
      store,
      'before',
      once(() => writeDaily(store, 'A', corrected(FROM + 3))),
    );
    expect(await ingestDms(racing)).toMatchObject(KEPT);
    expect(await volumesOf(store)).toEqual(volumesWith(FROM + 3));
  });

  test('as an import between reading and writing', async () => {
    const { store } = await lakeOfTen();
    const racing = around(
      store,
      'before',
      once(() => importBar(store, FROM + 3)),
    );
    expect(await ingestDms(racing)).toMatchObject({ ...KEPT, metrics: { requests: { PUT: 5 } } });
    expect(await volumesOf(store)).toEqual(volumesWith(FROM + 3));
  });

  test.each<[string, (store: ObjectStore) => Promise<unknown>]>([
    ['an import', (store) => importBar(store, FROM + 3)],
    ['a daily file', (store) => writeDaily(store, 'A', corrected(FROM + 3))],
    [
      'a daily file that is merged and deleted at once',
      async (store) => {
        await writeDaily(store, 'A', corrected(FROM + 3));
        await consolidate(store, { retentionDays: 0 });
      },
    ],
  ])('as %s between writing and reading back', async (_what, work) => {
    const { store } = await lakeOfTen();
    expect(
      await ingestDms(
        around(
          store,
          'after',
          once(() => work(store)),
        ),
      ),
    ).toMatchObject({ ...KEPT, objectsCreated: 1 });
    expect(await volumesOf(store)).toEqual(volumesWith(FROM + 3));
  });

  test('a symbol that others never leave alone is told, and loses nothing', async () => {
    const { store } = await lakeOfTen();
    // Each time it is filled up it has lost a bar again, as if an older version had been restored.
    const restless = around(store, 'after', async () => {
      const { etag } = await store.head(dataKey('A'));
      await store.delete(dataKey('A'), { ifMatch: etag });
      await importBar(store, FROM + 3);
    });
    const result = await ingestDms(restless);
    expect(result).toMatchObject({ landed: 0, failed: [{ symbol: 'A', code: 'Conflict' }] });
    expect(await ingestDms(store)).toMatchObject(KEPT);
  });
});

describe('reading back', () => {
  test.each<[string, (bars: Bars) => Bars, RegExp]>([
    [
      'has another bar than was written',
      (bars) => ({ ...bars, volume: bars.volume.map((volume, i) => (i === 4 ? 1 : volume)) }),
      /10 sessions with volume 9006\.125, 1 of them missing or changed, the first 2019-04-18: expected 10 with volume 10005\.625/,
    ],
    [
      'has a bar less',
      (bars) =>
        Object.fromEntries(Object.entries(bars).map(([name, values]) => [name, values.slice(1)])) as unknown as Bars,
      /9 sessions with volume 9005\.625, 1 of them missing or changed, the first 2019-04-14: expected 10/,
    ],
  ])('a symbol of which bronze %s has failed', async (_what, change, message) => {
    const { store } = await lakeOf(selectRows([...rowsOfSymbol('A', 10, FROM), ...rowsOfSymbol('B', 2)]));
    const lying: ObjectStore = {
      ...store,
      async put(key, body, call) {
        if (key !== dataKey('A')) return store.put(key, body, call);
        const memory = memoryStore();
        await memory.put(key, body);
        const { A } = await readBronze(memory);
        const { bytes } = encodeConsolidated('A', { bars: change(A!), applied: new Map(), changes: [] });
        return store.put(key, bytes, call);
      },
    };
    const result = await ingestDms(lying);
    expect(result).toMatchObject({ symbols: 1, landed: 2, failed: [{ symbol: 'A', code: 'CorruptObject' }] });
    expect(result.failed[0]!.message).toMatch(message);
  });

  test('the table of proofs has every symbol, what was kept apart', async () => {
    const lake = await lakeOf(
      selectRows([...rowsOfSymbol('B', 2), ...rowsOfSymbol('A', 10, FROM), ...rowsOfSymbol('a', 1)]),
    );
    await importBar(lake.store, FROM + 3);
    await ingestDms(lake.store);
    const table = `${lake.folder}/processing_metadata/dms_import.parquet`;
    expect(await queryDuckDB(`FROM '${table}'`)).toEqual([
      {
        symbol: 'A',
        rows: 10,
        volume: 10_005.625,
        bronze_volume: 9012.25,
        kept: 1,
        kept_volume: 1000.375,
        kept_bronze_volume: 7,
      },
      {
        symbol: 'B',
        rows: 2,
        volume: 2000.125,
        bronze_volume: 2000.125,
        kept: 0,
        kept_volume: 0,
        kept_bronze_volume: 0,
      },
      { symbol: 'a', rows: 1, volume: 1000, bronze_volume: 1000, kept: 0, kept_volume: 0, kept_bronze_volume: 0 },
    ]);
  });
});

describe('a run that ends at any of its writes', () => {
  const prepare = async (): Promise<ObjectStore> => {
    const lake: ExportLake = await lakeOf(
      selectRows(['A', 'B', 'C'].flatMap((symbol) => rowsOfSymbol(symbol, 5, FROM))),
    );
    const store = await copyStore(lake.store, memoryStore());
    await importBar(store, FROM + 3);
    return store;
  };

  test.each(['before', 'after', 'failure'] as const)('(%s) and is made again gives the same lake', async (death) => {
    const begun = await prepare();
    const whole = await copyStore(begun, memoryStore());
    await ingestDms(whole);
    const counted = dyingStore(await copyStore(begun, memoryStore()), { at: 0, death });
    await ingestDms(counted.store);
    expect(counted.writes()).toBe(6);
    for (let at = 1; at <= counted.writes(); at++) {
      const store = await copyStore(begun, memoryStore());
      await ingestDms(dyingStore(store, { at, death }).store).catch(() => undefined);
      expect(await ingestDms(store)).toMatchObject({ landed: 15, kept: 1, failed: [] });
      expect(await contentOf(store)).toEqual(await contentOf(whole));
    }
  });
});
