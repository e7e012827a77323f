import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { writeDaily } from '../../src/ingest/daily-writer.ts';
import { consolidate } from '../../src/lake/consolidate.ts';
import { checkpointKey, dailyKey, dataKey, MANIFEST_KEY } from '../../src/lake/keys.ts';
import { readManifest, updateManifest } from '../../src/lake/manifest.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { resample } from '../../src/resample/resample.ts';
import { verify } from '../../src/resample/verify.ts';
import { sessionFrom } from '../../src/session.ts';
import { arbitraryBars } from '../support/arbitrary-bars.ts';
import { keysOf, silverDigests } from '../support/lake-reader.ts';
import { resampleShards } from '../support/shards.ts';

const now = () => sessionFrom('2024-06-28') * 86_400_000 + 72_000_000;
const SYMBOLS = ['A', 'BRK.B', 'a'];

function history(seed: number) {
  return fc.sample(arbitraryBars({ minLength: 20, maxLength: 20 }), { numRuns: 1, seed })[0]!;
}

async function soundBronze(): Promise<ObjectStore> {
  const store = memoryStore();
  for (const [i, symbol] of SYMBOLS.entries()) await writeDaily(store, symbol, history(i));
  await consolidate(store, { retentionDays: 100_000, now });
  return store;
}

async function soundLake(shards = 1): Promise<ObjectStore> {
  const store = await soundBronze();
  await resampleShards(store, shards, { intervals: [3, 5] });
  return store;
}

/** Month files and checkpoints. */
async function silverKeys(store: ObjectStore): Promise<string[]> {
  return [...(await keysOf(store, 'silver/')), ...(await keysOf(store, 'processing_metadata/silver_'))];
}

/** Flips a bit in the middle of what the file says of itself. */
async function damage(store: ObjectStore, key: string): Promise<void> {
  const body = Buffer.from((await store.get(key)).body);
  body[body.indexOf('batch_layer.digest') + 'batch_layer.digest'.length + 8]! ^= 1;
  await store.put(key, body);
}

describe('verify', () => {
  test('finds nothing wrong with a sound lake, wholly or by samples, and changes nothing', async () => {
    const store = await soundLake();
    const before = await Array.fromAsync(store.list(''));
    const whole = await verify(store, { repair: true });
    expect(whole).toMatchObject({ symbols: 3, bars: 60, dailyFiles: 60, pending: 0, intervals: [3, 5], problems: [] });
    expect(whole.groups).toBe(3 * (7 + 4));
    for (const sample of [1, 2, 99]) expect((await verify(store, { sample })).problems).toEqual([]);
    expect(await Array.fromAsync(store.list(''))).toEqual(before);
    expect(await verify(memoryStore())).toMatchObject({ symbols: 0, problems: [] });
    const bronze = memoryStore();
    await writeDaily(bronze, 'A', history(1));
    await consolidate(bronze, { retentionDays: 100_000, now });
    expect(await verify(bronze)).toMatchObject({ symbols: 1, bars: 20, intervals: [], problems: [] });
  });

  test('names each object that a byte was flipped in', async () => {
    const store = await soundLake();
    const keys = (await keysOf(store)).filter((key) => key.endsWith('.parquet'));
    for (const key of keys) {
      const { body } = await store.get(key);
      await damage(store, key);
      const { problems } = await verify(store);
      expect(
        problems.map((problem) => problem.key),
        key,
      ).toContain(key);
      await store.put(key, body);
    }
  });

  test('counts bars that wait for consolidate, and says that silver waits for resample', async () => {
    const store = await soundLake();
    const bars = history(1);
    await writeDaily(store, 'NEW', bars);
    expect(await verify(store)).toMatchObject({ pending: 20, problems: [] });
    await consolidate(store, { retentionDays: 100_000, now });
    const { problems, pending } = await verify(store);
    expect(pending).toBe(0);
    expect(new Set(problems.map(({ kind }) => kind))).toEqual(new Set(['silver']));
    await resample(store, { intervals: [3, 5] });
    expect((await verify(store)).problems).toEqual([]);
  });

  test('repairs what is derived, to the same silver', async () => {
    const store = await soundLake();
    const expected = await silverDigests(store);
    const [first, second, third] = Object.keys(expected) as [string, string, string];
    // Sound in itself, but of another month.
    await store.put(third, (await store.get(first)).body);
    await damage(store, first);
    await store.delete(second);
    await store.put(checkpointKey(5), new TextEncoder().encode('{}'));
    const { entries } = await readManifest(store);
    await updateManifest(store, [
      { ...entries.get('A')!, rows: 7 },
      { ...entries.get('a')!, symbol: 'GONE' },
    ]);
    const broken = await verify(store);
    expect(new Set(broken.problems.map(({ kind }) => kind))).toEqual(
      new Set(['manifest', 'checkpoint', 'corrupt', 'silver']),
    );
    const { problems, repaired } = await verify(store, { repair: true, now });
    expect(problems).toEqual([]);
    expect(repaired).toHaveLength(broken.problems.length);
    expect(await silverDigests(store)).toEqual(expected);
    expect((await readManifest(store)).entries).toEqual(
      new Map([...entries].map(([symbol, entry]) => [symbol, { ...entry, updatedAt: now() }])),
    );
  });

  test('rebuilds a damaged manifest that keeps consolidate from reading everything again', async () => {
    const store = await soundLake();
    await store.put(MANIFEST_KEY, new TextEncoder().encode('no Parquet'));
    expect((await verify(store, { repair: true })).problems).toEqual([]);
    const { metrics } = await consolidate(store, { retentionDays: 100_000, now });
    expect(metrics.requests).toMatchObject({ GET: 1, PUT: 0, LIST: 1 });
  });

  test('never touches bars: damage to them stays, and is named', async () => {
    const store = await soundLake();
    const daily = dailyKey('A', history(0).session[3]!);
    await damage(store, dataKey('A'));
    await damage(store, daily);
    const etags = await Promise.all([dataKey('A'), daily].map((key) => store.head(key)));
    const { problems } = await verify(store, { repair: true });
    expect(
      problems
        .filter(({ kind }) => kind === 'corrupt')
        .map(({ key }) => key)
        .sort(),
    ).toEqual([dataKey('A'), daily].sort());
    expect(await Promise.all([dataKey('A'), daily].map((key) => store.head(key)))).toEqual(etags);
  });

  test('names strays that readers of whole folders would take', async () => {
    const store = await soundLake();
    const strays = [
      'bronze/raw_ohlcv/symbol=A/data.parquet.bak',
      'silver/junk.parquet',
      'silver/silver_3d/year=2020/copy.parquet',
      'silver/silver_7d/readme.txt',
    ];
    for (const key of strays) await store.put(key, new Uint8Array(1));
    const { problems } = await verify(store, { repair: true });
    expect(problems.map(({ kind, key }) => [kind, key])).toEqual(strays.map((key) => ['stray', key]));
  });

  test('tells a damaged data.parquet as that alone: silver of its symbol stays as resample leaves it', async () => {
    const store = await soundLake();
    const before = await silverDigests(store);
    await damage(store, dataKey('A'));
    for (const repair of [false, true]) {
      const { problems } = await verify(store, { repair });
      expect(problems.filter(({ kind }) => kind !== 'manifest')).toMatchObject([
        { kind: 'corrupt', key: dataKey('A') },
      ]);
    }
    expect(await silverDigests(store)).toEqual(before);
  });

  test('finds what is missing or wrong in a shard, and repairs it in its division', async () => {
    const store = await soundLake(2);
    const [keys, expected] = [await silverKeys(store), await silverDigests(store)];
    const sound = await verify(store);
    expect(sound).toMatchObject({ intervals: [3, 5], files: Object.keys(expected).length, problems: [] });
    expect(sound.groups).toBe(3 * (7 + 4));
    for (const index of [0, 1]) {
      const [part, other] = Object.keys(expected).filter((key) => key.includes(`.s00${index}of002.`)) as [
        string,
        string,
      ];
      const checkpoint = checkpointKey(5, { index, count: 2 });
      await store.delete(part);
      expect((await verify(store)).problems).toMatchObject([
        { kind: 'checkpoint', key: checkpointKey(3, { index, count: 2 }) },
        { kind: 'silver', key: part, message: expect.stringContaining('is missing') },
      ]);
      await damage(store, other);
      await store.delete(checkpoint);
      const broken = (await verify(store)).problems.map(({ key }) => key);
      expect(broken).toEqual(expect.arrayContaining([part, other, checkpoint]));
      const { problems, repaired } = await verify(store, { repair: true });
      expect(problems).toEqual([]);
      expect(repaired.map(({ key }) => key)).toEqual(broken);
      expect(await silverKeys(store)).toEqual(keys);
      expect(await silverDigests(store)).toEqual(expected);
    }
  });

  test('finds a shard that was never resampled', async () => {
    const store = await soundBronze();
    await resample(store, { intervals: [3, 5], shard: { index: 0, count: 2 } });
    const { problems } = await verify(store);
    expect(problems.length).toBeGreaterThan(0);
    for (const { kind, key } of problems)
      expect([kind, key]).toEqual(['silver', expect.stringContaining('.s001of002.')]);
    expect((await verify(store, { repair: true })).problems).toEqual([]);
    expect(await silverDigests(store)).toEqual(await silverDigests(await soundLake(2)));
  });

  test.each([
    ['of which both have checkpoints', 2, 3, () => true],
    ['of which the whole has no checkpoint', 2, 1, (key: string) => key.startsWith('silver/')],
    ['of which the smaller has no checkpoint', 3, 2, (key: string) => key.startsWith('silver/')],
  ])('finds silver in two divisions, %s, and repair leaves one of them', async (_, count, otherCount, isLeft) => {
    const [store, other] = [await soundLake(count), await soundLake(otherCount)];
    const keys = await silverKeys(store);
    const left = (await silverKeys(other)).filter(isLeft);
    for (const key of left) await store.put(key, (await other.get(key)).body);
    const { problems } = await verify(store);
    const message = expect.stringMatching(/is divided into \d and into \d shards/);
    for (const interval of [3, 5]) {
      expect(problems.filter(({ key }) => key.includes(`_${interval}d_`))).toContainEqual(
        expect.objectContaining({ kind: 'silver', message }),
      );
    }
    expect((await verify(store, { repair: true })).problems).toEqual([]);
    expect(await silverKeys(store)).toEqual(keys);
    expect(await silverDigests(store)).toEqual(await silverDigests(await soundLake(count)));
  });

  test('takes months that resample was told to defer for sound, and no others', async () => {
    const store = await soundBronze();
    const { intervals } = await resample(store, { intervals: [3, 5], lookbackMonths: 1 });
    for (const { filesDeferred } of intervals) expect(filesDeferred).toBeGreaterThan(0);
    expect((await verify(store)).problems).toEqual([]);
    await resample(store, { intervals: [3, 5] });
    await writeDaily(store, 'NEW', history(1));
    await consolidate(store, { retentionDays: 100_000, now });
    await resample(store, { intervals: [3, 5], lookbackMonths: 1 });
    expect((await verify(store)).problems).toEqual([]);
    const first = (await keysOf(store, 'silver/'))[0]!;
    await damage(store, first);
    expect((await verify(store)).problems).toMatchObject([{ kind: 'corrupt', key: first }]);
    expect((await verify(store, { repair: true })).problems).toEqual([]);
    expect((await silverDigests(store))[first]).toBeDefined();
  });

  test('takes a lake that was copied object by object for what it is', async () => {
    const source = await soundLake();
    const copy = memoryStore();
    for (const key of (await keysOf(source)).reverse()) await copy.put(key, (await source.get(key)).body);
    expect((await verify(copy)).problems).toEqual([]);
  });

  test('refuses a sample that is none', async () => {
    await expect(verify(memoryStore(), { sample: 0 })).rejects.toMatchObject({ code: 'BadInput' });
    await expect(verify(memoryStore(), { maxWorkers: 0 })).rejects.toMatchObject({ code: 'BadInput' });
  });
});
