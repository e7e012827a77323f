import { Binary, Data, type DataType, FixedSizeBinary, Int32, Int64, makeData, Utf8 } from 'apache-arrow';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { numberReader, presence, secondsReader, textReader } from '../../../src/ingest/dms/foreign-values.ts';
import { concatBytes, encodeUtf8 } from '../../../src/lake/columns.ts';
import type { ForeignColumn, Meaning } from '../../../src/lake/foreign-columns.ts';

const [INT32, INT64, INT96, BYTES, FIXED] = [1, 2, 3, 6, 7];

function columnOf(physical: number, meaning: Meaning, length?: number): ForeignColumn {
  return { name: 'c', physical, length, meaning, type: '' };
}

/** A big-endian number in two's complement, of so many bytes. */
function bigEndian(value: bigint, length: number): Uint8Array {
  const digits = BigInt.asUintN(8 * length, value)
    .toString(16)
    .padStart(2 * length, '0');
  return new Uint8Array(Buffer.from(digits, 'hex'));
}

function binaryData(parts: readonly Uint8Array[]): Data {
  const ends = parts.map((_, i) => parts.slice(0, i + 1).reduce((sum, part) => sum + part.length, 0));
  const type = new Binary();
  return makeData({
    type,
    length: parts.length,
    nullCount: 0,
    valueOffsets: Int32Array.of(0, ...ends),
    data: concatBytes(parts),
  });
}

function wholeData(type: DataType, data: Int32Array | BigInt64Array): Data {
  return new Data(type, 0, data.length, 0, [undefined, data]);
}

/** Of all sizes: those that a double can be, and those around and far beyond. */
const whole = (bits: number) =>
  fc
    .integer({ min: 2, max: bits })
    .chain((size) => fc.bigInt({ min: -(2n ** BigInt(size - 1)), max: 2n ** BigInt(size - 1) - 1n }));

describe('numbers', () => {
  test('of 64 bits are the doubles next to them, with a sign or without', () => {
    fc.assert(
      fc.property(fc.array(whole(64), { minLength: 1 }), fc.boolean(), (values, isUnsigned) => {
        const read = numberReader(
          wholeData(new Int64(), BigInt64Array.from(values)),
          columnOf(INT64, { kind: 'integer', isUnsigned }),
        );
        expect(values.map((_, i) => read(i))).toEqual(
          values.map((value) => Number(isUnsigned ? BigInt.asUintN(64, value) : value)),
        );
      }),
      { numRuns: 200, seed: 1 },
    );
  });

  test('of 32 bits are what they are, with a sign or without', () => {
    const data = wholeData(new Int32(), Int32Array.of(0, 7, -1, -(2 ** 31)));
    const read = (isUnsigned: boolean) => {
      const numberOf = numberReader(data, columnOf(INT32, { kind: 'integer', isUnsigned }));
      return [0, 1, 2, 3].map(numberOf);
    };
    expect(read(false)).toEqual([0, 7, -1, -(2 ** 31)]);
    expect(read(true)).toEqual([0, 7, 2 ** 32 - 1, 2 ** 31]);
  });

  test('that are decimals are the doubles next to them, however they are stored', () => {
    const decimals = fc.array(whole(128), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(decimals, fc.integer({ min: 0, max: 38 }), (values, scale) => {
        const meaning = { kind: 'decimal', scale } as const;
        const expected = values.map((value) => Number(`${value}e-${scale}`));
        const fixed = makeData({
          type: new FixedSizeBinary(16),
          length: values.length,
          nullCount: 0,
          data: concatBytes(values.map((value) => bigEndian(value, 16))),
        });
        const bytes = binaryData(values.map((value, i) => bigEndian(value, 16 + (i % 3))));
        const small = values.map((value) => BigInt.asIntN(64, value));
        const readers = [
          numberReader(fixed, columnOf(FIXED, meaning, 16)),
          numberReader(bytes, columnOf(BYTES, meaning)),
        ];
        for (const read of readers) expect(values.map((_, i) => read(i))).toEqual(expected);
        const read = numberReader(wholeData(new Int64(), BigInt64Array.from(small)), columnOf(INT64, meaning));
        expect(small.map((_, i) => read(i))).toEqual(small.map((value) => Number(`${value}e-${scale}`)));
      }),
      { numRuns: 200, seed: 2 },
    );
  });

  test('of no bytes are no numbers', () => {
    expect(numberReader(binaryData([new Uint8Array()]), columnOf(BYTES, { kind: 'decimal', scale: 2 }))(0)).toBe(
      Infinity,
    );
  });

  test('are made of text, and of nothing that means something else', () => {
    const data = binaryData([Buffer.from(' 1.5 ')]);
    expect(numberReader(data, columnOf(BYTES, { kind: 'text' }))(0)).toBe(1.5);
    expect(() => numberReader(data, columnOf(BYTES, { kind: 'date' }))).toThrow('date');
  });
});

describe('times', () => {
  test.each([1e3, 1e6, 1e9])('of %d a second are whole seconds, rounded down', (perSecond) => {
    fc.assert(
      fc.property(fc.array(whole(62), { minLength: 1 }), (values) => {
        const read = secondsReader(
          wholeData(new Int64(), BigInt64Array.from(values)),
          columnOf(INT64, { kind: 'timestamp', perSecond }),
        );
        const divisor = BigInt(perSecond);
        values.forEach((value, i) => {
          const seconds = (value - (((value % divisor) + divisor) % divisor)) / divisor;
          // Of other years than a bar can have nothing is asked but that they are recognised.
          if (seconds > -31_000_000_000n && seconds < 254_000_000_000n) expect(read(i)).toBe(Number(seconds));
          else expect(Math.abs(read(i))).toBeGreaterThan(30_000_000_000);
        });
      }),
      { numRuns: 200, seed: 3 },
    );
  });

  test('of 96 bits are of the Julian day', () => {
    const words = (nanos: bigint, day: number) => [Number(BigInt.asIntN(32, nanos)), Number(nanos >> 32n), day];
    const stored = Int32Array.from([
      ...words(0n, 2_440_588),
      ...words(18_000_999_999_999n, 2_458_851),
      ...words(86_399_000_000_000n, 2_440_587),
    ]);
    const data = makeData({
      type: new FixedSizeBinary(12),
      length: 3,
      nullCount: 0,
      data: new Uint8Array(stored.buffer),
    });
    const read = secondsReader(data, columnOf(INT96, { kind: 'int96' }));
    expect([0, 1, 2].map(read)).toEqual([0, Date.UTC(2020, 0, 2, 5) / 1000, -1]);
  });

  test('are not made of numbers', () => {
    expect(() =>
      secondsReader(wholeData(new Int32(), Int32Array.of(1)), columnOf(INT32, { kind: 'integer', isUnsigned: false })),
    ).toThrow('integer');
  });
});

test('texts have no spaces around them, and long ones say that they are not whole', () => {
  const { offsets, bytes } = encodeUtf8(['', ' AAPL  ', 'Ärger', `1${'0'.repeat(2000)}`]);
  const read = textReader(makeData({ type: new Utf8(), length: 4, nullCount: 0, valueOffsets: offsets, data: bytes }));
  expect([read(0), read(1), read(2)]).toEqual(['', 'AAPL', 'Ärger']);
  expect(read(3)).toBe(`1${'0'.repeat(1023)}…`);
});

test('a row has a value where the bit of it is set', () => {
  const nullBitmap = Uint8Array.of(0b0000_0101, 0b1);
  const data = makeData({ type: new Int32(), length: 9, nullCount: 6, nullBitmap, data: new Int32Array(9) });
  expect(Array.from({ length: 9 }, (_, i) => presence(data)(i))).toEqual([
    true,
    false,
    true,
    false,
    false,
    false,
    false,
    false,
    true,
  ]);
  const isThere = presence(makeData({ type: new Int32(), length: 1, nullCount: 0, data: new Int32Array(1) }));
  expect(isThere(0)).toBe(true);
});
