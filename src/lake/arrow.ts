import {
  Bool,
  type Data,
  type DataType,
  DateDay,
  Field,
  Float64,
  Int32,
  makeData,
  RecordBatch,
  Schema,
  Struct,
  TimestampMillisecond,
  Utf8,
} from 'apache-arrow';
import { BatchLayerError } from '../errors.ts';
import type { ColumnSpec, Columns, ColumnType, ColumnValues, TableSchema, Utf8Values } from './columns.ts';

const ARROW: Record<ColumnType, () => DataType> = {
  utf8: () => new Utf8(),
  date: () => new DateDay(),
  int32: () => new Int32(),
  float64: () => new Float64(),
  bool: () => new Bool(),
  timestamp: () => new TimestampMillisecond('UTC'),
};

const NAMES = new Map(Object.entries(ARROW).map(([type, make]) => [type, String(make())]));

/** As an Arrow RecordBatch, sharing the memory where it can. */
export function toRecordBatch(schema: TableSchema, { length, values }: Columns): RecordBatch {
  const fields = schema.map(({ name, type, nullable }) => new Field(name, ARROW[type](), nullable ?? false));
  const children = schema.map((column, c) => toData(column, values[c]!, length));
  const data = makeData({ type: new Struct(fields), length, nullCount: 0, children });
  return new RecordBatch(new Schema(fields), data);
}

/**
 * The columns of an Arrow RecordBatch, absent values in their in-memory form.
 *
 * @param copy whether the memory is copied, or shared where it can be
 * @throws BatchLayerError with `code` where its columns are not those of the schema; `place` names it
 */
export function fromRecordBatch(
  schema: TableSchema,
  batch: RecordBatch,
  place: string,
  { code = 'BadInput', copy = false }: { readonly code?: 'BadInput' | 'CorruptObject'; readonly copy?: boolean } = {},
): Columns {
  const values = schema.map((column) => {
    const index = batch.schema.fields.findIndex((field) => field.name === column.name);
    const data = batch.data.children[index];
    const expected = NAMES.get(column.type)!;
    if (data === undefined || String(data.type) !== expected) {
      throw new BatchLayerError(
        code,
        `${place}: column ${column.name} is ${data?.type ?? 'missing'}: expected ${expected}`,
      );
    }
    if (!column.nullable && data.nullCount > 0) {
      throw new BatchLayerError(code, `${place}: column ${column.name} has ${data.nullCount} nulls: expected none`);
    }
    return fromData(column, data, copy);
  });
  return { length: batch.numRows, values };
}

function toData({ type, nullable }: ColumnSpec, values: ColumnValues, length: number): Data {
  const nulls = nullable ? { nullBitmap: validity(values as Float64Array | Int32Array) } : { nullCount: 0 };
  switch (type) {
    case 'utf8': {
      const { offsets, bytes } = values as Utf8Values;
      return makeData({ type: new Utf8(), length, ...nulls, valueOffsets: offsets, data: bytes });
    }
    case 'bool':
      return makeData({ type: new Bool(), length, ...nulls, data: packBits(values as Uint8Array) });
    case 'timestamp':
      return makeData({
        type: new TimestampMillisecond('UTC'),
        length,
        ...nulls,
        data: BigInt64Array.from(values as Float64Array, BigInt),
      });
    default:
      return makeData({ type: ARROW[type]() as Int32, length, ...nulls, data: values as Int32Array });
  }
}

function fromData({ type }: ColumnSpec, data: Data, copy: boolean): ColumnValues {
  const { length } = data;
  const take = <T extends Int32Array | Float64Array | Uint8Array>(values: T, from: number, to: number): T =>
    (copy ? values.slice(from, to) : values.subarray(from, to)) as T;
  switch (type) {
    case 'utf8': {
      const [from, to] = [data.valueOffsets[0] as number, data.valueOffsets[length] as number];
      const offsets = take(data.valueOffsets as Int32Array, 0, length + 1);
      return { offsets: from === 0 ? offsets : offsets.map((at) => at - from), bytes: take(data.values, from, to) };
    }
    case 'bool':
      return unpackBits(data.values, data.offset, length);
    case 'timestamp':
      return toNumbers(data.values, length);
    default: {
      const values = data.values as Int32Array | Float64Array;
      if (data.nullCount === 0) return take(values, 0, length);
      const present = values.slice(0, length);
      const absent = type === 'float64' ? Number.NaN : -1;
      const { nullBitmap, offset } = data;
      for (let i = offset; i < offset + length; i++) {
        if (((nullBitmap[i >> 3]! >> (i & 7)) & 1) === 0) present[i - offset] = absent;
      }
      return present;
    }
  }
}

function toNumbers(values: BigInt64Array, length: number): Float64Array {
  const numbers = new Float64Array(length);
  for (let i = 0; i < length; i++) numbers[i] = Number(values[i]);
  return numbers;
}

function validity(values: Float64Array | Int32Array): Uint8Array {
  const bits = new Uint8Array(Math.ceil(values.length / 8));
  const isFloat = values instanceof Float64Array;
  for (let i = 0; i < values.length; i++) {
    if (isFloat ? !Number.isNaN(values[i]) : values[i] !== -1) bits[i >> 3]! |= 1 << (i & 7);
  }
  return bits;
}

function packBits(values: Uint8Array): Uint8Array {
  const bits = new Uint8Array(Math.ceil(values.length / 8));
  for (let i = 0; i < values.length; i++) if (values[i]) bits[i >> 3]! |= 1 << (i & 7);
  return bits;
}

function unpackBits(bits: Uint8Array, offset: number, length: number): Uint8Array {
  const values = new Uint8Array(length);
  for (let i = 0; i < length; i++) values[i] = (bits[(offset + i) >> 3]! >> ((offset + i) & 7)) & 1;
  return values;
}
