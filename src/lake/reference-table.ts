import { hasCode } from '../errors.ts';
import { compareSymbols } from '../symbol.ts';
import {
  type ColumnSpec,
  type Columns,
  type ColumnType,
  type ColumnValues,
  emptyColumns,
  gatherUtf8,
  type TableSchema,
  type Utf8Values,
} from './columns.ts';
import { digestColumns } from './digest.ts';
import { decodeTable } from './parquet-decode.ts';
import { encodeTable, type FileMetadata } from './parquet-encode.ts';
import { conditionOf, type ObjectStore, orNone, type StoreCall } from './store.ts';

// Reference data (splits, dividends, metadata of symbols) is fetched whole and kept whole: one object a table.

/** Where tables of reference data are. */
export const REFERENCE_PREFIX = 'reference/';

/** A table as it was read. */
export interface ReferenceTable {
  readonly columns: Columns;
  readonly etag: string;
  readonly metadata: FileMetadata;
  /** Of the columns; `undefined` where they are damaged. */
  readonly digest: string | undefined;
  /** Set where the object is there but damaged: it has no rows then, and is there to be replaced. Who needs rows stops. */
  readonly damage?: string;
}

/** A row by column name, absent values as in memory: '' (utf8), NaN (float64), −1 (int32, date). */
export type ReferenceRow = Readonly<Record<string, string | number>>;

/** Rows of a table, collected one by one and kept as columns. */
export interface RowCollector {
  /** A row with the key of an earlier one takes its place. */
  add(row: ReferenceRow): void;
  /** Rows so far, each key once. */
  rows(): number;
  /** Rows that took the place of another. */
  repeated(): number;
  /** All rows, in ascending order of the columns named. Nothing can be added afterwards. */
  finish(order: readonly string[]): Columns;
}

/** Reads a table of reference data, or `undefined` where there is none; of a damaged one it tells `damage`. */
export async function readReferenceTable(
  store: ObjectStore,
  key: string,
  schema: TableSchema,
  call?: StoreCall,
): Promise<ReferenceTable | undefined> {
  const object = await orNone(store.get(key, call));
  if (object === undefined) return undefined;
  try {
    return { ...decodeTable(schema, object.body, key), etag: object.etag };
  } catch (error) {
    if (!hasCode(error, 'CorruptObject')) throw error;
    const none = { columns: emptyColumns(schema), metadata: {}, digest: undefined };
    return { ...none, etag: object.etag, damage: error.message };
  }
}

/**
 * Puts a table in the place of the one that was read, whole. The same columns as there are not written again, whatever the
 * metadata.
 *
 * @param options `etag` and `digest` of the table that was read; left out where there was none
 * @returns whether it was written
 * @throws BatchLayerError `Conflict` where another table is there by now: read it, and plan again
 * @example
 * const { etag, digest } = (await readReferenceTable(store, key, schema)) ?? {};
 * await replaceReferenceTable(store, key, schema, columns, { etag, digest });
 */
export async function replaceReferenceTable(
  store: ObjectStore,
  key: string,
  schema: TableSchema,
  columns: Columns,
  {
    etag,
    digest: known,
    metadata = {},
    signal,
  }: StoreCall & {
    readonly etag?: string | undefined;
    readonly digest?: string | undefined;
    readonly metadata?: FileMetadata | undefined;
  } = {},
): Promise<boolean> {
  const digest = digestColumns(schema, columns);
  if (known !== undefined && digest.digest === known) return false;
  const { bytes } = encodeTable(schema, columns, { metadata, digest });
  await store.put(key, bytes, { ...conditionOf(etag), signal });
  return true;
}

/** Collects rows whose key is the first column of the schema. */
export function collectRows(schema: TableSchema): RowCollector {
  const [key, ...others] = schema as readonly [ColumnSpec, ...ColumnSpec[]];
  const keys = growStrings();
  const columns = [keys, ...others.map(({ type }) => (type === 'utf8' ? growStrings() : growNumbers(type)))];
  let repeated = 0;
  return {
    add(row) {
      const rows = keys.size();
      const i = keys.codeOf(row[key.name] as string);
      if (i < rows) repeated++;
      schema.forEach(({ name }, c) => {
        columns[c]!.set(i, row[name]!);
      });
    },
    rows: keys.size,
    repeated: () => repeated,
    finish(order) {
      const comparisons = order.map((name) =>
        columns[schema.findIndex((column) => column.name === name)]!.comparison(),
      );
      const rows = Int32Array.from({ length: keys.size() }, (_, i) => i).sort((i, j) => {
        for (const compare of comparisons) {
          const difference = compare(i, j);
          if (difference !== 0) return difference;
        }
        return 0;
      });
      return { length: rows.length, values: columns.map((column) => column.gather(rows)) };
    },
  };
}

interface GrowingColumn {
  set(i: number, value: string | number): void;
  /** What orders two rows. */
  comparison(): (i: number, j: number) => number;
  /** The values of these rows. */
  gather(rows: Int32Array): ColumnValues;
}

function growNumbers(type: ColumnType) {
  const allocate = (length: number) => {
    if (type === 'bool') return new Uint8Array(length);
    return type === 'date' || type === 'int32' ? new Int32Array(length) : new Float64Array(length);
  };
  let values = allocate(1024);
  return {
    at: (i: number) => values[i]!,
    set(i: number, value: string | number) {
      if (i >= values.length) {
        const longer = allocate(2 * values.length);
        longer.set(values);
        values = longer;
      }
      values[i] = value as number;
    },
    comparison: () => (i: number, j: number) => values[i]! - values[j]!,
    gather(rows: Int32Array) {
      const gathered = allocate(rows.length);
      for (let at = 0; at < rows.length; at++) gathered[at] = values[rows[at]!]!;
      return gathered;
    },
  } satisfies GrowingColumn & { at(i: number): number };
}

// Symbols, currencies and kinds come again and again: each string is kept once, and rows have its number.
function growStrings() {
  const numbers = new Map<string, number>();
  const codes = growNumbers('int32');
  const codeOf = (value: string) => {
    const code = numbers.get(value) ?? numbers.size;
    if (code === numbers.size) numbers.set(value, code);
    return code;
  };
  return {
    codeOf,
    size: () => numbers.size,
    set: (i: number, value: string | number) => codes.set(i, codeOf(value as string)),
    comparison() {
      const strings = [...numbers.keys()];
      return (i: number, j: number) => {
        const [a, b] = [codes.at(i), codes.at(j)];
        return a === b ? 0 : compareSymbols(strings[a]!, strings[b]!);
      };
    },
    gather: (rows: Int32Array) => gatherUtf8(packUtf8([...numbers.keys()]), codes.gather(rows) as Int32Array),
  } satisfies GrowingColumn & { codeOf(value: string): number; size(): number };
}

// encodeUtf8 makes an array of every string, which is too much for a million.
function packUtf8(strings: readonly string[]): Utf8Values {
  const offsets = new Int32Array(strings.length + 1);
  for (const [i, string] of strings.entries()) offsets[i + 1] = offsets[i]! + Buffer.byteLength(string);
  const bytes = new Uint8Array(offsets[strings.length]!);
  const buffer = Buffer.from(bytes.buffer);
  for (const [i, string] of strings.entries()) buffer.write(string, offsets[i]!);
  return { offsets, bytes };
}
