import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Watermark, WatermarkStore } from '../../src/lake/watermarks.ts';
import { sessionFrom } from '../../src/session.ts';

const DAY = sessionFrom('2026-03-02');

/** A mark; days are counted from Monday, 2026-03-02. */
function mark(symbol: string, last: number | undefined, checked?: readonly [from: number, through: number]): Watermark {
  const [from, through] = checked ?? [];
  const day = (n: number | undefined) => (n === undefined ? -1 : DAY + n);
  return { symbol, lastSession: day(last), checkedFrom: day(from), checkedThrough: day(through) };
}

/**
 * What every WatermarkStore must do.
 *
 * @param openStores gives n of them on one and the same empty storage, as runs at the same time have them
 */
export function describeWatermarkContract(openStores: (count: number) => Promise<readonly WatermarkStore[]>): void {
  const open = async () => (await openStores(1))[0]!;
  const read = async (store: WatermarkStore) => [...(await store.read()).values()].sort(bySymbol);

  test('has no marks in the beginning, and none after no mark was advanced', async () => {
    const store = await open();
    expect(await store.read()).toEqual(new Map());
    await store.advance([]);
    expect(await store.read()).toEqual(new Map());
  });

  test('gives back what was advanced, by symbol, also to another store on the same storage', async () => {
    const [store, other] = await openStores(2);
    const marks = [mark('AAPL', 4), mark('MSFT', 3, [0, 4]), mark('GONE', undefined, [-30, 4]), mark('T', undefined)];
    await store!.advance(marks);
    const expected = new Map(marks.map((one) => [one.symbol, one]));
    expect(await store!.read()).toEqual(expected);
    expect(await other!.read()).toEqual(expected);
  });

  test('keeps symbols apart that differ in case, and odd but real ones', async () => {
    const store = await open();
    const symbols = ['AAPW', 'AAPw', 'NULL', 'NAN', 'TRUE', 'BRK.B', 'BAC.WS.A', '0'];
    await store.advance(symbols.map((symbol, i) => mark(symbol, i)));
    expect(await read(store)).toEqual(symbols.map((symbol, i) => mark(symbol, i)).sort(bySymbol));
  });

  test('keeps the marks of other symbols', async () => {
    const store = await open();
    await store.advance([mark('AAPL', 1), mark('MSFT', 1, [0, 1])]);
    await store.advance([mark('AAPL', 2)]);
    expect(await read(store)).toEqual([mark('AAPL', 2), mark('MSFT', 1, [0, 1])]);
  });

  test('the last session never goes back', async () => {
    const store = await open();
    await store.advance([mark('AAPL', 4)]);
    await store.advance([mark('AAPL', 1), mark('AAPL', undefined)]);
    expect(await read(store)).toEqual([mark('AAPL', 4)]);
    await store.advance([mark('AAPL', 5), mark('AAPL', 2)]);
    expect(await read(store)).toEqual([mark('AAPL', 5)]);
  });

  test('a mark without a range that was checked leaves the range, and one with a range the last session', async () => {
    const store = await open();
    await store.advance([mark('AAPL', 1, [0, 2])]);
    await store.advance([mark('AAPL', 3)]);
    expect(await read(store)).toEqual([mark('AAPL', 3, [0, 2])]);
    await store.advance([mark('AAPL', undefined, [1, 4])]);
    expect(await read(store)).toEqual([mark('AAPL', 3, [0, 4])]);
  });

  test.each<[string, [number, number], [number, number], [number, number]]>([
    ['overlap', [0, 4], [3, 8], [0, 8]],
    ['follow each other', [0, 4], [5, 8], [0, 8]],
    ['lie one in the other', [0, 8], [3, 4], [0, 8]],
    ['are the same', [0, 4], [0, 4], [0, 4]],
    ['end alike', [0, 4], [2, 4], [0, 4]],
    ['have a gap between them: the later one stays', [0, 2], [4, 8], [4, 8]],
  ])('two ranges that %s, in either order', async (_, one, other, expected) => {
    const [forth, back] = [await open(), await open()];
    for (const range of [one, other]) await forth.advance([mark('AAPL', 1, range)]);
    for (const range of [other, one]) await back.advance([mark('AAPL', 1, range)]);
    expect(await read(forth)).toEqual([mark('AAPL', 1, expected)]);
    expect(await read(back)).toEqual([mark('AAPL', 1, expected)]);
  });

  test('marks of one symbol in one call count one after the other', async () => {
    const store = await open();
    await store.advance([mark('AAPL', 2, [0, 2]), mark('AAPL', 4, [3, 4])]);
    expect(await read(store)).toEqual([mark('AAPL', 4, [0, 4])]);
  });

  test('tells of no session as checked that was not advanced, and of no last one that was not, in any order', async () => {
    const day = fc.integer({ min: 0, max: 20 });
    const range = fc.tuple(day, day).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
    const marks = fc.array(fc.tuple(fc.option(day, { nil: undefined }), fc.option(range, { nil: undefined })), {
      maxLength: 6,
    });
    const property = fc.asyncProperty(marks, async (advanced) => {
      const store = await open();
      const checked = new Set<number>();
      let last = -1;
      for (const [session, days] of advanced) {
        const one = mark('AAPL', session, days);
        await store.advance([one]);
        for (let n = one.checkedFrom; days && n <= one.checkedThrough; n++) checked.add(n);
        last = Math.max(last, one.lastSession);
        const [found] = await read(store);
        expect(found?.lastSession).toBe(last);
        for (let n = found!.checkedFrom; checked.size > 0 && n <= found!.checkedThrough; n++)
          expect(checked).toContain(n);
        expect(found?.checkedThrough).toBe(checked.size > 0 ? Math.max(...checked) : -1);
        if (days) expect(found!.checkedFrom).toBeLessThanOrEqual(Math.max(one.checkedFrom, found!.checkedFrom));
      }
    });
    await fc.assert(property, { numRuns: 30, seed: 7 });
  });

  test('runs that advance at the same time lose nothing of each other', async () => {
    const stores = await openStores(4);
    const advanceAll = async (store: WatermarkStore, i: number): Promise<void> => {
      for (let n = 0; n < 6; n++) await store.advance([mark('AAPL', 6 * i + n), mark(`S${i}N${n}`, n, [0, n])]);
    };
    await Promise.all(stores.map(advanceAll));
    const marks = await stores[0]!.read();
    expect(marks.get('AAPL')).toEqual(mark('AAPL', 23));
    for (const i of stores.keys()) {
      for (let n = 0; n < 6; n++) expect(marks.get(`S${i}N${n}`)).toEqual(mark(`S${i}N${n}`, n, [0, n]));
    }
    expect(marks.size).toBe(25);
  });

  test('an aborted call throws the reason of its signal, and advances nothing', async () => {
    const store = await open();
    const signal = AbortSignal.abort(new Error('stopped'));
    await expect(store.advance([mark('AAPL', 1)], { signal })).rejects.toThrow('stopped');
    await expect(store.read({ signal })).rejects.toThrow('stopped');
    expect(await store.read()).toEqual(new Map());
  });
}

function bySymbol(a: Watermark, b: Watermark): number {
  return a.symbol < b.symbol ? -1 : 1;
}
