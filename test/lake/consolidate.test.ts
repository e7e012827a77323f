import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Bars, mergeBars, sliceBars } from '../../src/bars.ts';
import { BatchLayerError } from '../../src/errors.ts';
import { writeDaily } from '../../src/ingest/daily-writer.ts';
import { type ConsolidateOptions, consolidate } from '../../src/lake/consolidate.ts';
import { consolidateSymbol } from '../../src/lake/consolidate-symbol.ts';
import { readConsolidated } from '../../src/lake/consolidated.ts';
import { fileStore } from '../../src/lake/file-store.ts';
import { dailyKey, dataKey, MANIFEST_KEY, RECENT_BARS_KEY } from '../../src/lake/keys.ts';
import { readManifest } from '../../src/lake/manifest.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { readRecentBars } from '../../src/lake/recent-bars.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { listSymbol } from '../../src/lake/symbol-files.ts';
import { sessionFrom } from '../../src/session.ts';
import { arbitraryBars } from '../support/arbitrary-bars.ts';
import { queryDuckDB } from '../support/duckdb.ts';
import { keysOf, readBronze, rowsOf } from '../support/lake-reader.ts';
import { temporaryFolder } from '../support/temporary.ts';

const TODAY = sessionFrom('2024-06-28');
// Nothing is old enough to be deleted unless a test says so.
const keepAll: ConsolidateOptions = { retentionDays: 100_000, now: () => TODAY * 86_400_000 + 72_000_000 };

function history(length: number, last = TODAY): Bars {
  const [bars] = fc.sample(arbitraryBars({ minLength: length, maxLength: length }), { numRuns: 1, seed: 11 });
  return { ...bars!, session: Int32Array.from({ length }, (_, i) => last - length + 1 + i) };
}

function corrected(bars: Bars, i: number): Bars {
  const volume = bars.volume.slice();
  volume[i]! += 1;
  return { ...bars, volume };
}

/** The same store, and the keys that are read from it. */
function watchReads(store: ObjectStore): { readonly watched: ObjectStore; readonly read: readonly string[] } {
  const read: string[] = [];
  const get: ObjectStore['get'] = (key, call) => {
    read.push(key);
    return store.get(key, call);
  };
  return { watched: { ...store, get }, read };
}

async function importBulk(store: ObjectStore, symbol: string, bars: Bars) {
  return consolidateSymbol(store, await listSymbol(store, symbol), { imported: bars });
}

describe('consolidate', () => {
  test('merges daily files of any order into data.parquet and the manifest', async () => {
    const store = memoryStore();
    const bars = history(12);
    for (const [from, to] of [
      [6, 12],
      [0, 3],
      [3, 6],
    ] as const) {
      await writeDaily(store, 'BRK.B', sliceBars(bars, from, to));
      await consolidate(store, keepAll);
    }
    expect(rowsOf((await readBronze(store))['BRK.B']!)).toEqual(rowsOf(bars));
    const entry = (await readManifest(store)).entries.get('BRK.B');
    expect(entry).toMatchObject({
      rows: 12,
      firstSession: bars.session[0],
      lastSession: TODAY,
      updatedAt: keepAll.now!(),
    });
    expect(entry?.etag).toBe((await store.head(dataKey('BRK.B'))).etag);
  });

  test('incremental reads nothing of a symbol that is unchanged, full reads all and writes nothing', async () => {
    const store = memoryStore();
    await writeDaily(store, 'A', history(3));
    await consolidate(store, keepAll);
    const { watched, read } = watchReads(store);
    expect(await consolidate(watched, keepAll)).toMatchObject({ written: 0, unchanged: 1, dailyFilesApplied: 0 });
    expect(read).toEqual([MANIFEST_KEY]);
    expect(await consolidate(watched, { ...keepAll, mode: 'full' })).toMatchObject({ written: 0, unchanged: 1 });
    expect(read).toContain(dataKey('A'));
  });

  test('reads a new daily file and none that is applied already', async () => {
    const store = memoryStore();
    const bars = history(4);
    await writeDaily(store, 'A', sliceBars(bars, 0, 3));
    await consolidate(store, keepAll);
    await writeDaily(store, 'A', sliceBars(bars, 3, 4));
    const { watched, read } = watchReads(store);
    expect(await consolidate(watched, keepAll)).toMatchObject({ written: 1, dailyFilesApplied: 1 });
    expect(read.filter((key) => key.includes('date='))).toEqual([dailyKey('A', TODAY)]);
  });

  test('a corrected daily file replaces its session; each version tells what the one before it was', async () => {
    const store = memoryStore();
    const bars = history(5);
    await writeDaily(store, 'A', sliceBars(bars, 0, 4));
    await consolidate(store, keepAll);
    await writeDaily(store, 'A', sliceBars(bars, 4, 5));
    await consolidate(store, keepAll);
    const appended = (await readConsolidated(store, 'A'))!;
    expect(appended.changes).toEqual([{ of: expect.any(String), rows: 4, from: bars.session[4] }]);
    expect((await readManifest(store)).entries.get('A')?.appendedTo).toEqual([appended.changes[0]?.of]);
    const other = corrected(bars, 2);
    await writeDaily(store, 'A', sliceBars(other, 2, 3));
    await consolidate(store, keepAll);
    const found = await readConsolidated(store, 'A');
    expect(found?.changes).toEqual([...appended.changes, { of: appended.digest, rows: 5, from: bars.session[2] }]);
    expect((await readManifest(store)).entries.get('A')?.appendedTo).toEqual([]);
    expect(rowsOf(found!.bars)).toEqual(rowsOf(other));
  });

  test('a bulk import wins over daily files applied before it, and over those that were still waiting', async () => {
    const store = memoryStore();
    const bars = history(6);
    const better = corrected(corrected(bars, 1), 4);
    await writeDaily(store, 'A', sliceBars(bars, 0, 3));
    await consolidate(store, keepAll);
    await writeDaily(store, 'A', sliceBars(bars, 3, 6));
    await importBulk(store, 'A', better);
    await consolidate(store, { ...keepAll, mode: 'full' });
    expect(rowsOf((await readBronze(store)).A!)).toEqual(rowsOf(better));
  });

  test('a daily file that comes after a bulk import wins for its session', async () => {
    const store = memoryStore();
    const bars = history(6);
    await importBulk(store, 'A', bars);
    const better = corrected(bars, 2);
    await writeDaily(store, 'A', sliceBars(better, 2, 3));
    await consolidate(store, keepAll);
    expect(rowsOf((await readBronze(store)).A!)).toEqual(rowsOf(better));
  });

  test('any order of daily files, imports and runs gives the union, the latest of each session winning', async () => {
    const step = fc.record({
      how: fc.constantFrom('daily', 'import', 'consolidate', 'full'),
      from: fc.nat(9),
      length: fc.integer({ min: 1, max: 6 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), fc.nat(20), async (steps, retentionDays) => {
        const store = memoryStore();
        const options = { ...keepAll, retentionDays };
        let expected: Bars | undefined;
        for (const [i, { how, from, length }] of steps.entries()) {
          if (how === 'consolidate' || how === 'full') {
            await consolidate(store, { ...options, mode: how === 'full' ? 'full' : 'incremental' });
            continue;
          }
          // Bars that no step before had: a bar that its daily file has already is no news, and undoes no import.
          const all = { ...history(10), trades: new Int32Array(10).fill(i) };
          const part = sliceBars(all, from, Math.min(10, from + length));
          if (how === 'daily') await writeDaily(store, 'A', part);
          else await importBulk(store, 'A', part);
          expected = expected ? mergeBars(expected, part) : part;
        }
        await consolidate(store, options);
        expect(rowsOf((await readBronze(store)).A ?? history(0))).toEqual(rowsOf(expected ?? history(0)));
      }),
      { numRuns: 150 },
    );
  });

  test('a create that comes again, after its file was applied and deleted, undoes no correction', async () => {
    const store = memoryStore();
    const bars = history(3);
    const clean = { ...keepAll, retentionDays: 0 };
    const key = dailyKey('A', bars.session[0]!);
    await writeDaily(store, 'A', bars);
    const { body } = await store.get(key);
    await consolidate(store, clean);
    const better = corrected(bars, 0);
    await writeDaily(store, 'A', sliceBars(better, 0, 1));
    await consolidate(store, clean);
    await store.put(key, body, { ifNoneMatch: '*' });
    expect(await consolidate(store, clean)).toMatchObject({ written: 0, dailyFilesDeleted: 1 });
    expect(rowsOf((await readBronze(store)).A!)).toEqual(rowsOf(better));
  });

  test('a listing older than data.parquet makes nothing forgotten that was applied meanwhile', async () => {
    const store = memoryStore();
    const bars = history(3);
    const today = TODAY;
    await writeDaily(store, 'A', sliceBars(bars, 1, 3));
    const before = await listSymbol(store, 'A');
    await writeDaily(store, 'A', sliceBars(bars, 0, 1));
    await consolidateSymbol(store, await listSymbol(store, 'A'), { today });
    const better = corrected(corrected(bars, 0), 1);
    await consolidateSymbol(store, before, { imported: better, retainFrom: TODAY, today });
    await consolidate(store, keepAll);
    expect(rowsOf((await readBronze(store)).A!)).toEqual(rowsOf(better));
  });

  test('what was applied is forgotten some days after its file is gone', async () => {
    const store = memoryStore();
    const day = (n: number) => ({ ...keepAll, retentionDays: 0, now: () => keepAll.now!() + n * 86_400_000 });
    const bars = history(3);
    await writeDaily(store, 'A', sliceBars(bars, 0, 2));
    await consolidate(store, day(0));
    expect((await readConsolidated(store, 'A'))?.applied.size).toBe(2);
    await writeDaily(store, 'A', sliceBars(bars, 2, 3));
    await consolidate(store, day(5));
    expect([...(await readConsolidated(store, 'A'))!.applied.keys()]).toEqual([TODAY]);
  });

  test('a bar that its daily file gets again, after another one, is the latest', async () => {
    const store = memoryStore();
    const bars = history(1);
    await writeDaily(store, 'A', bars);
    await importBulk(store, 'A', corrected(bars, 0));
    await writeDaily(store, 'A', corrected(corrected(bars, 0), 0));
    await writeDaily(store, 'A', bars);
    await consolidate(store, keepAll);
    expect(rowsOf((await readBronze(store)).A!)).toEqual(rowsOf(bars));
  });

  test('deletes daily files older than the retention, once they are applied', async () => {
    const store = memoryStore();
    await writeDaily(store, 'A', history(40));
    const result = await consolidate(store, { ...keepAll, retentionDays: 30 });
    expect(result).toMatchObject({ dailyFilesApplied: 40, dailyFilesDeleted: 9 });
    expect(await keysOf(store, 'bronze/')).toHaveLength(32);
    expect(rowsOf((await readBronze(store)).A!)).toHaveLength(40);
    expect(await consolidate(store, { ...keepAll, retentionDays: 30 })).toMatchObject({
      unchanged: 1,
      dailyFilesDeleted: 0,
    });
  });

  test('what was committed counts, also where old daily files could not be deleted', async () => {
    const store = memoryStore();
    await writeDaily(store, 'A', history(40));
    const broken: ObjectStore = {
      ...store,
      deleteAll: async (deletions) => deletions.map(({ key }) => new BatchLayerError('Unavailable', key)),
    };
    const result = await consolidate(broken, { ...keepAll, retentionDays: 30 });
    expect(result).toMatchObject({ written: 1, dailyFilesApplied: 40, dailyFilesDeleted: 0 });
    expect(result.failed).toMatchObject([{ symbol: 'A', code: 'Unavailable' }]);
    expect((await readManifest(store)).entries.get('A')?.rows).toBe(40);
  });

  test('does not delete a daily file that was corrected after it was read', async () => {
    const store = memoryStore();
    const bars = history(3, TODAY - 100);
    await writeDaily(store, 'A', bars);
    const late: ObjectStore = {
      ...store,
      async put(key, body, call) {
        const etag = await store.put(key, body, call);
        if (key === dataKey('A')) await writeDaily(store, 'A', sliceBars(corrected(bars, 1), 1, 2));
        return etag;
      },
    };
    expect(await consolidate(late, { ...keepAll, retentionDays: 30 })).toMatchObject({ dailyFilesDeleted: 2 });
    await consolidate(store, { ...keepAll, retentionDays: 30 });
    expect(rowsOf((await readBronze(store)).A!)).toEqual(rowsOf(corrected(bars, 1)));
  });

  test('two runs and a late ingester at the same time lose nothing', async () => {
    for (let round = 0; round < 20; round++) {
      const store = memoryStore();
      const bars = history(30);
      await writeDaily(store, 'A', sliceBars(bars, 0, 20));
      const runs = [0, 1].map(() => consolidate(store, { ...keepAll, retentionDays: 15 }));
      await Promise.all([...runs, writeDaily(store, 'A', sliceBars(bars, 20, 30))]);
      await consolidate(store, { ...keepAll, retentionDays: 15 });
      expect(rowsOf((await readBronze(store)).A!)).toEqual(rowsOf(bars));
    }
  });

  test('a damaged file fails its symbol, with its key, and the others go on', async () => {
    const store = memoryStore();
    for (const symbol of ['A', 'B', 'C']) await writeDaily(store, symbol, history(3));
    await store.put(dailyKey('B', TODAY), new Uint8Array(100));
    const result = await consolidate(store, keepAll);
    expect(result).toMatchObject({ written: 2, failed: [{ symbol: 'B', code: 'CorruptObject' }] });
    expect(result.failed[0]!.message).toContain(dailyKey('B', TODAY));
    expect(Object.keys(await readBronze(store))).toEqual(['A', 'C']);
    expect(await keysOf(store, 'bronze/raw_ohlcv/symbol=B/')).toHaveLength(3);
  });

  test('a daily file under the key of another date is damage', async () => {
    const store = memoryStore();
    await writeDaily(store, 'A', history(2));
    await store.put(dailyKey('A', TODAY), (await store.get(dailyKey('A', TODAY - 1))).body);
    expect((await consolidate(store, keepAll)).failed).toMatchObject([{ code: 'CorruptObject' }]);
  });

  test('a damaged manifest is rebuilt from the objects; full drops symbols that are gone', async () => {
    const store = memoryStore();
    await writeDaily(store, 'A', history(3));
    await writeDaily(store, 'B', history(3));
    await consolidate(store, keepAll);
    await store.put(MANIFEST_KEY, new Uint8Array(10));
    expect((await consolidate(store, keepAll)).warnings).toEqual([expect.stringContaining(MANIFEST_KEY)]);
    expect([...(await readManifest(store)).entries.keys()]).toEqual(['A', 'B']);
    for (const key of await keysOf(store, 'bronze/raw_ohlcv/symbol=B/')) await store.delete(key);
    await consolidate(store, { ...keepAll, mode: 'full' });
    expect([...(await readManifest(store)).entries.keys()]).toEqual(['A']);
  });

  test('recent bars are the end of every history, and full puts them right', async () => {
    const store = memoryStore();
    const bars = history(70);
    await importBulk(store, 'A', bars);
    await writeDaily(store, 'B', history(3));
    await consolidate(store, keepAll);
    const ends = async () => {
      const { bars, symbols } = await readRecentBars(store);
      return [...symbols].map(([symbol, { from, to, digest }]) => [symbol, digest, bars.session.slice(from, to)]);
    };
    const digestOf = async (symbol: string) => (await readConsolidated(store, symbol))?.digest;
    const expected = async () => [
      ['A', await digestOf('A'), bars.session.slice(6)],
      ['B', await digestOf('B'), history(3).session],
    ];
    expect(await ends()).toEqual(await expected());
    await writeDaily(store, 'A', sliceBars(corrected(bars, 69), 69, 70));
    await consolidate(store, keepAll);
    expect(await ends()).toEqual(await expected());
    for (const key of await keysOf(store, 'bronze/raw_ohlcv/symbol=B/')) await store.delete(key);
    await store.put(RECENT_BARS_KEY, new Uint8Array(10));
    await consolidate(store, { ...keepAll, mode: 'full' });
    expect(await ends()).toEqual((await expected()).slice(0, 1));
  });

  test('the manifest is read by DuckDB with the columns the mission names', async () => {
    const folder = await temporaryFolder();
    const store = fileStore(folder);
    await writeDaily(store, 'A', history(3));
    await consolidate(store, keepAll);
    const [row] = await queryDuckDB(`FROM '${folder}/${MANIFEST_KEY}'`);
    expect(row).toMatchObject({ symbol: 'A', last_consolidated_date: new Date('2024-06-28'), row_count: 3 });
    expect(row!.last_updated).toEqual(new Date(keepAll.now!()));
  });

  test('only the symbols asked for; one that is not there fails', async () => {
    const store = memoryStore();
    for (const symbol of ['A', 'B']) await writeDaily(store, symbol, history(3));
    const result = await consolidate(store, { ...keepAll, symbols: ['B', 'NONE'] });
    expect(result).toMatchObject({ written: 1, failed: [{ symbol: 'NONE', code: 'NotFound' }] });
    expect(Object.keys(await readBronze(store))).toEqual(['B']);
  });

  test.each([{ maxWorkers: 0 }, { retentionDays: -1 }, { symbols: ['../x'] }])('refuses %j', async (options) => {
    await expect(consolidate(memoryStore(), options)).rejects.toMatchObject({ code: 'BadInput' });
  });
});
