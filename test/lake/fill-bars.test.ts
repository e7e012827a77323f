import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allocateBars, type Bars, mergeBars, sliceBars } from '../../src/bars.ts';
import { writeDaily } from '../../src/ingest/daily-writer.ts';
import { consolidate } from '../../src/lake/consolidate.ts';
import { consolidateSymbol } from '../../src/lake/consolidate-symbol.ts';
import { differs, fillBars } from '../../src/lake/fill-bars.ts';
import { dataKey } from '../../src/lake/keys.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { listSymbol } from '../../src/lake/symbol-files.ts';
import { arbitraryBars } from '../support/arbitrary-bars.ts';
import { readBronze, rowsOf } from '../support/lake-reader.ts';

const TODAY = 20_000;
const NOW = TODAY * 86_400_000 + 72_000_000;

/** Bars of some of twelve sessions, of few values: they meet often. */
const someBars = fc
  .uniqueArray(fc.tuple(fc.integer({ min: 0, max: 11 }), fc.integer({ min: 1, max: 3 })), {
    minLength: 1,
    maxLength: 6,
    selector: ([session]) => session,
  })
  .map((rows): Bars => {
    const bars = allocateBars(rows.length);
    [...rows]
      .sort(([a], [b]) => a - b)
      .forEach(([session, value], i) => {
        bars.session[i] = TODAY - 11 + session;
        for (const name of ['open', 'high', 'low', 'close', 'volume'] as const) bars[name][i] = value;
      });
    return bars;
  });

async function fill(store: ObjectStore, filled: Bars) {
  return consolidateSymbol(store, await listSymbol(store, 'A'), { filled, today: TODAY });
}

describe('fillBars', () => {
  test('what is there stays, and of the rest what is filled in: older bars, in one word', () => {
    fc.assert(
      fc.property(arbitraryBars(), arbitraryBars(), (bars, filled) => {
        const result = fillBars(bars, filled);
        expect(rowsOf(result.bars)).toEqual(rowsOf(mergeBars(filled, bars)));
        const known = new Map([...bars.session].map((session, i) => [session, i]));
        const others = [...filled.session].filter((session, i) => {
          const at = known.get(session);
          return at !== undefined && differs(filled, i, bars, at);
        });
        expect([...result.kept]).toEqual(others);
      }),
      { numRuns: 200, seed: 3 },
    );
  });

  test('a vwap or number of trades that is absent is no difference, another one is', () => {
    const plain = { ...allocateBars(1), session: Int32Array.of(7) };
    const more = { ...plain, vwap: Float64Array.of(10), trades: Int32Array.of(5) };
    expect([...fillBars(more, plain).kept]).toEqual([]);
    expect([...fillBars(plain, more).kept]).toEqual([7]);
    expect([...fillBars(more, { ...more, vwap: Float64Array.of(11) }).kept]).toEqual([7]);
    expect([...fillBars(more, { ...more, trades: Int32Array.of(6) }).kept]).toEqual([7]);
    expect([...fillBars(more, { ...more, trades: Int32Array.of(-1) }).kept]).toEqual([]);
    expect(fillBars(more, plain).bars).toBe(more);
  });
});

describe('consolidateSymbol with bars to fill in', () => {
  test('whenever it runs, the bars are those of a lake that was filled before all else', async () => {
    const event = fc.record({ kind: fc.constantFrom('daily', 'import', 'consolidate'), bars: someBars });
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 6 }), someBars, fc.nat(6), async (events, old, at) => {
        const run = async (fillAt: readonly number[]): Promise<ObjectStore> => {
          const store = memoryStore();
          for (let i = 0; i <= events.length; i++) {
            if (fillAt.includes(i)) await fill(store, old);
            const { kind, bars } = events[i] ?? { kind: 'consolidate', bars: old };
            if (kind === 'daily') await writeDaily(store, 'A', bars);
            else if (kind === 'import') {
              await consolidateSymbol(store, await listSymbol(store, 'A'), { imported: bars, today: TODAY });
            } else await consolidate(store, { now: () => NOW, retentionDays: 4 });
          }
          return store;
        };
        const [first, later] = [await run([0]), await run([Math.min(at, events.length), events.length])];
        expect(rowsOf((await readBronze(later)).A!)).toEqual(rowsOf((await readBronze(first)).A!));
      }),
      { numRuns: 150, seed: 17 },
    );
  });

  test('applies daily files on the way, which win, and tells what was kept', async () => {
    const [store, [bars]] = [
      memoryStore(),
      fc.sample(arbitraryBars({ minLength: 5, maxLength: 5 }), { numRuns: 1, seed: 2 }),
    ];
    const other: Bars = { ...bars!, volume: bars!.volume.map((volume) => volume + 1) };
    await consolidateSymbol(store, await listSymbol(store, 'A'), { imported: sliceBars(other, 0, 1) });
    await writeDaily(store, 'A', sliceBars(other, 2, 3));
    const result = await fill(store, bars!);
    expect(result).toMatchObject({ written: true, applied: 1, history: { rows: 5 } });
    expect([...result!.kept]).toEqual([bars!.session[0], bars!.session[2]]);
    expect([...(await readBronze(store)).A!.volume]).toEqual(
      [0, 1, 2, 3, 4].map((i) => bars!.volume[i]! + (i % 2 === 0 && i < 4 ? 1 : 0)),
    );
    const again = await fill(store, bars!);
    expect(again).toMatchObject({ written: false, applied: 0, etag: result!.etag });
    expect(again!.kept).toEqual(result!.kept);
  });

  test('a writer that is faster keeps its bar', async () => {
    const [store, [bars]] = [
      memoryStore(),
      fc.sample(arbitraryBars({ minLength: 3, maxLength: 3 }), { numRuns: 1, seed: 5 }),
    ];
    const other: Bars = { ...bars!, volume: bars!.volume.map((volume) => volume + 1) };
    let isOver = false;
    const raced: ObjectStore = {
      ...store,
      async put(key, body, call) {
        if (key === dataKey('A') && !isOver) {
          isOver = true;
          await consolidateSymbol(store, await listSymbol(store, 'A'), { imported: sliceBars(other, 1, 2) });
        }
        return store.put(key, body, call);
      },
    };
    const result = await fill(raced, bars!);
    expect([...result!.kept]).toEqual([bars!.session[1]]);
    expect([...(await readBronze(store)).A!.volume]).toEqual([bars!.volume[0], other.volume[1], bars!.volume[2]]);
  });
});
