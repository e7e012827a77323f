import { execFile } from 'node:child_process';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import type { RecordBatch } from 'apache-arrow';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Bars } from '../../src/bars.ts';
import { fromRecordBatch } from '../../src/lake/arrow.ts';
import { concatColumns } from '../../src/lake/columns.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { decodeTable } from '../../src/lake/parquet-decode.ts';
import { readBars } from '../../src/lake/read-bars.ts';
import { GROUP_STREAM_SCHEMA, groupsToColumns } from '../../src/lake/silver.ts';
import { writeBars } from '../../src/lake/write-bars.ts';
import { resampleBars } from '../../src/resample/kernel.ts';
import { resampleTransform } from '../../src/resample/transform.ts';
import { arbitraryBars, arbitraryIntervals, concatHistories } from '../support/arbitrary-bars.ts';
import { bronzeTable, cutIntoBatches } from '../support/bars-table.ts';
import { temporaryFolder } from '../support/temporary.ts';

const arbitraryHistories = fc.dictionary(fc.stringMatching(/^[A-Za-z]{1,4}$/), arbitraryBars({ minLength: 1 }), {
  minKeys: 1,
  maxKeys: 4,
}) as fc.Arbitrary<Record<string, Bars>>;

function expectedGroups(histories: Record<string, Bars>, n: number) {
  const symbols = Object.keys(histories).sort();
  const { bars, starts } = concatHistories(symbols.map((symbol) => histories[symbol]!));
  return groupsToColumns(GROUP_STREAM_SCHEMA, resampleBars(bars, starts, [n])[0]!, n, symbols);
}

function groupsOf(batches: readonly RecordBatch[], n: number) {
  const parts = batches.map((batch) => fromRecordBatch(GROUP_STREAM_SCHEMA, batch, 'groups'));
  const ofInterval = parts.filter((part) => (part.values[0] as Int32Array)[0] === n);
  return concatColumns(GROUP_STREAM_SCHEMA, ofInterval);
}

describe('resampleTransform', () => {
  test('gives the groups of the kernel, wherever the batches are cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        arbitraryHistories,
        arbitraryIntervals,
        fc.integer({ min: 1, max: 50 }),
        async (histories, intervals, rows) => {
          const source = Readable.from(cutIntoBatches(bronzeTable(histories), rows));
          const batches = (await source.compose(resampleTransform({ intervals })).toArray()) as RecordBatch[];
          for (const n of intervals) expect(groupsOf(batches, n)).toEqual(expectedGroups(histories, n));
        },
      ),
      { numRuns: 150 },
    );
  });

  test('composes with readBars and writeBars in one pipeline', async () => {
    const [histories] = fc.sample(arbitraryHistories, { numRuns: 1, seed: 3 });
    const store = memoryStore();
    await pipeline(Readable.from(cutIntoBatches(bronzeTable(histories!), 7)), writeBars(store, 'bars.parquet'));
    await pipeline(
      readBars(store, 'bars.parquet'),
      resampleTransform({ intervals: [3] }),
      writeBars(store, 'groups.parquet'),
    );
    const { columns } = decodeTable(GROUP_STREAM_SCHEMA, (await store.get('groups.parquet')).body, 'groups');
    expect(columns).toEqual(expectedGroups(histories!, 3));
  });

  test.each([
    ['symbols', { A: 5, B: 5 }, [1, 0]],
    ['sessions', { A: 9 }, [1, 0]],
  ])('refuses %s out of order', async (_what, lengths, order) => {
    const histories = Object.fromEntries(
      Object.entries(lengths).map(([symbol, length]) => [
        symbol,
        fc.sample(arbitraryBars({ minLength: length, maxLength: length }), { numRuns: 1, seed: 1 })[0]!,
      ]),
    );
    const batches = cutIntoBatches(bronzeTable(histories), 5);
    const stream = Readable.from(order.map((i) => batches[i])).compose(resampleTransform());
    await expect(stream.toArray()).rejects.toMatchObject({
      code: 'BadInput',
      message: expect.stringContaining('out of order'),
    });
  });
});

test('read → resample → write takes no more memory for 3 million bars than for 300,000', async () => {
  const script = new URL('../support/stream-process.ts', import.meta.url).pathname;
  const peakMb = async (bars: number): Promise<number> => {
    const folder = await temporaryFolder();
    await promisify(execFile)(process.execPath, [script, folder, 'write', String(bars)]);
    const { stdout } = await promisify(execFile)(process.execPath, [script, folder, 'resample']);
    return Number(stdout);
  };
  const [small, large] = [await peakMb(300_000), await peakMb(3_000_000)];
  // 3 M bars and their groups are 340 MB in memory, and 210 MB as files; what a collector leaves varies.
  expect(large - small).toBeLessThan(80);
});
