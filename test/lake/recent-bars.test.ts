import { writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allocateBars, type Bars, sliceBars } from '../../src/bars.ts';
import { ingestCsv } from '../../src/ingest/csv/ingest-csv.ts';
import { encodeUtf8 } from '../../src/lake/columns.ts';
import { consolidateSymbol } from '../../src/lake/consolidate-symbol.ts';
import { readConsolidated } from '../../src/lake/consolidated.ts';
import { fileStore } from '../../src/lake/file-store.ts';
import { dataKey, RECENT_BARS_KEY } from '../../src/lake/keys.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { encodeTable } from '../../src/lake/parquet-encode.ts';
import {
  copyRecent,
  isEndOf,
  RECENT_BARS_SCHEMA,
  RECENT_ROWS,
  type RecentEntry,
  readRecentBars,
  updateRecentBars,
} from '../../src/lake/recent-bars.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { listSymbol } from '../../src/lake/symbol-files.ts';
import { rebuildManifest, verifyBronze } from '../../src/lake/verify-bronze.ts';
import { arbitraryBars } from '../support/arbitrary-bars.ts';
import { queryDuckDB } from '../support/duckdb.ts';
import { keysOf, rowsOf } from '../support/lake-reader.ts';
import { temporaryFolder } from '../support/temporary.ts';

const DIGESTS = ['0123456789abcdef', 'fedcba9876543210'];

function history(length: number, seed = 7): Bars {
  return fc.sample(arbitraryBars({ minLength: length, maxLength: length }), { numRuns: 1, seed })[0]!;
}

function end({ trades: _, ...bars }: Bars): unknown[] {
  return rowsOf(bars).slice(-RECENT_ROWS);
}

/** What there is, as rows by symbol. */
async function read(store: ObjectStore) {
  const { bars, symbols } = await readRecentBars(store);
  return [...symbols].map(([symbol, { from, to, digest }]) => [symbol, digest, rowsOf(sliceBars(bars, from, to))]);
}

const expected = (entries: readonly RecentEntry[]) =>
  entries.map(({ symbol, digest, bars }) => [symbol, digest, end(bars)]);

/** A store that counts what is written. */
function countPuts(store: ObjectStore) {
  const counted = { store, puts: 0 };
  counted.store = {
    ...store,
    put(...call) {
      counted.puts++;
      return store.put(...call);
    },
  };
  return counted;
}

async function importBulk(store: ObjectStore, symbol: string, imported: Bars): Promise<RecentEntry> {
  const { history, recent } = (await consolidateSymbol(store, await listSymbol(store, symbol), { imported }))!;
  return { symbol, digest: history.digest, bars: recent };
}

describe('recent bars', () => {
  test('after any updates are the ends of the last histories of all symbols that are kept', async () => {
    const entry = fc.record({
      symbol: fc.constantFrom('A', 'B', 'BRK', 'BRK.B', 'a'),
      digest: fc.constantFrom(...DIGESTS),
      bars: arbitraryBars({ minLength: 1, maxLength: 80 }),
    });
    const update = fc.record({
      entries: fc.uniqueArray(entry, { maxLength: 4, selector: ({ symbol }) => symbol }),
      gone: fc.option(fc.constantFrom('A', 'BRK', 'a'), { freq: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(update, { minLength: 1, maxLength: 5 }), async (updates) => {
        const store = memoryStore();
        const known = new Map<string, RecentEntry>();
        for (const { entries, gone } of updates) {
          if (gone !== null) known.delete(gone);
          for (const entry of entries) known.set(entry.symbol, entry);
          await updateRecentBars(store, entries, gone === null ? {} : { isKept: (symbol) => symbol !== gone });
          const sorted = [...known.values()].sort((a, b) => (a.symbol < b.symbol ? -1 : 1));
          expect(await read(store)).toEqual(expected(sorted));
        }
      }),
      { numRuns: 60 },
    );
  });

  test('nothing is written where nothing changes; a digest alone is a change', async () => {
    const counted = countPuts(memoryStore());
    const entries = ['A', 'B'].map((symbol) => ({ symbol, digest: DIGESTS[0]!, bars: history(70) }));
    const update = async (changed: readonly RecentEntry[], isKept?: (symbol: string) => boolean) => {
      const before = counted.puts;
      await updateRecentBars(counted.store, changed, { isKept });
      return counted.puts - before;
    };
    expect(await update([])).toBe(0);
    expect(await update(entries)).toBe(1);
    expect(await update(entries)).toBe(0);
    expect(await update(entries.slice(1), () => true)).toBe(0);
    expect(await update([{ ...entries[0]!, bars: sliceBars(history(70), 6, 70) }])).toBe(0);
    expect(await update([{ ...entries[0]!, bars: sliceBars(history(70), 7, 70) }])).toBe(1);
    expect(await update([{ ...entries[0]!, digest: DIGESTS[1]! }])).toBe(1);
    expect(await update([], (symbol) => symbol === 'B')).toBe(1);
    expect((await read(counted.store)).map(([symbol]) => symbol)).toEqual(['B']);
    await counted.store.put(RECENT_BARS_KEY, new Uint8Array(9));
    expect(await update(entries)).toBe(1);
  });

  test('updates at the same time are all kept, from whatever version they begin', async () => {
    const store = memoryStore();
    const base = await readRecentBars(store);
    const entries = ['A', 'B', 'C', 'D', 'E'].map((symbol, i) => {
      return { symbol, digest: DIGESTS[0]!, bars: history(i + 3) };
    });
    await Promise.all(entries.map((entry) => updateRecentBars(store, [entry], { base })));
    expect(await read(store)).toEqual(expected(entries));
  });

  test('an abort stops an update', async () => {
    const signal = AbortSignal.abort(new Error('stop'));
    const store = memoryStore();
    const entries = [{ symbol: 'A', digest: DIGESTS[0]!, bars: history(3) }];
    await expect(updateRecentBars(store, entries, { signal })).rejects.toThrow('stop');
    expect(await keysOf(store)).toEqual([]);
  });

  test('without an object, or of a damaged one, there are none', async () => {
    const store = memoryStore();
    const none = { bars: allocateBars(0), symbols: new Map(), etag: undefined };
    expect(await readRecentBars(store)).toEqual(none);
    const etag = await store.put(RECENT_BARS_KEY, new Uint8Array(100));
    const damage = expect.stringContaining(RECENT_BARS_KEY);
    expect(await readRecentBars(store)).toEqual({ ...none, etag, damage });
  });

  test.each([
    ['symbols out of order', ['B', 'A'], [0, 0], [1, 1]],
    ['a symbol in two places', ['A', 'B', 'A'], [0, 0, 0], [1, 1, 2]],
    ['one symbol of two versions', ['A', 'A'], [0, 1], [1, 2]],
    ['a session twice', ['A', 'A'], [0, 0], [1, 1]],
    ['sessions out of order', ['A', 'A'], [0, 0], [2, 1]],
  ])('%s are damage', async (_, symbols, digests, sessions) => {
    const store = memoryStore();
    const zeros = Array.from({ length: 6 }, () => new Float64Array(symbols.length));
    const strings = [encodeUtf8(symbols), encodeUtf8(digests.map((i) => DIGESTS[i]!))];
    const columns = { length: symbols.length, values: [...strings, Int32Array.from(sessions), ...zeros] };
    await store.put(RECENT_BARS_KEY, encodeTable(RECENT_BARS_SCHEMA, columns).bytes);
    expect(await readRecentBars(store)).toMatchObject({ damage: expect.stringContaining('not one history in order') });
  });

  test('are a copy, without trades', () => {
    const bars = history(70);
    const recent = copyRecent(bars);
    expect(rowsOf(recent)).toEqual(end(bars));
    expect(recent.session.buffer.byteLength).toBe(RECENT_ROWS * 4);
    expect(copyRecent(sliceBars(bars, 0, 5)).session).toEqual(bars.session.slice(0, 5));
  });

  test('rows are the end of a history, or are not', () => {
    const bars = copyRecent(history(9));
    expect(isEndOf({ bars, from: 4, to: 9 }, bars)).toBe(true);
    expect(isEndOf({ bars, from: 4, to: 8 }, bars)).toBe(false);
    expect(isEndOf({ bars, from: 3, to: 9 }, sliceBars(bars, 4, 9))).toBe(false);
    expect(isEndOf({ bars: sliceBars(bars, 2, 9), from: 0, to: 7 }, bars)).toBe(true);
  });

  test('a bulk import of CSV leaves them, and DuckDB reads them', async () => {
    const folder = await temporaryFolder();
    const rows = ['A,2024-01-02,1,2,0.5,1.5,10', 'A,2024-01-03,2,3,1,2,20', 'B,2024-01-03,5,6,4,5,7'];
    await writeFile(`${folder}/bars.csv`, `symbol,date,open,high,low,close,volume\n${rows.join('\n')}\n`);
    const store = fileStore(`${folder}/lake`);
    await ingestCsv(store, [`${folder}/bars.csv`], { consolidated: true });
    const digests = await Promise.all(
      ['A', 'B'].map(async (symbol) => (await readConsolidated(store, symbol))?.digest),
    );
    const found = await queryDuckDB(`FROM '${folder}/lake/${RECENT_BARS_KEY}'`);
    expect(found.map(({ symbol, digest, date, volume, vwap }) => [symbol, digest, date, volume, vwap])).toEqual([
      ['A', digests[0], new Date('2024-01-02'), 10, null],
      ['A', digests[0], new Date('2024-01-03'), 20, null],
      ['B', digests[1], new Date('2024-01-03'), 7, null],
    ]);
  });
});

describe('verify', () => {
  const check = async (store: ObjectStore) => verifyBronze(store, { maxWorkers: 2 });
  const problemsOf = async (store: ObjectStore) =>
    (await check(store)).problems.filter(({ key }) => key === RECENT_BARS_KEY);

  test('takes recent bars that are behind or missing for no problem, and wrong or damaged ones for one it repairs', async () => {
    const store = memoryStore();
    const entries = [await importBulk(store, 'A', history(70)), await importBulk(store, 'B', history(5))];
    expect(await problemsOf(store)).toEqual([]);
    await updateRecentBars(store, entries);
    expect(await problemsOf(store)).toEqual([]);
    const wrong = { ...entries[0]!, bars: sliceBars(history(70), 0, 64) };
    await updateRecentBars(store, [
      { ...wrong, digest: DIGESTS[0]! },
      { ...entries[1]!, symbol: 'GONE' },
    ]);
    expect(await problemsOf(store)).toEqual([]);
    const breakages = [() => updateRecentBars(store, [wrong]), () => store.put(RECENT_BARS_KEY, new Uint8Array(99))];
    for (const breakIt of breakages) {
      await breakIt();
      expect(await problemsOf(store)).toMatchObject([{ kind: 'manifest', key: RECENT_BARS_KEY }]);
      await rebuildManifest(store, (await check(store)).entries, { now: 0 });
      expect(await read(store)).toEqual(expected(entries));
      expect((await check(store)).problems).toEqual([]);
    }
    // Of a symbol that cannot be read nothing can be said.
    await store.put(dataKey('A'), new Uint8Array(9));
    expect(await problemsOf(store)).toEqual([]);
  });
});
