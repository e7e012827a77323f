import { Table, tableToIPC } from 'apache-arrow';
import { toRecordBatch } from './arrow.ts';
import { type Columns, type ColumnValues, emptyColumns, release, type TableSchema } from './columns.ts';

// A table as the encoder takes it: an Arrow IPC stream of a schema and one batch. apache-arrow makes the first; the second
// is written here, columns straight to their places, because building it of objects took longer than encoding its pages.

const CONTINUES = 0xffffffff;
const PREFIX_BYTES = 8;
const [METADATA_V5, RECORD_BATCH] = [4, 3];
/** What stays allocated from call to call: fresh memory is slow. */
const MAX_KEPT_BYTES = 2 ** 23;
/** Places in the flatbuffer of a Message with a RecordBatch; see its comment. */
const [MESSAGE, BATCH, NODES] = [16, 48, 68];

let kept = new Uint8Array();
const schemas = new WeakMap<TableSchema, Uint8Array>();

/** Hands the table as an IPC stream to `use`, in memory that is used again when it returns. */
export function withIpc<T>(schema: TableSchema, columns: Columns, use: (stream: Uint8Array) => T): T {
  const head = schemaMessage(schema);
  const buffers = schema.reduce((sum, { type }) => sum + (type === 'utf8' ? 3 : 2), 0);
  const bodyAt = head.length + PREFIX_BYTES + NODES + 12 + 16 * (schema.length + buffers);
  const most = columns.values.reduce((sum, values) => sum + mostBytes(values, columns.length), bodyAt + PREFIX_BYTES);
  const bytes = memory(most);
  bytes.set(head);
  const { end, nodes, places } = writeBody(schema, columns, bytes, bodyAt);
  writeMessage(new DataView(bytes.buffer, head.length), { rows: columns.length, size: end - bodyAt, nodes, places });
  new DataView(bytes.buffer).setBigUint64(end, BigInt(CONTINUES), true);
  const result = use(bytes.subarray(0, end + PREFIX_BYTES));
  if (bytes !== kept) release(bytes);
  return result;
}

function schemaMessage(schema: TableSchema): Uint8Array {
  const known = schemas.get(schema);
  if (known) return known;
  const stream = tableToIPC(new Table([toRecordBatch(schema, emptyColumns(schema))]), 'stream');
  const message = stream.slice(0, PREFIX_BYTES + new DataView(stream.buffer, stream.byteOffset).getInt32(4, true));
  schemas.set(schema, message);
  return message;
}

/** What a message says of its body: rows and absent values by column, place and length by buffer. */
interface Body {
  readonly nodes: readonly number[];
  readonly places: readonly number[];
}

function writeBody(
  schema: TableSchema,
  { length, values: columns }: Columns,
  bytes: Uint8Array,
  start: number,
): Body & { readonly end: number } {
  const nodes: number[] = [];
  const places: number[] = [];
  let at = start;
  const add = (size: number): void => {
    places.push(at - start, size);
    const end = at + size;
    at = padded(end);
    bytes.fill(0, end, at);
  };
  const write = ({ buffer, byteOffset, byteLength }: ArrayBufferView): void => {
    bytes.set(new Uint8Array(buffer, byteOffset, byteLength), at);
    add(byteLength);
  };
  schema.forEach(({ type, nullable }, c) => {
    const values = columns[c]!;
    const absent = nullable ? writeValidity(values as Float64Array | Int32Array, bytes.subarray(at)) : 0;
    nodes.push(length, absent);
    add(absent === 0 ? 0 : bitBytes(length));
    if ('offsets' in values) {
      write(values.offsets);
      write(values.bytes);
    } else if (type === 'bool') add(writeBits(values as Uint8Array, bytes.subarray(at)));
    else write(type === 'timestamp' ? BigInt64Array.from(values as Float64Array, BigInt) : values);
  });
  return { end: at, nodes, places };
}

// https://github.com/apache/arrow/blob/main/format/Message.fbs: Message { version, header_type, header, bodyLength },
// RecordBatch { length, nodes, buffers }. Each table is preceded by its vtable; offsets count from where they are.
function writeMessage(
  view: DataView,
  { rows, size, nodes, places }: Body & { readonly rows: number; readonly size: number },
): void {
  const buffersAt = NODES + 8 + 8 * nodes.length;
  const length = buffersAt + 4 + 8 * places.length;
  view.setUint32(0, CONTINUES, true);
  view.setUint32(4, length, true);
  const words = (at: number, ...values: readonly number[]) =>
    values.forEach((value, i) => {
      view.setUint32(PREFIX_BYTES + at + 4 * i, value, true);
    });
  const halves = (at: number, ...values: readonly number[]) =>
    values.forEach((value, i) => {
      view.setUint16(PREFIX_BYTES + at + 2 * i, value, true);
    });
  const longs = (at: number, values: readonly number[]) => words(at, ...values.flatMap((value) => [value, 0]));
  words(0, MESSAGE);
  halves(4, 12, 20, 16, 18, 4, 8);
  words(MESSAGE, 12, BATCH - MESSAGE - 4, size, 0);
  halves(MESSAGE + 16, METADATA_V5, RECORD_BATCH);
  halves(36, 10, 20, 8, 4, 16, 0);
  words(BATCH, 12, NODES - BATCH - 4, rows, 0, buffersAt - BATCH - 16);
  words(NODES, nodes.length / 2);
  longs(NODES + 4, nodes);
  words(buffersAt - 4, 0, places.length / 2);
  longs(buffersAt + 4, places);
}

function memory(length: number): Uint8Array<ArrayBuffer> {
  if (length <= kept.length) return kept;
  if (length > MAX_KEPT_BYTES) return new Uint8Array(length);
  kept = new Uint8Array(Math.min(MAX_KEPT_BYTES, 2 ** Math.ceil(Math.log2(length))));
  return kept;
}

function mostBytes(values: ColumnValues, rows: number): number {
  const parts = 'offsets' in values ? [values.offsets, values.bytes] : [values];
  // Timestamps are 8 bytes here and there; what bits take is less than what they are made of.
  return parts.reduce((sum, { byteLength }) => sum + padded(byteLength), padded(bitBytes(rows)));
}

function padded(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

function bitBytes(values: number): number {
  return Math.ceil(values / 8);
}

/** @returns how many are absent */
function writeValidity(values: Float64Array | Int32Array, bits: Uint8Array): number {
  const isFloat = values instanceof Float64Array;
  let absent = 0;
  bits.fill(0xff, 0, bitBytes(values.length));
  for (let i = 0; i < values.length; i++) {
    if (isFloat ? !Number.isNaN(values[i]) : values[i] !== -1) continue;
    bits[i >> 3]! &= ~(1 << (i & 7));
    absent++;
  }
  return absent;
}

/** @returns how many bytes they take */
function writeBits(values: Uint8Array, bits: Uint8Array): number {
  bits.fill(0, 0, bitBytes(values.length));
  for (let i = 0; i < values.length; i++) if (values[i]) bits[i >> 3]! |= 1 << (i & 7);
  return bitBytes(values.length);
}
