import fc from 'fast-check';
import { parquetReadObjects } from 'hyparquet';
import { describe, expect, test } from 'vitest';
import { fileStore, memoryStore } from '../../src/lake/index.ts';
import { WATERMARKS_KEY } from '../../src/lake/keys.ts';
import { lakeWatermarks, mergeWatermarks } from '../../src/lake/watermarks.ts';
import { sessionFrom } from '../../src/session.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { describeWatermarkContract } from '../support/watermark-contract.ts';

const MARK = { symbol: 'AAPL', lastSession: sessionFrom('2026-03-13'), checkedFrom: -1, checkedThrough: -1 };

describe('watermarks in a lake in memory', () => {
  describeWatermarkContract(async (count) => {
    const store = memoryStore();
    return Array.from({ length: count }, () => lakeWatermarks(store));
  });
});

describe('watermarks in a lake of files', () => {
  describeWatermarkContract(async (count) => {
    const folder = await temporaryFolder();
    return Array.from({ length: count }, () => lakeWatermarks(fileStore(folder)));
  });
});

describe('watermarks in a lake', () => {
  test('are a Parquet file that others read; what is not known is NULL', async () => {
    const store = memoryStore();
    const from = sessionFrom('2026-02-02');
    await lakeWatermarks(store).advance([
      MARK,
      { ...MARK, symbol: 'A', lastSession: -1, checkedFrom: from, checkedThrough: from + 1 },
    ]);
    const file = new Uint8Array((await store.get(WATERMARKS_KEY)).body).buffer;
    const day = (date: string) => new Date(`${date}T00:00:00Z`);
    expect(await parquetReadObjects({ file })).toEqual([
      { symbol: 'A', last_date: null, checked_from: day('2026-02-02'), checked_through: day('2026-02-03') },
      { symbol: 'AAPL', last_date: day('2026-03-13'), checked_from: null, checked_through: null },
    ]);
  });

  test('are not written again where nothing is new', async () => {
    const store = memoryStore();
    await lakeWatermarks(store).advance([MARK]);
    const { etag } = await store.head(WATERMARKS_KEY);
    await lakeWatermarks(store).advance([MARK, { ...MARK, lastSession: MARK.lastSession - 1 }]);
    expect((await store.head(WATERMARKS_KEY)).etag).toBe(etag);
  });

  test.each([
    ['cut short', (body: Uint8Array) => body.slice(0, -20)],
    ['no Parquet', () => new TextEncoder().encode('{}')],
    ['empty', () => new Uint8Array()],
  ])('that are damaged (%s) count as none, and are made anew', async (_, damage) => {
    const store = memoryStore();
    await lakeWatermarks(store).advance([MARK]);
    await store.put(WATERMARKS_KEY, damage((await store.get(WATERMARKS_KEY)).body));
    expect(await lakeWatermarks(store).read()).toEqual(new Map());
    await lakeWatermarks(store).advance([{ ...MARK, symbol: 'MSFT' }]);
    expect([...(await lakeWatermarks(store).read()).keys()]).toEqual(['MSFT']);
  });

  test('are not begun anew where the store does not answer', async () => {
    const store = memoryStore();
    await lakeWatermarks(store).advance([MARK]);
    const { etag } = await store.head(WATERMARKS_KEY);
    const failing = { ...store, get: () => Promise.reject(new Error('no answer')) };
    await expect(lakeWatermarks(failing).read()).rejects.toThrow('no answer');
    await expect(lakeWatermarks(failing).advance([{ ...MARK, symbol: 'MSFT' }])).rejects.toThrow('no answer');
    expect((await store.head(WATERMARKS_KEY)).etag).toBe(etag);
  });
});

test('mergeWatermarks does not depend on the order of two marks, and changes nothing the second time', () => {
  const day = fc.integer({ min: 0, max: 12 });
  const mark = fc.tuple(fc.integer({ min: -1, max: 12 }), fc.option(fc.tuple(day, day))).map(([lastSession, range]) => {
    const [checkedFrom, checkedThrough] = range ? [Math.min(...range), Math.max(...range)] : [-1, -1];
    return { symbol: 'A', lastSession, checkedFrom, checkedThrough };
  });
  fc.assert(
    fc.property(mark, mark, (a, b) => {
      const merged = mergeWatermarks(a, b);
      expect(mergeWatermarks(b, a)).toEqual(merged);
      expect(mergeWatermarks(merged, a).checkedThrough).toBe(merged.checkedThrough);
      expect(mergeWatermarks(merged, merged)).toEqual(merged);
    }),
  );
});
