import xxhash from 'xxhash-wasm';
import { type Columns, release, type TableSchema, type Utf8Values } from './columns.ts';

// XXH64: 9 GB/s measured, and 64 bits are enough against accidents; it is no defence against an attacker who can write.
const { create64, h64ToString } = await xxhash();

const CHUNK_BYTES = 1 << 20;
const NAN_BITS = [0, 0x7ff80000];

/** Content digests of a table: 16 hexadecimal digits each. */
export interface TableDigest {
  readonly rows: number;
  /** Of the whole table: rows, column names and column digests. */
  readonly digest: string;
  /** Of every column by name, so that a reader of some columns can check them. */
  readonly columns: Readonly<Record<string, string>>;
}

/**
 * Digests a table part by part; where it was cut into parts makes no difference.
 *
 * @example
 * const digester = createDigester(schema);
 * for (const part of parts) digester.update(part);
 * const { digest } = digester.finish();
 */
export function createDigester(schema: TableSchema): {
  update(columns: Columns): void;
  finish(): TableDigest;
} {
  const hashes = schema.map(() => ({ values: create64(), lengths: create64() }));
  let rows = 0;
  return {
    update({ length, values }) {
      rows += length;
      schema.forEach(({ type, nullable }, c) => {
        if (type === 'utf8') {
          const { offsets, bytes } = values[c] as Utf8Values;
          updateBytes(hashes[c]!.values, bytes);
          updateBytes(hashes[c]!.lengths, lengthsOf(offsets));
        } else {
          const column = values[c] as Float64Array;
          const hashed = nullable && type === 'float64' ? withOneNaN(column) : column;
          updateBytes(hashes[c]!.values, hashed);
          if (hashed !== column) release(hashed);
        }
      });
    },
    finish() {
      const columns = Object.fromEntries(
        schema.map(({ name }, c) => [name, h64ToString(`${hex(hashes[c]!.values)}${hex(hashes[c]!.lengths)}`)]),
      );
      return { rows, columns, digest: digestText(JSON.stringify([rows, columns])) };
    },
  };
}

/** Digest of a table in one piece. */
export function digestColumns(schema: TableSchema, columns: Columns): TableDigest {
  const digester = createDigester(schema);
  digester.update(columns);
  return digester.finish();
}

/** Digest of a string: 16 hexadecimal digits. */
export function digestText(text: string): string {
  return h64ToString(text);
}

type Hash = ReturnType<typeof create64>;

function hex(hash: Hash): string {
  return hash.digest().toString(16).padStart(16, '0');
}

// The hasher copies what it is given into its own memory, which never shrinks: large columns go in pieces.
function updateBytes(hash: Hash, { buffer, byteOffset, byteLength }: ArrayBufferView): void {
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  for (let at = 0; at < byteLength; at += CHUNK_BYTES) hash.update(bytes.subarray(at, at + CHUNK_BYTES));
}

// NaN stands for an absent value, and there are many NaNs: 0 / 0 and the constant differ in their bits.
function withOneNaN(values: Float64Array): Float64Array {
  const copy = values.slice();
  const bits = new Uint32Array(copy.buffer);
  for (let i = 0; i < copy.length; i++) if (Number.isNaN(copy[i])) bits.set(NAN_BITS, i * 2);
  return copy;
}

function lengthsOf(offsets: Int32Array): Int32Array {
  const lengths = new Int32Array(offsets.length - 1);
  for (let i = 0; i < lengths.length; i++) lengths[i] = offsets[i + 1]! - offsets[i]!;
  return lengths;
}
