/** `date` counts days, `timestamp` milliseconds, since 1970-01-01. */
export type ColumnType = 'utf8' | 'date' | 'int32' | 'float64' | 'bool' | 'timestamp';

export interface ColumnSpec {
  readonly name: string;
  readonly type: ColumnType;
  /** Absent values are NaN (float64) or −1 (int32) in memory and null in files. */
  readonly nullable?: boolean;
}

export type TableSchema = readonly ColumnSpec[];

/** Strings end to end: string i is `bytes[offsets[i]]` to `bytes[offsets[i + 1]]`, in UTF-8. */
export interface Utf8Values {
  readonly offsets: Int32Array;
  readonly bytes: Uint8Array;
}

/** Values of one column: `utf8` as {@link Utf8Values}, `bool` as 0 and 1, `timestamp` as whole milliseconds. */
export type ColumnValues = Utf8Values | Int32Array | Float64Array | Uint8Array;

/** A table as a struct of arrays: `values[c]` belongs to column c of its schema. */
export interface Columns {
  readonly length: number;
  readonly values: readonly ColumnValues[];
}

/** The same string `length` times. */
export function repeatUtf8(value: string, length: number): Utf8Values {
  const one = new TextEncoder().encode(value);
  const bytes = new Uint8Array(one.length * length);
  const offsets = new Int32Array(length + 1);
  for (let i = 1; i <= length; i++) offsets[i] = i * one.length;
  bytes.set(one.subarray(0, bytes.length));
  // What is there is doubled until all is there.
  for (let done = one.length; done > 0 && done < bytes.length; done *= 2) bytes.copyWithin(done, 0, done);
  return { bytes, offsets };
}

/** Strings as a column. */
export function encodeUtf8(values: readonly string[]): Utf8Values {
  const encoder = new TextEncoder();
  const parts = values.map((value) => encoder.encode(value));
  const offsets = new Int32Array(values.length + 1);
  for (let i = 0; i < parts.length; i++) offsets[i + 1] = offsets[i]! + parts[i]!.length;
  return { offsets, bytes: concatBytes(parts) };
}

/** The strings `dictionary[indexes[i]]`. */
export function gatherUtf8(dictionary: Utf8Values, indexes: Int32Array): Utf8Values {
  const offsets = new Int32Array(indexes.length + 1);
  for (let i = 0; i < indexes.length; i++) {
    const index = indexes[i]!;
    offsets[i + 1] = offsets[i]! + dictionary.offsets[index + 1]! - dictionary.offsets[index]!;
  }
  const bytes = new Uint8Array(offsets[indexes.length]!);
  for (let i = 0; i < indexes.length; i++) {
    // Strings are a few bytes long: a loop beats a call.
    for (let from = dictionary.offsets[indexes[i]!]!, at = offsets[i]!; at < offsets[i + 1]!; ) {
      bytes[at++] = dictionary.bytes[from++]!;
    }
  }
  return { offsets, bytes };
}

/**
 * Runs of equal strings: run r has `values[r]` in the rows `starts[r]` to `starts[r + 1]`.
 */
export function runsOfUtf8({ offsets, bytes }: Utf8Values): { readonly values: string[]; readonly starts: Int32Array } {
  const decoder = new TextDecoder();
  const values: string[] = [];
  const starts: number[] = [];
  for (let i = 0; i < offsets.length - 1; i++) {
    const [from, to] = [offsets[i]!, offsets[i + 1]!];
    let same = i > 0 && to - from === from - offsets[i - 1]!;
    for (let at = from, before = offsets[i - 1]!; same && at < to; ) same = bytes[at++] === bytes[before++];
    if (same) continue;
    values.push(decoder.decode(bytes.subarray(from, to)));
    starts.push(i);
  }
  return { values, starts: Int32Array.from([...starts, offsets.length - 1]) };
}

/** Whether two columns have the same strings. */
export function sameUtf8(a: Utf8Values, b: Utf8Values): boolean {
  return sameBytes(a.bytes, b.bytes) && sameBytes(a.offsets, b.offsets);
}

/** Whether two arrays have the same bytes. */
export function sameBytes(a: ArrayBufferView, b: ArrayBufferView): boolean {
  return (
    a.byteLength === b.byteLength &&
    Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(new Uint8Array(b.buffer, b.byteOffset, b.byteLength))
  );
}

/** All strings of a column. */
export function decodeUtf8({ offsets, bytes }: Utf8Values): string[] {
  const decoder = new TextDecoder();
  return Array.from({ length: offsets.length - 1 }, (_, i) =>
    decoder.decode(bytes.subarray(offsets[i], offsets[i + 1])),
  );
}

/** The values of column `name`; the caller knows their kind from the schema. */
export function columnOf<T extends ColumnValues>(schema: TableSchema, columns: Columns, name: string): T {
  return columns.values[schema.findIndex((column) => column.name === name)] as T;
}

/** Tables end to end. */
export function concatColumns(schema: TableSchema, parts: readonly Columns[]): Columns {
  if (parts.length === 1) return parts[0]!;
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return { length, values: schema.map((_, c) => concatValues(parts.map((part) => part.values[c]!))) };
}

function concatValues(parts: readonly ColumnValues[]): ColumnValues {
  if (parts.every((part) => part instanceof Float64Array)) return concatArrays(parts, (n) => new Float64Array(n));
  if (parts.every((part) => part instanceof Int32Array)) return concatArrays(parts, (n) => new Int32Array(n));
  if (parts.every((part) => part instanceof Uint8Array)) return concatBytes(parts);
  const strings = parts as readonly Utf8Values[];
  const offsets = new Int32Array(strings.reduce((sum, part) => sum + part.offsets.length - 1, 1));
  let [at, shift] = [0, 0];
  for (const part of strings) {
    for (let i = 1; i < part.offsets.length; i++) offsets[++at] = part.offsets[i]! + shift;
    shift += part.bytes.length;
  }
  return {
    offsets,
    bytes: concatBytes(strings.map((part) => part.bytes)),
  };
}

/** Bytes end to end. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  return concatArrays(parts, (n) => new Uint8Array(n));
}

function concatArrays<T extends Int32Array | Float64Array | Uint8Array>(
  parts: readonly T[],
  allocate: (n: number) => T,
): T {
  const whole = allocate(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * Gives the memory of an array back now instead of at some later collection: streams of large arrays would otherwise
 * hold tens of megabytes that nobody needs. The array must be its owner's alone, and is empty afterwards.
 */
export function release({ buffer, byteLength }: ArrayBufferView): void {
  if (buffer instanceof ArrayBuffer && byteLength === buffer.byteLength) buffer.transfer(0);
}

/** {@link release} of all columns of a table. */
export function releaseColumns({ values }: Columns): void {
  for (const column of values) {
    for (const array of 'offsets' in column ? [column.offsets, column.bytes] : [column]) release(array);
  }
}

/** Rows `from` (inclusive) to `to` (exclusive), as views where it can be. */
export function sliceColumns(schema: TableSchema, { values }: Columns, from: number, to: number): Columns {
  const slices = schema.map(({ type }, c) => {
    if (type !== 'utf8') return (values[c] as Float64Array).subarray(from, to);
    const { offsets, bytes } = values[c] as Utf8Values;
    const [first, last] = [offsets[from]!, offsets[to]!];
    return { offsets: offsets.slice(from, to + 1).map((offset) => offset - first), bytes: bytes.subarray(first, last) };
  });
  return { length: to - from, values: slices };
}

/** A table without rows. */
export function emptyColumns(schema: TableSchema): Columns {
  const values = schema.map(({ type }): ColumnValues => {
    if (type === 'utf8') return { offsets: new Int32Array(1), bytes: new Uint8Array() };
    if (type === 'bool') return new Uint8Array();
    return type === 'float64' || type === 'timestamp' ? new Float64Array() : new Int32Array();
  });
  return { length: 0, values };
}
