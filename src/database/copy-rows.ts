import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ClientBase } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { Columns, ColumnType, TableSchema, Utf8Values } from '../lake/columns.ts';

// The binary format of COPY: https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4
const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
const CHUNK_BYTES = 256 * 2 ** 10;
/** 2000-01-01, which dates are counted from, in days since 1970-01-01. */
const EPOCH_DAYS = 10_957;
const WIDTH: Readonly<Partial<Record<ColumnType, number>>> = { date: 4, int32: 4, float64: 8, bool: 1 };
const TYPES: Readonly<Partial<Record<ColumnType, string>>> = {
  utf8: 'text COLLATE "C"',
  date: 'date',
  int32: 'integer',
  float64: 'double precision',
  bool: 'boolean',
};

/**
 * Sends rows to a table of this transaction alone, `staged`, with the columns of `schema`.
 * Absent values of nullable columns become null.
 *
 * @param order indexes of the rows to send; all, as they are, where left out
 */
export async function stageRows(
  client: ClientBase,
  schema: TableSchema,
  columns: Columns,
  { order, signal }: { readonly order?: Int32Array | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const definitions = schema.map(({ name, type }) => `${name} ${TYPES[type]}`);
  await client.query(`CREATE TEMP TABLE staged (${definitions.join(', ')}) ON COMMIT DROP`);
  const copy = client.query(copyFrom('COPY staged FROM STDIN (FORMAT binary)'));
  await pipeline(Readable.from(encodeCopy(schema, columns, order)), copy, { ...(signal ? { signal } : {}) });
}

/** Rows in the binary format of COPY, in chunks of some 256 KB. */
export function* encodeCopy(schema: TableSchema, columns: Columns, order?: Int32Array): Generator<Buffer> {
  const length = order?.length ?? columns.length;
  const encoders = schema.map((spec, c) => createEncoder(spec.type, spec.nullable === true, columns.values[c]!));
  const fixed = schema.reduce((sum, { type }) => sum + 4 + (WIDTH[type] ?? 0), 2);
  const strings = schema.flatMap(({ type }, c) => (type === 'utf8' ? [columns.values[c] as Utf8Values] : []));
  let chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  let at = SIGNATURE.copy(chunk);
  // No flags, no extension of the header.
  at = chunk.writeInt32BE(0, chunk.writeInt32BE(0, at));
  for (let n = 0; n < length; n++) {
    const row = order ? order[n]! : n;
    let bytes = fixed + 2;
    for (const { offsets } of strings) bytes += offsets[row + 1]! - offsets[row]!;
    if (at + bytes > chunk.length) {
      yield chunk.subarray(0, at);
      // The one before is on its way: it must not be written over.
      chunk = Buffer.allocUnsafe(Math.max(CHUNK_BYTES, bytes));
      at = 0;
    }
    at = chunk.writeInt16BE(schema.length, at);
    for (const encode of encoders) at = encode(row, chunk, at);
  }
  // There is room for these two bytes behind every row.
  at = chunk.writeInt16BE(-1, at);
  yield chunk.subarray(0, at);
}

type EncodeValue = (row: number, chunk: Buffer, at: number) => number;

function createEncoder(type: ColumnType, nullable: boolean, values: Columns['values'][number]): EncodeValue {
  if (type === 'utf8') {
    const { offsets, bytes } = values as Utf8Values;
    return (row, chunk, at) => {
      const [from, to] = [offsets[row]!, offsets[row + 1]!];
      let end = chunk.writeInt32BE(to - from, at);
      for (let i = from; i < to; i++) chunk[end++] = bytes[i]!;
      return end;
    };
  }
  const numbers = values as Float64Array | Int32Array | Uint8Array;
  const isAbsent = (value: number) => nullable && (type === 'float64' ? Number.isNaN(value) : value === -1);
  const write = WRITERS[type];
  if (!write) throw new Error(`a column of ${type}: COPY does not know it`);
  const width = WIDTH[type]!;
  return (row, chunk, at) => {
    const value = numbers[row]!;
    if (isAbsent(value)) return chunk.writeInt32BE(-1, at);
    return write(chunk, value, chunk.writeInt32BE(width, at));
  };
}

const WRITERS: Readonly<Partial<Record<ColumnType, (chunk: Buffer, value: number, at: number) => number>>> = {
  date: (chunk, value, at) => chunk.writeInt32BE(value - EPOCH_DAYS, at),
  int32: (chunk, value, at) => chunk.writeInt32BE(value, at),
  float64: (chunk, value, at) => chunk.writeDoubleBE(value, at),
  bool: (chunk, value, at) => chunk.writeInt8(value, at),
};
