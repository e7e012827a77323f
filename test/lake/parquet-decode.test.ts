import { describe, expect, test } from 'vitest';
import { BRONZE_SCHEMA, encodeBars } from '../../src/lake/bronze.ts';
import { concatBytes } from '../../src/lake/columns.ts';
import { encodeFooter, splitFooter } from '../../src/lake/footer.ts';
import { decodeRowGroup, decodeTable, metadataOf } from '../../src/lake/parquet-decode.ts';
import { PREFIX, sealMetadata } from '../../src/lake/parquet-encode.ts';
import type { Field, List, Struct } from '../../src/lake/thrift.ts';
import { syntheticMarket } from '../../src/runtime/synthetic-market.ts';

const [history] = syntheticMarket({ symbols: 1, bars: 100, longest: 100, lastDate: '2025-12-31' });
const { bytes } = encodeBars('AAPL', history!.bars);

/** The file with another footer, sealed anew: damage that no digest of the footer shows. */
function forge(change: {
  readonly group?: (group: Map<number, Field>) => void;
  readonly metadata?: Record<string, string>;
}) {
  const footer = splitFooter(bytes, 'file');
  const group = new Map(footer.rowGroups[0]!.struct);
  change.group?.(group);
  const sealed = sealMetadata({ ...metadataOf(footer), ...change.metadata });
  const metadata = new Map(Object.entries(sealed).map(([key, value]) => [`${PREFIX}${key}`, value]));
  return concatBytes([bytes.subarray(0, bytes.length - footerSize()), encodeFooter(footer, [group], metadata)]);
}

function footerSize(): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(bytes.length - 8, true) + 8;
}

/** Sets a number of every column of a row group (ids of parquet.thrift's ColumnMetaData). */
function setInColumns(group: Map<number, Field>, id: number, value: number): void {
  const list = group.get(1)!.value as List;
  const items = (list.items as Struct[]).map((chunk) => {
    const column = new Map(chunk.get(3)!.value as Struct);
    column.set(id, { type: column.get(id)!.type, value });
    return new Map(chunk).set(3, { type: 12, value: column });
  });
  group.set(1, { type: 9, value: { ...list, items } });
}

test('decodeRowGroup reads the bytes of its row group only, in one range', async () => {
  const footer = splitFooter(bytes, 'file');
  const ranges: number[] = [];
  const read = async (start: number, end: number) => {
    ranges.push(end - start);
    return bytes.subarray(start, end);
  };
  const columns = await decodeRowGroup(BRONZE_SCHEMA, footer, footer.rowGroups[0]!, read, 'file');
  expect(columns).toEqual(decodeTable(BRONZE_SCHEMA, bytes, 'file').columns);
  expect(ranges).toEqual([footer.rowGroups[0]!.columns.reduce((sum, { size }) => sum + size, 0)]);
  const short = decodeRowGroup(BRONZE_SCHEMA, footer, footer.rowGroups[0]!, async () => bytes.subarray(0, 9), 'file');
  await expect(short).rejects.toMatchObject({ code: 'CorruptObject' });
});

describe('decodeTable refuses, before anything is decoded,', () => {
  test('nothing of a file that is forged to be the same', () => {
    expect(decodeTable(BRONZE_SCHEMA, forge({}), 'same').columns.length).toBe(100);
  });

  test.each<[string, Parameters<typeof forge>[0], RegExp]>([
    [
      'more rows than memory may hold, however small their pages',
      {
        group: (group) => {
          group.set(3, { type: 6, value: 2 ** 31 });
          setInColumns(group, 5, 2 ** 31);
        },
        metadata: { rows: String(2 ** 31) },
      },
      /decodes to \d+ bytes/,
    ],
    [
      'pages that say they are too large',
      { group: (group) => setInColumns(group, 6, 2 ** 40) },
      /decodes to \d+ bytes/,
    ],
    ['a codec nobody has', { group: (group) => setInColumns(group, 4, 3) }, /unknown codec 3/],
    ['a column that lies outside', { group: (group) => setInColumns(group, 9, 2 ** 30) }, /lies outside/],
    ['columns of different lengths', { group: (group) => setInColumns(group, 5, 99) }, /has not 100 values/],
    ['another row count than it carries', { metadata: { rows: '99' } }, /has 100 rows: expected 99/],
    ['column digests that are none', { metadata: { column_digests: '{"date":1}' } }, /cannot be read/],
  ])('%s', (_what, change, message) => {
    const error = (() => {
      try {
        return decodeTable(BRONZE_SCHEMA, forge(change), 'some/key.parquet');
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toMatchObject({ code: 'CorruptObject', message: expect.stringMatching(message) });
    expect((error as Error).message).toContain('some/key.parquet');
  });

  test('metadata that was changed without its digest', () => {
    const text = new TextDecoder('latin1').decode(bytes);
    const at = text.indexOf('"', text.indexOf('column_digests') + 18) + 1;
    const damaged = bytes.slice();
    damaged[at]! ^= 1;
    expect(() => decodeTable(BRONZE_SCHEMA, damaged, 'x')).toThrow(/metadata is damaged|expected/);
  });
});
