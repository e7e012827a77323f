import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Bars, sliceBars } from '../../src/bars.ts';
import { BatchLayerError } from '../../src/errors.ts';
import { writeDaily } from '../../src/ingest/daily-writer.ts';
import { columnOf, decodeUtf8, type Utf8Values } from '../../src/lake/columns.ts';
import { consolidate } from '../../src/lake/consolidate.ts';
import { CLEANUP_PREFIX, dailyKey, dataKey } from '../../src/lake/keys.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { decodeTable } from '../../src/lake/parquet-decode.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { CLEANUP_SCHEMA, type VacuumOptions, vacuum } from '../../src/lake/vacuum.ts';
import { sessionFrom } from '../../src/session.ts';
import { arbitraryBars } from '../support/arbitrary-bars.ts';
import { keysOf, readBronze, rowsOf } from '../support/lake-reader.ts';

const TODAY = sessionFrom('2024-06-28');
const now = () => TODAY * 86_400_000 + 72_000_000;
const options: VacuumOptions = { retentionDays: 5, now };
const keepAll = { retentionDays: 100_000, now };

function history(length: number): Bars {
  const [bars] = fc.sample(arbitraryBars({ minLength: length, maxLength: length }), { numRuns: 1, seed: 11 });
  return { ...bars!, session: Int32Array.from({ length }, (_, i) => TODAY - length + 1 + i) };
}

async function lakeOf(...symbols: readonly string[]): Promise<ObjectStore> {
  const store = memoryStore();
  for (const symbol of symbols) await writeDaily(store, symbol, history(10));
  return store;
}

describe('vacuum', () => {
  test('tells what it would delete, and changes nothing, unless it is to apply', async () => {
    const store = await lakeOf('A', 'B');
    await consolidate(store, keepAll);
    const before = await keysOf(store);
    const plan = await vacuum(store, options);
    expect(plan).toMatchObject({ applied: false, symbols: 2, files: 8, deleted: 0, manifests: [], failed: [] });
    expect(plan.kept).toEqual({ recent: 12, unconsolidated: 0, unproven: 0 });
    expect(plan.keys).toEqual(
      [0, 1, 2, 3, 10, 11, 12, 13].map((i) => before.filter((key) => key.includes('date='))[i]),
    );
    expect(await keysOf(store)).toEqual(before);
  });

  test('deletes what data.parquet has applied, and records it first', async () => {
    const store = await lakeOf('A', 'B');
    await consolidate(store, keepAll);
    const bronze = await readBronze(store);
    const { keys, manifests, deleted } = await vacuum(store, { ...options, apply: true });
    expect(deleted).toBe(8);
    const left = await keysOf(store);
    expect(left.filter((key) => keys.includes(key))).toEqual([]);
    expect(left.filter((key) => key.includes('date='))).toHaveLength(12);
    expect(left.filter((key) => key.startsWith(CLEANUP_PREFIX))).toEqual(manifests);
    const { columns } = decodeTable(CLEANUP_SCHEMA, (await store.get(manifests[0]!)).body, manifests[0]!);
    const symbols = decodeUtf8(columnOf<Utf8Values>(CLEANUP_SCHEMA, columns, 'symbol'));
    const dates = columnOf<Int32Array>(CLEANUP_SCHEMA, columns, 'date');
    expect(symbols.map((symbol, i) => dailyKey(symbol, dates[i]!))).toEqual(keys);
    for (const [symbol, bars] of Object.entries(await readBronze(store))) {
      expect(rowsOf(bars)).toEqual(rowsOf(bronze[symbol]!));
    }
    expect(await vacuum(store, { ...options, apply: true })).toMatchObject({ files: 0, deleted: 0, manifests: [] });
  });

  test('keeps what is not proven: no data.parquet, a bar or a correction that is not applied yet', async () => {
    const store = await lakeOf('A', 'NEW');
    await consolidate(store, { ...keepAll, symbols: ['A'] });
    const correction = { ...history(10), volume: history(10).volume.map((volume) => volume + 1) };
    await writeDaily(store, 'A', sliceBars(correction, 1, 2));
    const { deleted, kept } = await vacuum(store, { ...options, apply: true });
    expect(deleted).toBe(3);
    expect(kept).toEqual({ recent: 12, unconsolidated: 4, unproven: 1 });
    expect(await keysOf(store)).toContain(dailyKey('A', TODAY - 8));
    await consolidate(store, keepAll);
    expect((await readBronze(store)).A!.volume[1]).toBe(correction.volume[1]);
  });

  test('keeps a file that is corrected between the plan and the deletion', async () => {
    const store = await lakeOf('A');
    await consolidate(store, keepAll);
    const key = dailyKey('A', TODAY - 9);
    const correction = { ...history(10), volume: history(10).volume.map((volume) => volume + 1) };
    const racing: ObjectStore = {
      ...store,
      async deleteAll(deletions, call) {
        await writeDaily(store, 'A', sliceBars(correction, 0, 1));
        return store.deleteAll(deletions, call);
      },
    };
    expect(await vacuum(racing, { ...options, apply: true })).toMatchObject({ files: 4, deleted: 3, failed: [] });
    expect(await keysOf(store)).toContain(key);
  });

  test('knows files of a copied lake, whose etags are others, by their content', async () => {
    const source = await lakeOf('A');
    await consolidate(source, keepAll);
    const copy = memoryStore();
    for (const key of (await keysOf(source)).reverse()) await copy.put(key, (await source.get(key)).body);
    expect(await vacuum(copy, options)).toMatchObject({ files: 4, kept: { unproven: 0 } });
  });

  test('reports a symbol that is damaged, and goes on with the others', async () => {
    const store = await lakeOf('A', 'B');
    await consolidate(store, keepAll);
    await store.put(dataKey('A'), new TextEncoder().encode('PAR1 no more'));
    const { failed, deleted } = await vacuum(store, { ...options, apply: true, symbols: ['A', 'B'] });
    expect(failed).toMatchObject([{ symbol: 'A', code: 'CorruptObject' }]);
    expect(deleted).toBe(4);
  });

  test('reports files that cannot be deleted, and symbols that are not there, and goes on', async () => {
    const store = await lakeOf('A', 'B');
    await consolidate(store, keepAll);
    const broken: ObjectStore = {
      ...store,
      async deleteAll(deletions, call) {
        const failing = deletions.filter(({ key }) => key.includes('=A/'));
        await store.deleteAll(
          deletions.filter((one) => !failing.includes(one)),
          call,
        );
        return deletions.map((one) =>
          failing.includes(one) ? new BatchLayerError('Unavailable', one.key) : undefined,
        );
      },
    };
    const result = await vacuum(broken, { ...options, apply: true, symbols: ['A', 'B', 'a'] });
    expect(result).toMatchObject({ symbols: 3, files: 8, deleted: 4 });
    expect(result.failed.map(({ symbol, code }) => [symbol, code])).toEqual([
      ['a', 'NotFound'],
      ['A', 'Unavailable'],
    ]);
  });

  test.each([{ retentionDays: -1 }, { maxWorkers: 0 }, { symbols: ['a/b'] }])('refuses %j', async (wrong) => {
    await expect(vacuum(memoryStore(), wrong)).rejects.toMatchObject({ code: 'BadInput' });
  });
});
