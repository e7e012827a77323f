import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeBars } from '../../src/lake/bronze.ts';
import { splitFooter } from '../../src/lake/footer.ts';
import { type Field, readStruct, type Struct, TYPE, writeStruct } from '../../src/lake/thrift.ts';
import { arbitraryBars } from '../support/arbitrary-bars.ts';

const whole = fc.integer({ min: -(2 ** 50), max: 2 ** 50 });
const bytes = fc.uint8Array({ maxLength: 40 });

const { struct } = fc.letrec<{ struct: Struct; field: Field }>((tie) => ({
  struct: fc
    .array(fc.tuple(fc.integer({ min: 1, max: 400 }), tie('field')), { maxLength: 6 })
    .map((fields) => new Map(fields)),
  field: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.boolean().map((value) => ({ type: value ? TYPE.true : TYPE.false, value })),
    fc.integer({ min: 0, max: 255 }).map((value) => ({ type: TYPE.int8, value })),
    fc.tuple(fc.constantFrom(TYPE.int16, TYPE.int32, TYPE.int64), whole).map(([type, value]) => ({ type, value })),
    fc.uint8Array({ minLength: 8, maxLength: 8 }).map((value) => ({ type: TYPE.double, value })),
    bytes.map((value) => ({ type: TYPE.binary, value })),
    fc.array(whole, { maxLength: 20 }).map((items) => ({ type: TYPE.list, value: { elementType: TYPE.int64, items } })),
    fc
      .array(fc.boolean(), { maxLength: 20 })
      .map((items) => ({ type: TYPE.list, value: { elementType: TYPE.false, items } })),
    tie('struct').map((value) => ({ type: TYPE.struct, value })),
    fc
      .array(tie('struct'), { maxLength: 17 })
      .map((items) => ({ type: TYPE.list, value: { elementType: TYPE.struct, items } })),
  ) as fc.Arbitrary<Field>,
}));

describe('the compact protocol', () => {
  test('gives back any struct that was written', () => {
    const check = (given: Struct) => {
      expect(readStruct(writeStruct(given), 'x')).toEqual(given);
    };
    fc.assert(fc.property(struct, check), { numRuns: 500 });
  });

  test('writes a footer that was read as it was', () => {
    fc.assert(
      fc.property(arbitraryBars({ minLength: 1 }), (bars) => {
        const file = encodeBars('AAPL', bars).bytes;
        const footer = splitFooter(file, 'x');
        expect(file.subarray(-8 - writeStruct(footer.struct).length, -8)).toEqual(writeStruct(footer.struct));
      }),
      { numRuns: 30 },
    );
  });

  test('takes any bytes for a struct or for damage, never for anything else', () => {
    const check = (given: Uint8Array) => {
      try {
        readStruct(given, 'some/key');
      } catch (error) {
        expect(error).toMatchObject({ code: 'CorruptObject', message: expect.stringContaining('some/key') });
      }
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), check), { numRuns: 5000 });
    const nested = new Uint8Array(10_000).fill(0x1c);
    check(nested);
    expect(() => readStruct(nested, 'x')).toThrow(/nested too deeply/);
    const empty = { type: TYPE.list, value: { elementType: TYPE.struct, items: new Array(2 ** 20).fill(new Map()) } };
    expect(() => readStruct(writeStruct(new Map([[1, empty]])), 'x')).toThrow(/more than 1048576 values/);
    expect(() => readStruct(Uint8Array.of(0x19, 0xfc, 0xff, 0xff, 0xff, 0x7f), 'x')).toThrow(/list of/);
  });
});
