import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { RecordBatch } from 'apache-arrow';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Bars } from '../../src/bars.ts';
import { fromRecordBatch } from '../../src/lake/arrow.ts';
import { BRONZE_SCHEMA } from '../../src/lake/bronze.ts';
import { concatColumns } from '../../src/lake/columns.ts';
import { fileStore } from '../../src/lake/file-store.ts';
import { splitFooter } from '../../src/lake/footer.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { decodeTable } from '../../src/lake/parquet-decode.ts';
import { readBars } from '../../src/lake/read-bars.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { writeBars } from '../../src/lake/write-bars.ts';
import { syntheticMarket } from '../../src/runtime/synthetic-market.ts';
import { arbitraryBars } from '../support/arbitrary-bars.ts';
import { bronzeTable, cutIntoBatches } from '../support/bars-table.ts';
import { temporaryFolder } from '../support/temporary.ts';

const histories = [...syntheticMarket({ symbols: 12, bars: 144_000, longest: 12_000, lastDate: '2026-11-20' })];
const market = bronzeTable(Object.fromEntries(histories.map(({ symbol, bars }) => [symbol, bars])));

async function writeMarket(rows = 5000) {
  const store = memoryStore();
  await pipeline(Readable.from(cutIntoBatches(market, rows)), writeBars(store, 'market.parquet'));
  return store;
}

describe('readBars and writeBars', () => {
  test('give back what was written, whatever the batches', async () => {
    const histories = fc.dictionary(fc.stringMatching(/^[A-Za-z]{1,4}$/), arbitraryBars({ minLength: 1 }), {
      minKeys: 1,
      maxKeys: 4,
    });
    await fc.assert(
      fc.asyncProperty(histories, fc.integer({ min: 1, max: 50 }), async (given, rows) => {
        const store = memoryStore();
        const table = bronzeTable(given as Record<string, Bars>);
        await pipeline(Readable.from(cutIntoBatches(table, rows)), writeBars(store, 'a.parquet'));
        const batches = (await readBars(store, 'a.parquet').toArray()) as RecordBatch[];
        expect(
          concatColumns(
            BRONZE_SCHEMA,
            batches.map((batch) => fromRecordBatch(BRONZE_SCHEMA, batch, 'a')),
          ),
        ).toEqual(table);
      }),
      { numRuns: 40 },
    );
  });

  test('cut a long file into row groups of 65,536 rows at most, read one by one', async () => {
    const store = await writeMarket();
    const batches = (await readBars(store, 'market.parquet').toArray()) as RecordBatch[];
    expect(batches.length).toBe(3);
    expect(Math.max(...batches.map((batch) => batch.numRows))).toBeLessThanOrEqual(65_536);
    expect(decodeTable(BRONZE_SCHEMA, (await store.get('market.parquet')).body, 'whole').columns).toEqual(market);
  });

  test('the content, not the batches, decides the digest', async () => {
    const digests = await Promise.all(
      [5000, 777].map(async (rows) => {
        const { body } = await (await writeMarket(rows)).get('market.parquet');
        return decodeTable(BRONZE_SCHEMA, body, 'market').digest;
      }),
    );
    expect(digests[0]).toBe(digests[1]);
  });

  test('a file without rows is a file', async () => {
    const store = memoryStore();
    await pipeline(Readable.from([]), writeBars(store, 'empty.parquet'));
    expect(await readBars(store, 'empty.parquet').toArray()).toEqual([]);
  });

  test('damage in the last row group fails the stream before its end', async () => {
    const store = await writeMarket();
    const { body } = await store.get('market.parquet');
    body[Math.floor(body.length * 0.9)]! ^= 4;
    await store.put('market.parquet', body);
    const copy = pipeline(readBars(store, 'market.parquet'), writeBars(store, 'copy.parquet'));
    await expect(copy).rejects.toMatchObject({
      code: 'CorruptObject',
      message: expect.stringContaining('market.parquet'),
    });
    await expect(store.head('copy.parquet')).rejects.toMatchObject({ code: 'NotFound' });
  });

  test('an object replaced while it is read is a Conflict, never a mixture', async () => {
    const store = await writeMarket();
    const stream = readBars(store, 'market.parquet');
    const replace = (async () => {
      for await (const _ of stream) await store.put('market.parquet', (await store.get('market.parquet')).body);
    })();
    await expect(replace).rejects.toMatchObject({ code: 'Conflict' });
  });

  test('abort by signal: both streams fail with its reason and nothing is written', async () => {
    const store = await writeMarket();
    const controller = new AbortController();
    const { signal } = controller;
    const source = readBars(store, 'market.parquet', { signal });
    source.once('data', () => controller.abort(new Error('enough')));
    const copy = pipeline(source, writeBars(store, 'copy.parquet', { signal }), { signal });
    await expect(copy).rejects.toMatchObject({
      name: 'AbortError',
      cause: expect.objectContaining({ message: 'enough' }),
    });
    await expect(store.head('copy.parquet')).rejects.toMatchObject({ code: 'NotFound' });
  });

  test('conditions, missing objects and foreign batches fail with their codes', async () => {
    const store = await writeMarket();
    const again = pipeline(
      Readable.from(cutIntoBatches(market, 9999)),
      writeBars(store, 'market.parquet', { ifNoneMatch: '*' }),
    );
    await expect(again).rejects.toMatchObject({ code: 'Conflict' });
    await expect(readBars(store, 'none.parquet').toArray()).rejects.toMatchObject({ code: 'NotFound' });
    const [batch] = cutIntoBatches(market, 10);
    const foreign = pipeline(Readable.from([batch!.select(['symbol', 'open'])]), writeBars(store, 'x.parquet'));
    await expect(foreign).rejects.toMatchObject({ code: 'BadInput', message: expect.stringContaining('date') });
  });

  test('a batch of any size is cut into row groups', async () => {
    const store = await writeMarket(144_000);
    const batches = (await readBars(store, 'market.parquet').toArray()) as RecordBatch[];
    expect(batches.map((batch) => batch.numRows)).toEqual([65_536, 65_536, 12_928]);
  });

  test('reads ranges only, and no further ahead of a slow reader than two row groups', async () => {
    const store = await writeMarket();
    let [bytes, ranges] = [0, 0];
    const counting: ObjectStore = {
      ...store,
      get: () => Promise.reject(new Error('read whole')),
      async getRange(key, call) {
        ranges++;
        bytes += call.end - call.start;
        return store.getRange(key, call);
      },
    };
    const reader = readBars(counting, 'market.parquet')[Symbol.asyncIterator]();
    await reader.next();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(ranges).toBeLessThanOrEqual(1 + 2);
    while (!(await reader.next()).done) {}
    expect(ranges).toBe(1 + 3);
    expect(bytes).toBeLessThan((await store.head('market.parquet')).size + 65_536);
  });

  describe('of some columns', () => {
    const some = ['close'];
    const keys = ['symbol', 'date', 'close'];
    const schema = BRONZE_SCHEMA.filter(({ name }) => keys.includes(name));

    async function chunksOf(store: ObjectStore) {
      const { rowGroups } = splitFooter((await store.get('market.parquet')).body, 'market');
      return rowGroups.flatMap(({ columns }) => columns);
    }

    test('are what all columns have, and no more is read than their bytes', async () => {
      const store = await writeMarket();
      let bytes = 0;
      const counting: ObjectStore = {
        ...store,
        getRange: (key, call) => {
          bytes += call.end - call.start;
          return store.getRange(key, call);
        },
      };
      const batches = (await readBars(counting, 'market.parquet', { columns: some }).toArray()) as RecordBatch[];
      expect(batches[0]!.schema.names).toEqual(keys);
      const read = batches.map((batch) => fromRecordBatch(schema, batch, 'a'));
      const all = BRONZE_SCHEMA.flatMap(({ name }, c) => (keys.includes(name) ? [market.values[c]!] : []));
      expect(concatColumns(schema, read)).toEqual({ length: market.length, values: all });
      const wanted = (await chunksOf(store)).filter(({ name }) => keys.includes(name));
      // The end of the file, for its footer; what lies between is read too only where it is small.
      expect(bytes).toBe(65_536 + wanted.reduce((sum, { size }) => sum + size, 0));
    });

    test.each([
      ['close', false],
      ['symbol', false],
      ['open', true],
      ['volume', true],
    ])('damage in %s goes unnoticed: %s', async (name, isUnnoticed) => {
      const store = await writeMarket();
      const { body } = await store.get('market.parquet');
      const chunk = (await chunksOf(store)).find((column) => column.name === name)!;
      body[chunk.start + (chunk.size >> 1)]! ^= 16;
      await store.put('market.parquet', body);
      const read = readBars(store, 'market.parquet', { columns: some }).toArray();
      if (isUnnoticed) expect(await read).toHaveLength(3);
      else await expect(read).rejects.toMatchObject({ code: 'CorruptObject' });
    });

    test('one that the file does not have is BadInput, or CorruptObject where its name is damaged', async () => {
      const store = await writeMarket();
      const read = (name: string) => readBars(store, 'market.parquet', { columns: [name] }).toArray();
      await expect(read('end_date')).rejects.toMatchObject({
        code: 'BadInput',
        message: expect.stringContaining('"end_date"'),
      });
      const { body } = await store.get('market.parquet');
      const damaged = Buffer.from(body).toString('latin1').replaceAll('trades', 'grades');
      await store.put('market.parquet', Buffer.from(damaged, 'latin1'));
      await expect(read('trades')).rejects.toMatchObject({ code: 'CorruptObject' });
    });
  });

  test('an empty object is no file', async () => {
    const store = memoryStore();
    await store.put('a.parquet', new Uint8Array());
    await expect(readBars(store, 'a.parquet').toArray()).rejects.toMatchObject({ code: 'CorruptObject' });
  });

  test('a source that fails before the store is ready fails the pipeline, not the process', async () => {
    const folder = await temporaryFolder();
    const fail = (key: string, target: string) =>
      pipeline(readBars(fileStore(folder), key), writeBars(fileStore(folder), target));
    await expect(fail('none.parquet', 'copy.parquet')).rejects.toMatchObject({ code: 'NotFound' });
    await expect(fail('none.parquet', '../copy')).rejects.toMatchObject({
      code: expect.stringMatching(/NotFound|BadInput/),
    });
    const closed = writeBars(fileStore(folder), 'copy.parquet').destroy();
    await new Promise((resolve) => closed.once('close', resolve));
    expect(closed.errored).toBeNull();
    expect(await Array.fromAsync(fileStore(folder).list(''))).toEqual([]);
  });

  test('an abort while the store has yet to take the end leaves no object', async () => {
    const store = memoryStore();
    const slow: ObjectStore = {
      ...store,
      async putStream(key, chunks, call) {
        await new Promise((resolve) => setTimeout(resolve, 200));
        return store.putStream(key, chunks, { ...call, signal: undefined });
      },
    };
    const signal = AbortSignal.timeout(50);
    const write = pipeline(Readable.from(cutIntoBatches(market, 10).slice(0, 1)), writeBars(slow, 'late.parquet'), {
      signal,
    });
    await expect(write).rejects.toMatchObject({ name: 'AbortError' });
    await new Promise((resolve) => setTimeout(resolve, 300));
    await expect(store.head('late.parquet')).rejects.toMatchObject({ code: 'NotFound' });
  });
});
