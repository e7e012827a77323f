import { parquetReadObjects } from 'hyparquet';
import { describe, expect, test } from 'vitest';
import { allocateBars, sliceBars } from '../../src/bars.ts';
import { BRONZE_SCHEMA, barsToColumns } from '../../src/lake/bronze.ts';
import { memoryStore, type ObjectStore } from '../../src/lake/index.ts';
import { sessionKey } from '../../src/lake/keys.ts';
import { encodeTable } from '../../src/lake/parquet-encode.ts';
import { encodeSession, listSessionFiles, putSessionFile, readSessionFile } from '../../src/lake/session-file.ts';
import { sessionFrom } from '../../src/session.ts';
import { rowsOf } from '../support/lake-reader.ts';

const SESSION = sessionFrom('2026-03-13');

/** An answer in which the nth symbol closes at `n + close`; the last one has neither vwap nor trades. */
function answer(symbols: readonly string[], { close = 10, session = SESSION, missing = [] as readonly string[] } = {}) {
  const bars = allocateBars(symbols.length, { vwap: true, trades: true });
  for (const i of symbols.keys()) {
    bars.session[i] = session;
    for (const name of ['open', 'high', 'low', 'close'] as const) bars[name][i] = close + i;
    bars.volume[i] = 100.125 + i;
    if (i === symbols.length - 1) continue;
    bars.vwap![i] = close + i + 0.5;
    bars.trades![i] = 7 + i;
  }
  return { session, symbols, bars, missing, source: 'grouped', askedAt: 1_000 };
}

async function put(store: ObjectStore, given: ReturnType<typeof answer>): Promise<string> {
  const file = encodeSession(given);
  await putSessionFile(store, given.session, file);
  return file.digest;
}

const corrupt = (key: string) =>
  expect.objectContaining({ code: 'CorruptObject', message: expect.stringContaining(key) });

describe('a session file', () => {
  test.each([
    ['of many symbols', ['AAPL', 'AAPW', 'AAPw', 'BRK.B', 'NULL']],
    ['of one symbol, without vwap and trades', ['AAPL']],
    ['of a session without bars', []],
  ])('gives back the answer %s', async (_, symbols) => {
    const store = memoryStore();
    const given = answer(symbols, { missing: ['MSFT', 'T'] });
    const found = await readSessionFile(store, SESSION, await put(store, given));
    expect(found).toMatchObject({ session: SESSION, symbols, missing: ['MSFT', 'T'] });
    expect(rowsOf(found.bars)).toEqual(rowsOf(given.bars));
  });

  test('is bronze as others read it', async () => {
    const store = memoryStore();
    const digest = await put(store, answer(['AAPL', 'NULL']));
    const file = new Uint8Array((await store.get(sessionKey(SESSION, digest))).body).buffer;
    const date = new Date('2026-03-13T00:00:00Z');
    expect(await parquetReadObjects({ file })).toMatchObject([
      { symbol: 'AAPL', date, close: 10, volume: 100.125, vwap: 10.5, trades: 7 },
      { symbol: 'NULL', date, close: 11, volume: 101.125, vwap: null, trades: null },
    ]);
  });

  test('has one name for the same bars, and another for others', async () => {
    const store = memoryStore();
    const digests = [
      await put(store, answer(['AAPL', 'MSFT'])),
      await put(store, answer(['AAPL', 'MSFT'])),
      await put(store, answer(['AAPL', 'MSFT'], { close: 11 })),
      await put(store, answer(['AAPL', 'MSFU'])),
      await put(store, answer(['AAPL'])),
    ];
    expect(digests[1]).toBe(digests[0]);
    expect(new Set(digests).size).toBe(4);
    expect([...(await listSessionFiles(store, { from: SESSION, to: SESSION }))]).toEqual([
      [SESSION, [...new Set(digests)].sort()],
    ]);
  });

  test('is not written again where it is there', async () => {
    const store = memoryStore();
    const digest = await put(store, answer(['AAPL']));
    const { etag } = await store.head(sessionKey(SESSION, digest));
    await put(store, answer(['AAPL']));
    expect((await store.head(sessionKey(SESSION, digest))).etag).toBe(etag);
  });

  test('takes the place of one that is damaged, or told of other symbols that are missing', async () => {
    const store = memoryStore();
    const digest = await put(store, answer(['AAPL'], { missing: ['MSFT'] }));
    await put(store, answer(['AAPL']));
    expect((await readSessionFile(store, SESSION, digest)).missing).toEqual([]);
    await store.put(sessionKey(SESSION, digest), new Uint8Array(7));
    await put(store, answer(['AAPL'], { missing: ['T'] }));
    expect((await readSessionFile(store, SESSION, digest)).missing).toEqual(['T']);
  });

  test('is damaged where it is not whole, or is not what its name says', async () => {
    const store = memoryStore();
    const digest = await put(store, answer(['AAPL', 'MSFT']));
    const key = sessionKey(SESSION, digest);
    const { body } = await store.get(key);
    const others = encodeSession(answer(['AAPL', 'MSFT'], { close: 11 })).bytes;
    const unsorted = encodeSession(answer(['MSFT', 'AAPL']));
    const twice = encodeSession(answer(['AAPL', 'AAPL']));
    const elsewhere = encodeSession(answer(['AAPL', 'MSFT'], { session: SESSION - 1 }));
    for (const damaged of [body.slice(0, -1), body.slice(0, body.length / 2), others, new Uint8Array()]) {
      await store.put(key, damaged);
      await expect(readSessionFile(store, SESSION, digest)).rejects.toEqual(corrupt(key));
    }
    for (const { bytes, digest: name } of [unsorted, twice, elsewhere]) {
      await store.put(sessionKey(SESSION, name), bytes);
      await expect(readSessionFile(store, SESSION, name)).rejects.toEqual(corrupt(sessionKey(SESSION, name)));
    }
  });

  test('is damaged where its prices are not raw', async () => {
    const store = memoryStore();
    const table = barsToColumns('AAPL', sliceBars(answer(['AAPL']).bars, 0, 1));
    const { bytes, digest } = encodeTable(BRONZE_SCHEMA, table, { metadata: { prices: 'adjusted' } });
    await store.put(sessionKey(SESSION, digest.digest), bytes);
    const read = readSessionFile(store, SESSION, digest.digest);
    await expect(read).rejects.toEqual(corrupt(sessionKey(SESSION, digest.digest)));
  });

  test('that is not there is not found', async () => {
    const read = readSessionFile(memoryStore(), SESSION, '0123456789abcdef');
    await expect(read).rejects.toEqual(expect.objectContaining({ code: 'NotFound' }));
  });
});

describe('listSessionFiles', () => {
  test('gives the digests of a range, both ends included, and passes over what is no session file', async () => {
    const store = memoryStore();
    const days = [-2, -1, 0, 1, 2].map((n) => SESSION + n);
    const digests: string[] = [];
    for (const session of days) digests.push(await put(store, answer(['AAPL'], { session })));
    for (const name of [
      'date=2026-03-13/x.parquet',
      'date=2026-02-30/0123456789abcdef.parquet',
      'date=2026-03-13',
      'a',
    ]) {
      await store.put(`processing_metadata/sessions/${name}`, new Uint8Array());
    }
    expect([...(await listSessionFiles(store, { from: days[1]!, to: days[3]! }))]).toEqual(
      [1, 2, 3].map((i) => [days[i], [digests[i]]]),
    );
    expect(await listSessionFiles(memoryStore(), { from: days[0]!, to: days[4]! })).toEqual(new Map());
  });

  test('lists no day before the range: one page tells of a month, however long the lake is', async () => {
    const store = memoryStore();
    for (const session of [SESSION - 9, SESSION]) await put(store, answer(['AAPL'], { session }));
    const seen: (string | undefined)[] = [];
    const watched: ObjectStore = {
      ...store,
      list: (prefix, call) => {
        seen.push(call?.startAfter);
        return store.list(prefix, call);
      },
    };
    await listSessionFiles(watched, { from: SESSION, to: SESSION });
    expect(seen).toEqual(['processing_metadata/sessions/date=2026-03-13']);
  });
});
