import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeCopy } from '../../src/database/copy-rows.ts';
import { type Columns, encodeUtf8, type TableSchema } from '../../src/lake/columns.ts';

const SCHEMA: TableSchema = [
  { name: 'symbol', type: 'utf8' },
  { name: 'date', type: 'date' },
  { name: 'price', type: 'float64' },
  { name: 'vwap', type: 'float64', nullable: true },
  { name: 'bars', type: 'int32' },
  { name: 'trades', type: 'int32', nullable: true },
  { name: 'complete', type: 'bool' },
];
const CHUNK_BYTES = 256 * 2 ** 10;
/** 2000-01-01 in days since 1970-01-01. */
const EPOCH = 10_957;

type Row = readonly [
  symbol: string,
  date: number,
  price: number,
  vwap: number,
  bars: number,
  trades: number,
  complete: number,
];

function columnsOf(rows: readonly Row[]): Columns {
  const column = (c: number) => rows.map((row) => row[c] as number);
  return {
    length: rows.length,
    values: [
      encodeUtf8(rows.map(([symbol]) => symbol)),
      Int32Array.from(column(1)),
      Float64Array.from(column(2)),
      Float64Array.from(column(3)),
      Int32Array.from(column(4)),
      Int32Array.from(column(5)),
      Uint8Array.from(column(6)),
    ],
  };
}

/** Reads the binary format of COPY as its documentation has it: the fields of each row, null where there is none. */
function decode(bytes: Buffer): (Buffer | null)[][] {
  expect(bytes.subarray(0, 11)).toEqual(Buffer.from('5047434f50590aff0d0a00', 'hex'));
  expect([bytes.readInt32BE(11), bytes.readInt32BE(15)]).toEqual([0, 0]);
  const rows: (Buffer | null)[][] = [];
  let at = 19;
  for (;;) {
    const fields = bytes.readInt16BE(at);
    at += 2;
    if (fields === -1) break;
    rows.push(
      Array.from({ length: fields }, () => {
        const length = bytes.readInt32BE(at);
        at += 4;
        if (length === -1) return null;
        at += length;
        return bytes.subarray(at - length, at);
      }),
    );
  }
  expect(at).toBe(bytes.length);
  return rows;
}

/** The fields of a row, as the server has them. */
function fieldsOf([symbol, date, price, vwap, bars, trades, complete]: Row): (Buffer | null)[] {
  const int = (value: number) => {
    const field = Buffer.alloc(4);
    field.writeInt32BE(value);
    return field;
  };
  const float = (value: number) => {
    const field = Buffer.alloc(8);
    field.writeDoubleBE(value);
    return field;
  };
  return [
    Buffer.from(symbol),
    int(date - EPOCH),
    float(price),
    Number.isNaN(vwap) ? null : float(vwap),
    int(bars),
    trades === -1 ? null : int(trades),
    Buffer.from([complete]),
  ];
}

const encode = (columns: Columns, order?: Int32Array) => [...encodeCopy(SCHEMA, columns, order)];

const int = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const row: fc.Arbitrary<Row> = fc.tuple(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.integer({ min: -354_285, max: 2_932_896 }),
  fc.double(),
  fc.double(),
  int,
  int,
  fc.constantFrom(0, 1),
);

describe('rows in the binary format of COPY', () => {
  test('are what the format says, byte by byte', () => {
    const columns = columnsOf([
      ['é', EPOCH, 1, Number.NaN, -1, -1, 1],
      ['', EPOCH - 1, -0, 0.5, 7, 0, 0],
    ]);
    const expected = [
      '5047434f50590aff0d0a00 00000000 00000000',
      '0007 00000002c3a9 0000000400000000 000000083ff0000000000000 ffffffff 00000004ffffffff ffffffff 0000000101',
      '0007 00000000 00000004ffffffff 000000088000000000000000 000000083fe0000000000000 0000000400000007 0000000400000000 0000000100',
      'ffff',
    ];
    expect(Buffer.concat(encode(columns)).toString('hex')).toBe(expected.join('').replaceAll(' ', ''));
  });

  test('come out as they went in, absent values only of nullable columns, in any order asked for', () => {
    const table = fc.array(row, { maxLength: 20 });
    fc.assert(
      fc.property(table, fc.infiniteStream(fc.nat()), (rows, picks) => {
        expect(decode(Buffer.concat(encode(columnsOf(rows))))).toEqual(rows.map(fieldsOf));
        // Some twice, some not at all.
        const order = rows.map(() => picks.next().value % rows.length);
        const picked = order.map((i) => fieldsOf(rows[i]!));
        expect(decode(Buffer.concat(encode(columnsOf(rows), Int32Array.from(order))))).toEqual(picked);
      }),
    );
  });

  test('of no rows are a header and an end', () => {
    const none = [...encodeCopy(SCHEMA, columnsOf([['A', 0, 1, 1, 1, 1, 1]]), new Int32Array())];
    expect(none.map(({ length }) => length)).toEqual([21]);
    expect(encode(columnsOf([]))).toEqual(none);
  });

  // The bytes of a row, but for its string.
  const FIXED = 2 + 4 + 8 + 12 + 12 + 8 + 8 + 5;
  const rowOf = (bytes: number, i: number): Row => ['x'.repeat(bytes - FIXED), i, i, i, i, i, i % 2];

  test.each([
    ['ends with a row, with no room for the end', [100, CHUNK_BYTES - 19 - 100], [119, CHUNK_BYTES - 119 + 2]],
    ['ends with a row and the end', [100, CHUNK_BYTES - 19 - 100 - 2], [CHUNK_BYTES]],
    ['has a row that is longer than it', [100, 2 * CHUNK_BYTES, 100], [119, 2 * CHUNK_BYTES, 102]],
    ['is all of one row', [CHUNK_BYTES - 2], [19, CHUNK_BYTES]],
  ])('whose chunk %s are whole', (_, sizes, chunkSizes) => {
    const rows = sizes.map(rowOf);
    const chunks = encode(columnsOf(rows));
    expect(chunks.map(({ length }) => length)).toEqual(chunkSizes);
    expect(decode(Buffer.concat(chunks))).toEqual(rows.map(fieldsOf));
  });

  test('of many chunks keep what was given before as it was', () => {
    const rows = Array.from({ length: 20_000 }, (_, i) => rowOf(FIXED + (i % 24), i));
    const copies: Buffer[] = [];
    const chunks: Buffer[] = [];
    for (const chunk of encodeCopy(SCHEMA, columnsOf(rows))) {
      chunks.push(chunk);
      copies.push(Buffer.from(chunk));
    }
    expect(chunks.length).toBeGreaterThan(4);
    expect(Math.max(...chunks.map(({ length }) => length))).toBeLessThanOrEqual(CHUNK_BYTES);
    expect(chunks.every((chunk, i) => chunk.equals(copies[i]!))).toBe(true);
    const decoded = decode(Buffer.concat(copies));
    expect(decoded.length).toBe(rows.length);
    expect(
      decoded.every((fields, i) =>
        Buffer.concat(fields.map((field) => field ?? Buffer.from('-'))).equals(
          Buffer.concat(fieldsOf(rows[i]!).map((field) => field ?? Buffer.from('-'))),
        ),
      ),
    ).toBe(true);
  });

  test('of a type that the server is not told of are refused', () => {
    const columns = { length: 1, values: [Float64Array.of(1)] };
    expect(() => [...encodeCopy([{ name: 'at', type: 'timestamp' }], columns)]).toThrow(/timestamp/);
  });
});
