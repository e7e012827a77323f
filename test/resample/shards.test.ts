import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Bars, sliceBars } from '../../src/bars.ts';
import { consolidateSymbol } from '../../src/lake/consolidate-symbol.ts';
import { checkpointKey, dataKey, silverKey } from '../../src/lake/keys.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { isInShard, parseShard } from '../../src/lake/shard.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { listSymbol } from '../../src/lake/symbol-files.ts';
import { resample } from '../../src/resample/resample.ts';
import { verify } from '../../src/resample/verify.ts';
import { arbitraryBars } from '../support/arbitrary-bars.ts';
import { keysOf } from '../support/lake-reader.ts';
import { readSilver, resampleShards } from '../support/shards.ts';

const SYMBOLS = ['A', 'AA', 'B', 'BRK', 'BRK.B', 'C', 'D', 'a', 'aapl', 'msft'];
const INTERVALS = [2, 5];
/** Half a year each. */
const HISTORIES = fc
  .sample(arbitraryBars({ minLength: 45, maxLength: 45 }), { numRuns: SYMBOLS.length, seed: 7 })
  .map((bars, s) => ({ ...bars, session: bars.session.map((_, i) => 19_700 + s + 4 * i) }));

async function importBars(store: ObjectStore, symbol: string, bars: Bars): Promise<void> {
  await consolidateSymbol(store, await listSymbol(store, symbol), { imported: bars });
}

/** A lake with the first `bars` bars of each symbol. */
async function lakeWith(bars: number): Promise<ObjectStore> {
  const store = memoryStore();
  await growTo(store, bars);
  return store;
}

async function growTo(store: ObjectStore, bars: number): Promise<void> {
  for (const [i, symbol] of SYMBOLS.entries()) await importBars(store, symbol, sliceBars(HISTORIES[i]!, 0, bars - i));
}

/** All that is known of silver: every object, with its version. */
async function silverVersions(store: ObjectStore): Promise<string[]> {
  const versions: string[] = [];
  for (const prefix of ['silver/', 'processing_metadata/']) {
    for await (const { key, etag } of store.list(prefix)) versions.push(`${key} ${etag}`);
  }
  return versions;
}

async function silverProblems(store: ObjectStore) {
  const { problems } = await verify(store);
  return problems.filter(({ kind }) => kind !== 'manifest');
}

describe.each([2, 3, 4, 5])('silver in %i shards', (count) => {
  test('together has the groups of one run, each symbol in exactly one shard', async () => {
    const [store, whole] = [await lakeWith(40), await lakeWith(40)];
    const results = await resampleShards(store, count, { intervals: INTERVALS });
    await resample(whole, { intervals: INTERVALS });
    const [found, expected] = [await readSilver(store, INTERVALS), await readSilver(whole, INTERVALS)];
    expect(found.groups).toEqual(expected.groups);
    expect(results.reduce((sum, { symbols }) => sum + symbols, 0)).toBe(SYMBOLS.length);
    for (const symbol of SYMBOLS) {
      const shards = Array.from({ length: count }, (_, index) => index).filter((index) =>
        isInShard(symbol, { index, count }),
      );
      expect(shards).toHaveLength(1);
      expect(found.shards.get(symbol)).toEqual(new Set([`${shards[0]} of ${count}`]));
    }
    expect(await silverProblems(store)).toEqual([]);
  });

  test('after more bars, a correction and a deletion, run by run equals made from nothing', async () => {
    const store = await lakeWith(25);
    await resampleShards(store, count, { intervals: INTERVALS });
    await growTo(store, 40);
    await store.delete(dataKey('BRK'));
    await importBars(store, 'A', { ...sliceBars(HISTORIES[0]!, 9, 10), open: HISTORIES[0]!.low.slice(9, 10) });
    await resampleShards(store, count, { intervals: INTERVALS });
    const fresh = memoryStore();
    for (const key of await keysOf(store, 'bronze/')) await fresh.put(key, (await store.get(key)).body);
    await resampleShards(fresh, count, { intervals: INTERVALS });
    const [found, expected] = [await readSilver(store, INTERVALS), await readSilver(fresh, INTERVALS)];
    expect(found.digests).toEqual(expected.digests);
    expect(found.groups.some((group) => group.startsWith('2 BRK '))).toBe(false);
    expect(await silverProblems(store)).toEqual([]);
  });

  test('refuses another number of shards and leaves everything as it is, until it is forced in every shard', async () => {
    const store = await lakeWith(40);
    await resampleShards(store, count, { intervals: INTERVALS });
    const before = await silverVersions(store);
    const { groups } = await readSilver(store, INTERVALS);
    for (const other of [1, count + 1]) {
      const refused = resampleShards(store, other, { intervals: INTERVALS });
      await expect(refused).rejects.toMatchObject({
        code: 'BadInput',
        message: expect.stringMatching(/--force-full/),
      });
      expect(await silverVersions(store)).toEqual(before);
    }
    await resampleShards(store, count + 1, { intervals: INTERVALS, forceFull: true });
    const forced = await readSilver(store, INTERVALS);
    expect(forced.groups).toEqual(groups);
    const old = (await keysOf(store)).filter((key) => key.includes(`of${String(count).padStart(3, '0')}`));
    expect(old).toEqual([]);
    expect(await silverProblems(store)).toEqual([]);
    await resample(store, { intervals: INTERVALS, forceFull: true });
    expect((await keysOf(store)).filter((key) => /\.s\d+of\d+\./.test(key))).toEqual([]);
    expect(await silverProblems(store)).toEqual([]);
  });
});

describe('a division', () => {
  type Put = (key: string, isNew: boolean) => boolean;
  test.each<readonly [string, Put]>([
    ['over a month file', (key, isNew) => key.startsWith('silver/') && !isNew],
    ['of a new month file', (key, isNew) => key.startsWith('silver/') && isNew],
    ['of its commit', (key) => key.endsWith('.json')],
  ])('that is forced fences a run of the old one, at its write %s', async (_what, isLate) => {
    const store = await lakeWith(25);
    await resampleShards(store, 2, { intervals: INTERVALS });
    await growTo(store, 45);
    let [claims, isForced] = [0, false];
    const interrupted: ObjectStore = {
      ...store,
      async put(key, body, call) {
        const isClaim = key.endsWith('.json') && ++claims <= INTERVALS.length;
        if (!isClaim && !isForced && isLate(key, call?.ifNoneMatch === '*')) {
          isForced = true;
          await resampleShards(store, 3, { intervals: INTERVALS, forceFull: true });
        }
        return store.put(key, body, call);
      },
    };
    const late = resample(interrupted, { intervals: INTERVALS, shard: { index: 0, count: 2 } });
    await expect(late).rejects.toMatchObject({ code: 'Fenced' });
    // What it has sent in spite of that, if anything, is cleared away, and nobody is stopped by it.
    await resampleShards(store, 3, { intervals: INTERVALS });
    expect((await keysOf(store)).filter((key) => key.includes('of002'))).toEqual([]);
    expect(await silverProblems(store)).toEqual([]);
  });

  test('names part files and checkpoints by shard', async () => {
    const store = await lakeWith(40);
    await resampleShards(store, 3, { intervals: [5] });
    const keys = await keysOf(store);
    for (let index = 0; index < 3; index++) expect(keys).toContain(checkpointKey(5, { index, count: 3 }));
    const month = 24_000;
    expect(silverKey(5, month, { index: 2, count: 16 })).toBe(
      'silver/silver_5d/year=2000/month=01/data_5d_200001.s002of016.parquet',
    );
  });

  test.each(['', '1', '4/4', '-1/4', '0/0', '1/1001', '1.5/4', 'a/b', '1/4/2', ' 1/4', '00001/4'])(
    'has no shard "%s"',
    async (text) => {
      expect(() => parseShard(text)).toThrow(expect.objectContaining({ code: 'BadInput' }));
    },
  );

  test('has the shards 0/1 to 999/1000, and no others', async () => {
    expect(parseShard('0/1')).toEqual({ index: 0, count: 1 });
    expect(parseShard('999/1000')).toEqual({ index: 999, count: 1000 });
    const store = memoryStore();
    for (const shard of [
      { index: 2, count: 2 },
      { index: 0.5, count: 2 },
      { index: 0, count: 1001 },
    ]) {
      await expect(resample(store, { shard })).rejects.toMatchObject({ code: 'BadInput' });
    }
  });
});
