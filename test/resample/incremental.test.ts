import fc from 'fast-check';
import { parquetReadObjects } from 'hyparquet';
import { describe, expect, test } from 'vitest';
import { type Bars, sliceBars } from '../../src/bars.ts';
import { writeDaily } from '../../src/ingest/daily-writer.ts';
import { consolidate } from '../../src/lake/consolidate.ts';
import { consolidateSymbol } from '../../src/lake/consolidate-symbol.ts';
import { checkpointKey, dataKey, MANIFEST_KEY, RECENT_BARS_KEY, silverKey, silverPrefix } from '../../src/lake/keys.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { listSymbol } from '../../src/lake/symbol-files.ts';
import { resample } from '../../src/resample/resample.ts';
import { verify } from '../../src/resample/verify.ts';
import { syntheticMarket } from '../../src/runtime/synthetic-market.ts';
import { monthOf, sessionFrom } from '../../src/session.ts';
import { contentEtags } from '../harness/content-etags.ts';
import { IS_SOAK } from '../harness/seeds.ts';
import { arbitraryEvents, EVENT_INTERVALS, eventfulLake, type LakeEvent } from '../support/lake-events.ts';
import { keysOf, silverDigests } from '../support/lake-reader.ts';

// The soak looks for new histories; `npm test` is the same every time.
const { INCREMENTAL_RUNS, INCREMENTAL_SEED: seed = IS_SOAK ? undefined : '4' } = process.env;
const RUNS = Number(INCREMENTAL_RUNS ?? (IS_SOAK ? 20_000 : 300));

const append: LakeEvent = { kind: 'append', way: 'daily', stays: 0, bars: 1, gap: 1 };
const [begin, run, gone]: readonly LakeEvent[] = [
  { kind: 'begin', symbol: 'BRK', at: 0, bars: 12 },
  { kind: 'resample', options: {}, crashAt: 1000 },
  { kind: 'gone', symbol: 'BRK' },
];
/** Histories that once went wrong. */
const REGRESSIONS: readonly (readonly LakeEvent[])[] = [
  // Only the checkpoints of other intervals knew the symbol that was gone.
  [begin!, run!, gone!, { kind: 'damage', what: 'checkpoint', how: 'delete', at: 0 }],
  [begin!, run!, gone!, { kind: 'resample', options: { lookbackMonths: 1, intervals: [2] }, crashAt: 1000 }],
  // Of what was put back, and then grew otherwise, the history was taken to be that of before.
  [begin!, run!, append, run!, { kind: 'restore', symbol: 'BRK', at: 0 }, append],
  // Recent bars of a version that is no longer there.
  [
    { kind: 'begin', symbol: 'BRK', at: 0, bars: 80 },
    append,
    run!,
    append,
    append,
    { kind: 'damage', what: 'index', how: 'older', at: 1 },
  ],
];

describe('an incremental run', () => {
  test(`after any history of a lake, silver is that of a full rebuild: same keys, same digests (${RUNS} histories)`, async () => {
    const property = fc.asyncProperty(arbitraryEvents, fc.boolean(), async (events, isByContent) => {
      const { store, play } = eventfulLake(isByContent ? contentEtags(memoryStore()) : memoryStore());
      for (const event of events) await play(event);
      const { failed } = await resample(store, { intervals: EVENT_INTERVALS });
      expect(failed).toEqual([]);
      const fresh = memoryStore();
      for (const key of await keysOf(store, 'bronze/')) await fresh.put(key, (await store.get(key)).body);
      await resample(fresh, { intervals: EVENT_INTERVALS, forceFull: true });
      expect(await silverDigests(store)).toEqual(await silverDigests(fresh));
      const { problems } = await verify(store);
      expect(problems.filter(({ kind, key }) => kind === 'checkpoint' || key.startsWith('silver/'))).toEqual([]);
      const again = await resample(store, { intervals: EVENT_INTERVALS });
      for (const interval of again.intervals) expect(interval).toMatchObject({ filesWritten: 0, filesDeferred: 0 });
    });
    await fc.assert(property, {
      numRuns: RUNS,
      examples: REGRESSIONS.map((events) => [events, false]),
      ...(seed === undefined ? {} : { seed: Number(seed) }),
    });
  });

  test('fills an open group up in the month file of its first session, and begins the next one in another', async () => {
    const days = ['2024-01-30', '2024-01-31', '2024-02-01', '2024-02-02', '2024-02-05', '2024-02-06'];
    const bars: Bars = {
      session: Int32Array.from(days, sessionFrom),
      open: Float64Array.of(10, 11, 12, 13, 14, 15),
      high: Float64Array.of(12, 19, 14, 15, 16, 17),
      low: Float64Array.of(9, 8, 11, 7, 13, 14),
      close: Float64Array.of(11, 12, 13, 14, 15, 16),
      volume: Float64Array.of(1, 2, 4, 8, 16, 32),
    };
    const [january, february] = ['2024-01-30', '2024-02-06'].map((day) => silverKey(5, monthOf(sessionFrom(day))));
    const store = memoryStore();
    const states = [];
    for (let i = 0; i < days.length; i++) {
      await writeDaily(store, 'A', sliceBars(bars, i, i + 1));
      await consolidate(store, { retentionDays: 100_000 });
      await resample(store, { intervals: [5] });
      const [row] = await rowsOfFile(store, january!);
      states.push([row?.end_date, row?.high, row?.low, row?.close, row?.volume, row?.bars, row?.complete]);
    }
    const day = (date: string) => new Date(`${date}T00:00:00Z`);
    expect(states).toEqual([
      [day('2024-01-30'), 12, 9, 11, 1, 1, false],
      [day('2024-01-31'), 19, 8, 12, 3, 2, false],
      [day('2024-02-01'), 19, 8, 13, 7, 3, false],
      [day('2024-02-02'), 19, 7, 14, 15, 4, false],
      [day('2024-02-05'), 19, 7, 15, 31, 5, true],
      [day('2024-02-05'), 19, 7, 15, 31, 5, true],
    ]);
    expect(await keysOf(store, 'silver/')).toEqual([january, february]);
    expect(await rowsOfFile(store, february!)).toMatchObject([{ date: day('2024-02-06'), bars: 1, complete: false }]);
  });

  test('after one new session for all reads no data.parquet, lists each folder once and rewrites the last months only', async () => {
    const intervals = [3, 34];
    const store = memoryStore();
    const concerned = new Set<string>();
    const next = sessionFrom('2024-05-31');
    const histories = [...syntheticMarket({ symbols: 50, bars: 25_000, longest: 900, lastDate: '2024-05-30' })];
    for (const { symbol, bars } of histories) {
      await consolidateSymbol(store, await listSymbol(store, symbol), { imported: bars });
    }
    await consolidate(store, { retentionDays: 100_000 });
    const before = await resample(store, { intervals });
    for (const { symbol, bars } of histories) {
      const rows = bars.session.length;
      await writeDaily(store, symbol, { ...sliceBars(bars, rows - 1, rows), session: Int32Array.of(next) });
      for (const n of intervals) concerned.add(silverKey(n, monthOf([...bars.session, next][rows - (rows % n)]!)));
    }
    await consolidate(store, { retentionDays: 100_000 });
    const { asked, counting } = countRequests(store);
    const result = await resample(counting, { intervals });
    expect(result).toMatchObject({ symbols: 50, changed: 50, bars: 25_050, lastDate: '2024-05-31', failed: [] });
    const month = /^silver\/.*\.parquet$/;
    expect(asked('get').filter((key) => !month.test(key))).toEqual(
      [MANIFEST_KEY, RECENT_BARS_KEY, ...intervals.map((n) => checkpointKey(n))].sort(),
    );
    expect(asked('list')).toEqual(['bronze/raw_ohlcv/', ...intervals.map(silverPrefix)].sort());
    expect(asked('put').filter((key) => month.test(key))).toEqual([...concerned].sort());
    expect(
      asked('get')
        .filter((key) => month.test(key))
        .every((key) => concerned.has(key)),
    ).toBe(true);
    expect([...asked('head'), ...asked('getRange')]).toEqual([]);
    const files = before.intervals.reduce((sum, { filesWritten }) => sum + filesWritten, 0);
    expect(concerned.size).toBeLessThan(files / 4);
    expect(await keysOf(store, dataKey('AAAA'))).toHaveLength(1);
  });
});

async function rowsOfFile(store: ObjectStore, key: string): Promise<Record<string, unknown>[]> {
  return parquetReadObjects({ file: new Uint8Array((await store.get(key)).body).buffer });
}

/** A store that tells which keys were asked for, sorted. */
function countRequests(store: ObjectStore) {
  const requests: [string, string][] = [];
  const note = <T>(kind: string, key: string, work: T): T => {
    requests.push([kind, key]);
    return work;
  };
  const counting: ObjectStore = {
    ...store,
    get: (key, call) => note('get', key, store.get(key, call)),
    getRange: (key, call) => note('getRange', key, store.getRange(key, call)),
    head: (key, call) => note('head', key, store.head(key, call)),
    put: (key, body, call) => note('put', key, store.put(key, body, call)),
    list: (prefix, call) => note('list', prefix, store.list(prefix, call)),
  };
  const asked = (kind: string) =>
    requests
      .filter(([other]) => other === kind)
      .map(([, key]) => key)
      .sort();
  return { counting, asked };
}
