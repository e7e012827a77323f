import { isDeepStrictEqual } from 'node:util';
import { afterEach, describe, expect, test } from 'vitest';
import { hasCode } from '../../src/errors.ts';
import { encodeConsolidated, readConsolidated } from '../../src/lake/consolidated.ts';
import {
  BRONZE_PREFIX,
  checkpointKey,
  dailyKey,
  dataKey,
  MANIFEST_KEY,
  parseBronzeKey,
  parseSilverKey,
  RECENT_BARS_KEY,
  silverKey,
} from '../../src/lake/keys.ts';
import { type ManifestEntry, readManifest, updateManifest } from '../../src/lake/manifest.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { readRecentBars, updateRecentBars } from '../../src/lake/recent-bars.ts';
import { checkKey } from '../../src/lake/store.ts';
import { type Checkpoint, encodeCheckpoint, readCheckpoint } from '../../src/resample/checkpoint.ts';
import { syntheticMarket } from '../../src/runtime/synthetic-market.ts';
import { formatSession } from '../../src/session.ts';
import { forge } from '../support/forge-parquet.ts';
import { fuzz, RUNS } from './fuzz.ts';
import { mutateBytes } from './mutate-bytes.ts';
import { mutateJson } from './mutate-json.ts';
import { mutateParquet } from './mutate-parquet.ts';
import type { Random } from './random.ts';

// Documents and names in storage are input: what is read is what is written there and fits the schema, to the letter,
// or a typed error. The checks here are written out, and share nothing with the schemas they check.

const MAX_CHECKPOINT_BYTES = 16 * 2 ** 20;
const MAX_MESSAGE = 2000;
const isHex16 = (value: unknown) => typeof value === 'string' && /^[0-9a-f]{16}$/.test(value) && value.length === 16;
const isText = (value: unknown, most: number) =>
  typeof value === 'string' && value.length >= 1 && value.length <= most && Buffer.from(value).toString() === value;
const isSymbol = (value: unknown) => isText(value, 24) && /^[A-Za-z0-9]+(\.[A-Za-z0-9]+)*$/.test(value as string);
const isDate = (value: unknown) =>
  typeof value === 'string' &&
  value.length === 10 &&
  !Number.isNaN(Date.parse(value)) &&
  new Date(value).toISOString().startsWith(value);

afterEach(() => {
  expect(Object.keys(Object.prototype)).toEqual([]);
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
});

/** What `read` gives, or `undefined` for a CorruptObject that names the object. */
async function orCorrupt<T>(key: string, read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (!hasCode(error, 'CorruptObject')) throw error;
    if (!error.message.includes(key)) throw new Error(`does not name the object: ${error.message}`);
    if (error.message.length > MAX_MESSAGE) throw new Error(`message of ${error.message.length} characters`);
    return undefined;
  }
}

describe('checkpoints', () => {
  const file = (rows: number, etag: string) => ({ rows, digest: rows.toString(16).padStart(16, '0'), etag });
  const checkpoint: Checkpoint = {
    version: 3,
    interval: 5,
    shard: { index: 0, count: 1 },
    epoch: 7,
    state: 'committed',
    bars: 1234,
    groups: 250,
    firstDate: '2020-01-02',
    lastDate: '2026-11-20',
    missing: ['BRK.B', 'CFGpE'],
    deferred: ['202003'],
    writing: ['202511', '202512'],
    files: { '202001': file(20, 'v1'), '202512': file(230, '"9f8a"') },
    symbols: {
      AAPL: '1000 2020-01-02 2026-11-20 0123456789abcdef',
      'BRK.B': '234 2020-01-02 2026-11-20 fedcba9876543210',
    },
  };
  const text = new TextDecoder().decode(encodeCheckpoint(checkpoint));

  test('are what was written, or CorruptObject', async () => {
    const store = memoryStore();
    const key = checkpointKey(5);
    const outcomes = await fuzz('checkpoints', async (random) => {
      const bytes = mutateJson(text, random);
      await store.put(key, bytes);
      const claim = await orCorrupt(key, readCheckpoint(store, 5));
      if (claim === undefined) return 'CorruptObject';
      if (bytes.length > MAX_CHECKPOINT_BYTES) throw new Error(`${bytes.length} bytes were read`);
      if (!isDeepStrictEqual(claim.checkpoint, checkpoint)) throw new Error('another document');
      return 'as before';
    });
    if (RUNS >= 1000) expect(Object.keys(outcomes)).toHaveLength(2);
  });
});

describe('data.parquet', () => {
  const [history] = syntheticMarket({ symbols: 1, bars: 20, longest: 20, lastDate: '2026-11-20' });
  const key = dataKey('AAPL');
  const applied = {
    '2026-11-19': ['0123456789abcdef', 'v12', 20_776],
    '2026-11-20': ['fedcba9876543210', '"5d41402abc4b2a76"', 20_777, '00112233445566ff', '8899aabbccddeeff'],
  };
  const text = JSON.stringify(applied);

  async function written() {
    const store = memoryStore();
    const { bytes } = encodeConsolidated('AAPL', { bars: history!.bars, applied: new Map(), changes: [] });
    await store.put(key, bytes);
    return { store, body: (await store.get(key)).body };
  }

  test('lists of applied daily files are what is written, or CorruptObject', async () => {
    const { store, body } = await written();
    const outcomes = await fuzz('applied', async (random) => {
      // The list is text of a footer, sealed: what is no UTF-8 cannot get there by forging.
      const mutated = Buffer.from(mutateJson(text, random)).toString();
      await store.put(key, forge(body, { metadata: { applied: mutated } }));
      const read = await orCorrupt(key, readConsolidated(store, 'AAPL'));
      if (read === undefined) return 'CorruptObject';
      if (!isDeepStrictEqual(read.bars, history!.bars)) throw new Error('other bars');
      const entries = [...read.applied].map(([session, { digest, etag, on, writes }]) => {
        return [formatSession(session), [digest, etag, on, ...writes]] as const;
      });
      const found = Object.fromEntries(entries);
      if (!isDeepStrictEqual(found, JSON.parse(mutated))) throw new Error('not what is written');
      const fits = entries.every(
        ([date, [digest, etag, on, ...writes]]) =>
          isDate(date) && isHex16(digest) && isText(etag, 200) && Number.isInteger(on) && writes.every(isHex16),
      );
      if (!fits) throw new Error('does not fit the schema');
      return isDeepStrictEqual(found, applied) ? 'as before' : 'another list';
    });
    if (RUNS >= 1000) expect(Object.keys(outcomes)).toHaveLength(3);
  });

  test('lists of changes are what is written, or CorruptObject', async () => {
    const { store, body } = await written();
    const changes = Array.from({ length: 64 }, (_, i) => {
      return [(i * 7919).toString(16).padStart(16, '0'), 2000 + i, formatSession(20_000 + (i % 5))];
    });
    const outcomes = await fuzz('changes', async (random) => {
      const mutated = Buffer.from(mutateJson(JSON.stringify(changes), random)).toString();
      await store.put(key, forge(body, { metadata: { changes: mutated } }));
      const read = await orCorrupt(key, readConsolidated(store, 'AAPL'));
      if (read === undefined) return 'CorruptObject';
      const found = read.changes.map(({ of, rows, from }) => [of, rows, formatSession(from)] as const);
      if (!isDeepStrictEqual(found, JSON.parse(mutated))) throw new Error('not what is written');
      const fits = found.every(
        ([of, rows, date]) => isHex16(of) && Number.isSafeInteger(rows) && rows >= 0 && isDate(date),
      );
      if (!fits || found.length > 64) throw new Error('does not fit the schema');
      return isDeepStrictEqual(found, changes) ? 'as before' : 'another list';
    });
    if (RUNS >= 1000) expect(Object.keys(outcomes)).toHaveLength(3);
  });

  test.each([
    '',
    '{}',
    '["0123456789abcdef"]',
    '[[7,"2024-01-02"]]',
    '[["0123456789abcdef",7]]',
    '[["0123456789abcdef",7,"2024-01-02",0]]',
    '[["0123456789abcde",7,"2024-01-02"]]',
    '[["0123456789ABCDEF",7,"2024-01-02"]]',
    '[[81985529216486895,7,"2024-01-02"]]',
    '[["0123456789abcdef",-1,"2024-01-02"]]',
    '[["0123456789abcdef",1.5,"2024-01-02"]]',
    '[["0123456789abcdef","7","2024-01-02"]]',
    '[["0123456789abcdef",7,"2024-02-30"]]',
    '[["0123456789abcdef",7,19724]]',
    JSON.stringify(Array(65).fill(['0123456789abcdef', 7, '2024-01-02'])),
  ])('changes "%s" are CorruptObject', async (changes) => {
    const { store, body } = await written();
    await store.put(key, forge(body, { metadata: { changes } }));
    await expect(readConsolidated(store, 'AAPL')).rejects.toMatchObject({
      code: 'CorruptObject',
      message: expect.stringContaining(key),
    });
  });
});

test('manifests are what was written, or empty and said to be damaged', async () => {
  const store = memoryStore();
  const manifests = await Promise.all(
    [0, 1].map(async (changed) => {
      const own = memoryStore();
      const entries = Array.from({ length: 40 }, (_, i): ManifestEntry => {
        const symbol = `S${String.fromCharCode(65 + (i % 26))}${i}`;
        const digests = Array.from({ length: 1 + (i % 9) }, (_, k) => (i * 7919 + k).toString(16).padStart(16, '0'));
        const versions = { digest: digests[0]!, etag: `v${i}`, appendedTo: digests.slice(1) };
        const figures = { firstSession: 10_000 + i, lastSession: 20_000, rows: 500 + i + changed };
        return { symbol, ...figures, ...versions, dailyFingerprint: versions.digest, updatedAt: 1_795_000_000_000 + i };
      });
      await updateManifest(own, entries);
      return { bytes: (await own.get(MANIFEST_KEY)).body, entries: (await readManifest(own)).entries };
    }),
  );
  const outcomes = await fuzz('manifests', async (random) => {
    const { bytes } = random.pick(manifests);
    await store.put(MANIFEST_KEY, mutateParquet(bytes, random.pick(manifests).bytes, random));
    const { entries, damage } = await readManifest(store);
    if (damage !== undefined) {
      if (!damage.includes(MANIFEST_KEY) || entries.size > 0) throw new Error(`${entries.size} entries: ${damage}`);
      return 'damaged';
    }
    if (!manifests.some((manifest) => isDeepStrictEqual(manifest.entries, entries))) throw new Error('other entries');
    return 'as written';
  });
  if (RUNS >= 1000) expect(Object.keys(outcomes)).toHaveLength(2);
});

test('recent bars are what was written, or none and said to be damaged', async () => {
  const store = memoryStore();
  const market = [...syntheticMarket({ symbols: 9, bars: 400, longest: 90, lastDate: '2026-11-20' })];
  const versions = await Promise.all(
    [0, 1].map(async (changed) => {
      const own = memoryStore();
      const entries = market.map(({ symbol, bars }, i) => {
        return { symbol, bars, digest: (i * 7919 + changed).toString(16).padStart(16, '0') };
      });
      await updateRecentBars(own, entries);
      const { etag: _, ...read } = await readRecentBars(own);
      return { bytes: (await own.get(RECENT_BARS_KEY)).body, read };
    }),
  );
  const outcomes = await fuzz('recent bars', async (random) => {
    const { bytes } = random.pick(versions);
    await store.put(RECENT_BARS_KEY, mutateParquet(bytes, random.pick(versions).bytes, random));
    const { damage, etag: _, ...read } = await readRecentBars(store);
    if (damage !== undefined) {
      if (!damage.includes(RECENT_BARS_KEY) || read.symbols.size > 0)
        throw new Error(`${read.symbols.size}: ${damage}`);
      return 'damaged';
    }
    if (!versions.some((version) => isDeepStrictEqual(version.read, read))) throw new Error('other bars');
    return 'as written';
  });
  if (RUNS >= 1000) expect(Object.keys(outcomes)).toHaveLength(2);
});

describe('keys', () => {
  const keys = [
    dailyKey('AAPL', 20_000),
    dailyKey('BRK.B', 18_321),
    dataKey('CFGpE'),
    silverKey(5, 2025 * 12 + 10),
    silverKey(34, 2020 * 12),
    silverKey(5, 2025 * 12 + 10, { index: 3, count: 16 }),
  ];
  const PARTS = [
    '/',
    '//',
    '.',
    '..',
    '/../',
    '%2e',
    '\\',
    '\0',
    '\n',
    ' ',
    '=',
    '-',
    '0',
    '9',
    'é',
    '\ud800',
    '*',
    'date=',
  ];

  function mutateKey(random: Random): string {
    const key = random.pick(keys);
    if (random.oneIn(3)) return Buffer.from(mutateBytes(Buffer.from(key), random)).toString('latin1');
    const at = random.below(key.length + 1);
    const to = Math.min(key.length, at + random.below(4));
    return key.slice(0, at) + random.pick([...PARTS, ...keys]) + key.slice(to);
  }

  test('name a bar, a file of bars or a month only in their one spelling, and nothing else', async () => {
    const outcomes = await fuzz('keys', (random) => {
      const key = mutateKey(random);
      const bronze = parseBronzeKey(key);
      const months = [5, 34].flatMap((interval) => {
        const parsed = parseSilverKey(interval, key);
        return parsed === undefined ? [] : [{ interval, ...parsed }];
      });
      try {
        checkKey(key);
      } catch (error) {
        if (!hasCode(error, 'BadInput')) throw error;
        if (bronze !== undefined || months.length > 0) throw new Error(`"${key}" is no key, but names something`);
        return 'BadInput';
      }
      if (!/^[\w.=-]+(\/[\w.=-]+)*$/.test(key) || /(^|\/)\.\.?(\/|$)/.test(key)) throw new Error(`"${key}" is a key`);
      if (bronze !== undefined) {
        const { symbol, session } = bronze;
        const date = session === undefined ? undefined : new Date(session * 86_400_000).toISOString().slice(0, 10);
        const name = date === undefined ? 'data.parquet' : `date=${date}.parquet`;
        if (!isSymbol(symbol) || key !== `${BRONZE_PREFIX}symbol=${symbol}/${name}`)
          throw new Error(`"${key}" names a bar`);
        return 'names bars';
      }
      for (const { interval, month, shard } of months) {
        if (key !== silverKey(interval, month, shard)) throw new Error(`"${key}" names a month`);
        return 'names a month';
      }
      return 'names nothing';
    });
    if (RUNS >= 1000) expect(Object.keys(outcomes)).toHaveLength(4);
  });
});
