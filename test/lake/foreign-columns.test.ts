import { expect, test } from 'vitest';
import type { Footer } from '../../src/lake/footer.ts';
import { foreignColumns } from '../../src/lake/foreign-columns.ts';
import { type Field, type Struct, TYPE } from '../../src/lake/thrift.ts';
import { int32, structField, structFrom, structList, text } from '../../src/lake/thrift-fields.ts';

const [INT32, INT64, BYTES, FIXED] = [1, 2, 6, 7];
const logical = (id: number, details: Readonly<Record<number, Field>> = {}): Field =>
  structField(structFrom({ [id]: structField(structFrom(details)) }));
const unit = (id: number): Field => structField(structFrom({ [id]: structField(new Map()) }));
const flag = (value: boolean): Field => ({ type: value ? TYPE.true : TYPE.false, value });

function columnOf(physical: number, element: Readonly<Record<number, Field>>) {
  const root = structFrom({ 4: text('schema'), 5: int32(1) });
  const struct: Struct = new Map([
    [2, structList([root, structFrom({ 1: int32(physical), 4: text('c'), ...element })])],
  ]);
  return foreignColumns({ struct } as Footer, 'file')[0]!;
}

test.each<[string, number, Readonly<Record<number, Field>>, object]>([
  ['BOOLEAN', 0, {}, { kind: 'other' }],
  ['INT32', INT32, {}, { kind: 'integer', isUnsigned: false }],
  ['INT64', INT64, {}, { kind: 'integer', isUnsigned: false }],
  ['INT96', 3, {}, { kind: 'int96' }],
  ['FLOAT', 4, {}, { kind: 'float' }],
  ['DOUBLE', 5, {}, { kind: 'float' }],
  ['BYTE_ARRAY', BYTES, {}, { kind: 'text' }],
  ['FIXED_LEN_BYTE_ARRAY', FIXED, {}, { kind: 'other' }],
  ['type 99', 99, {}, { kind: 'other' }],
  ['STRING', BYTES, { 6: int32(0) }, { kind: 'text' }],
  ['STRING', BYTES, { 10: logical(1) }, { kind: 'text' }],
  ['STRING', BYTES, { 10: logical(4) }, { kind: 'text' }],
  ['STRING as INT32', INT32, { 6: int32(0) }, { kind: 'other' }],
  ['DATE', INT32, { 6: int32(6) }, { kind: 'date' }],
  ['DATE', INT32, { 10: logical(6) }, { kind: 'date' }],
  ['DATE as INT64', INT64, { 6: int32(6) }, { kind: 'other' }],
  ['TIMESTAMP(MILLIS)', INT64, { 6: int32(9) }, { kind: 'timestamp', perSecond: 1e3 }],
  ['TIMESTAMP(MICROS)', INT64, { 6: int32(10) }, { kind: 'timestamp', perSecond: 1e6 }],
  [
    'TIMESTAMP(MILLIS)',
    INT64,
    { 10: logical(8, { 1: flag(true), 2: unit(1) }) },
    { kind: 'timestamp', perSecond: 1e3 },
  ],
  [
    'TIMESTAMP(NANOS)',
    INT64,
    { 10: logical(8, { 1: flag(false), 2: unit(3) }) },
    { kind: 'timestamp', perSecond: 1e9 },
  ],
  ['TIMESTAMP of an unknown unit', INT64, { 10: logical(8, { 1: flag(true), 2: unit(9) }) }, { kind: 'other' }],
  ['TIMESTAMP(MILLIS) as INT32', INT32, { 6: int32(9) }, { kind: 'other' }],
  ['DECIMAL(9, 2)', INT32, { 6: int32(5), 7: int32(2), 8: int32(9) }, { kind: 'decimal', scale: 2 }],
  ['DECIMAL(38, 0)', FIXED, { 2: int32(16), 6: int32(5), 8: int32(38) }, { kind: 'decimal', scale: 0 }],
  ['DECIMAL(20, 4)', BYTES, { 10: logical(5, { 1: int32(4), 2: int32(20) }) }, { kind: 'decimal', scale: 4 }],
  ['DECIMAL(9, -2)', INT32, { 6: int32(5), 7: int32(-2), 8: int32(9) }, { kind: 'other' }],
  ['unsigned INTEGER', INT64, { 6: int32(14) }, { kind: 'integer', isUnsigned: true }],
  ['INTEGER', INT32, { 6: int32(15) }, { kind: 'integer', isUnsigned: false }],
  ['unsigned INTEGER', INT32, { 10: logical(10, { 2: flag(false) }) }, { kind: 'integer', isUnsigned: true }],
  ['TIME', INT64, { 6: int32(8) }, { kind: 'other' }],
  ['INTERVAL', FIXED, { 2: int32(12), 6: int32(21) }, { kind: 'other' }],
  ['UUID', FIXED, { 2: int32(16), 10: logical(14) }, { kind: 'other' }],
  ['logical type 77', BYTES, { 10: logical(77) }, { kind: 'other' }],
])('%s', (type, physical, element, meaning) => {
  const { 2: length } = element;
  expect(columnOf(physical, element)).toEqual({ name: 'c', physical, length: length?.value, meaning, type });
});

test('a schema that is none is CorruptObject', () => {
  const struct: Struct = new Map([[2, structList([new Map(), structFrom({ 4: text('no type') })])]]);
  expect(() => foreignColumns({ struct } as Footer, 'file')).toThrow('file');
});
