import type { Data } from 'apache-arrow';
import { describe, expect, test } from 'vitest';
import { encodeUtf8, type TableSchema } from '../../src/lake/columns.ts';
import { decodeForeign } from '../../src/lake/decode-foreign.ts';
import { splitFooter } from '../../src/lake/footer.ts';
import { foreignColumns } from '../../src/lake/foreign-columns.ts';
import { encodeTable } from '../../src/lake/parquet-encode.ts';

const SCHEMA: TableSchema = [
  { name: 'text', type: 'utf8' },
  { name: 'number', type: 'float64', nullable: true },
  { name: 'when', type: 'timestamp' },
];
const { bytes: file } = encodeTable(SCHEMA, {
  length: 3,
  values: [encodeUtf8(['b', 'a', 'b']), Float64Array.of(1.5, Number.NaN, -2), Float64Array.of(0, 1, 1_577_923_200_000)],
});
const footer = splitFooter(file, 'file');

function decode<T>(name: string, read: (data: Data) => T, { rows = 3, change = (bytes: Uint8Array) => bytes } = {}): T {
  const column = foreignColumns(footer, 'file').find((one) => one.name === name)!;
  const chunk = footer.rowGroups[0]!.columns.find((one) => one.name === name)!;
  const bytes = change(file.slice(chunk.start, chunk.start + chunk.size));
  return decodeForeign(column, { chunk, bytes }, rows, 'file: row group 0', read);
}

describe('decodeForeign', () => {
  test('gives values as they are stored, without what they mean', () => {
    expect(decode('text', ({ type, values }) => [String(type), new TextDecoder().decode(values)])).toEqual([
      'Binary',
      'bab',
    ]);
    expect(decode('number', ({ type, nullCount, values }) => [String(type), nullCount, values[0], values[2]])).toEqual([
      'Float64',
      1,
      1.5,
      -2,
    ]);
    expect(decode('when', ({ type, values }) => [String(type), values[2]])).toEqual(['Int64', 1_577_923_200_000n]);
  });

  test('passes on what the reader throws', () => {
    expect(() => decode('text', () => expect.fail('mine'))).toThrow('mine');
  });

  test.each<[string, Parameters<typeof decode>[2]]>([
    ['of fewer values than rows', { rows: 4 }],
    ['of more values than rows', { rows: 2 }],
    ['that is cut off', { change: (bytes) => bytes.subarray(0, -1) }],
    ['that is damaged', { change: (bytes) => bytes.fill(0xa5, 8) }],
    ['that is empty', { change: () => new Uint8Array() }],
  ])('a chunk %s is CorruptObject, naming file, row group and column', (_what, options) => {
    const failure = expect(() => decode('number', () => undefined, options));
    failure.toThrow(
      expect.objectContaining({
        code: 'CorruptObject',
        message: expect.stringContaining('file: row group 0, column number'),
      }),
    );
  });
});
