import { BatchLayerError } from '../errors.ts';
import { type Field, type List, readStruct, type Struct, TYPE, type Value, writeStruct } from './thrift.ts';

// The metadata at the end of a Parquet file: https://github.com/apache/parquet-format (parquet.thrift names the ids).
// Read here, before any byte reaches the decoder, and written here, so that row groups can be spliced: a row group that
// is read or written by itself travels as a small Parquet file of its own.

const MAGIC = new TextEncoder().encode('PAR1');
/** Bytes after the footer: its length and the magic. */
export const TAIL_BYTES = 8;
const FILE = { schema: 2, rows: 3, rowGroups: 4, metadata: 5 } as const;
const ELEMENT = { name: 4, children: 5 } as const;
const GROUP = { columns: 1, rows: 3, offset: 5, ordinal: 7 } as const;
const CHUNK = { path: 1, offset: 2, metadata: 3, indexes: [4, 5, 6, 7] } as const;
const COLUMN = {
  path: 3,
  codec: 4,
  values: 5,
  uncompressedSize: 6,
  size: 7,
  dataPage: 9,
  indexPage: 10,
  dictionaryPage: 11,
  bloom: [14, 15],
} as const;

/** One column of one row group. */
export interface ColumnChunk {
  readonly name: string;
  /** First byte, and number of bytes, in the file. */
  readonly start: number;
  readonly size: number;
  readonly uncompressedSize: number;
  /** Number in Parquet's CompressionCodec. */
  readonly codec: number;
}

export interface RowGroup {
  readonly rows: number;
  readonly columns: readonly ColumnChunk[];
  readonly struct: Struct;
}

export interface Footer {
  readonly rows: number;
  /** Names of the columns, in the order of the file. */
  readonly columns: readonly string[];
  readonly rowGroups: readonly RowGroup[];
  /** Key-value metadata. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly struct: Struct;
}

/**
 * Length of the footer, from the last {@link TAIL_BYTES} of a file of `size` bytes.
 *
 * @throws BatchLayerError `CorruptObject` where the bytes are no end of a Parquet file
 */
export function footerLength(tail: Uint8Array, size: number, place: string): number {
  if (tail.length !== TAIL_BYTES || MAGIC.some((byte, i) => tail[4 + i] !== byte)) {
    throw corrupt(place, `expected PAR1 at the end of ${size} bytes: truncated, or no Parquet file`);
  }
  const length = new DataView(tail.buffer, tail.byteOffset).getUint32(0, true);
  if (length + TAIL_BYTES + MAGIC.length > size) throw corrupt(place, `footer of ${length} bytes in a file of ${size}`);
  return length;
}

/**
 * Reads and checks a footer: a flat schema, every chunk inside the file, every chunk of a row group of one length, row
 * counts that add up.
 *
 * @param dataEnd where the footer begins in the file
 * @throws BatchLayerError `CorruptObject`
 */
export function readFooter(bytes: Uint8Array, dataEnd: number, place: string): Footer {
  const struct = readStruct(bytes, place);
  const [root, ...elements] = structs(struct, FILE.schema, place);
  if (root === undefined || optionalNumber(root, ELEMENT.children) !== elements.length) {
    throw corrupt(place, 'expected a flat schema');
  }
  const columns = elements.map((element) => text(bytesOf(element, ELEMENT.name, place)));
  const rowGroups = structs(struct, FILE.rowGroups, place).map((group) => readRowGroup(group, columns, dataEnd, place));
  const rows = number(struct, FILE.rows, place);
  if (rowGroups.reduce((sum, group) => sum + group.rows, 0) !== rows) throw corrupt(place, 'row counts do not add up');
  const metadata = new Map<string, string>();
  if (struct.has(FILE.metadata)) {
    for (const entry of structs(struct, FILE.metadata, place)) {
      metadata.set(text(bytesOf(entry, 1, place)), entry.has(2) ? text(bytesOf(entry, 2, place)) : '');
    }
  }
  return { rows, columns, rowGroups, metadata, struct };
}

/** The footer of a whole file. */
export function splitFooter(file: Uint8Array, place: string): Footer {
  const length = footerLength(file.subarray(-TAIL_BYTES), file.length, place);
  const from = file.length - TAIL_BYTES - length;
  // A copy: what is kept of a footer must not keep the whole file.
  return readFooter(file.slice(from, -TAIL_BYTES), from, place);
}

function readRowGroup(group: Struct, columns: readonly string[], dataEnd: number, place: string): RowGroup {
  const rows = number(group, GROUP.rows, place);
  const chunks = structs(group, GROUP.columns, place);
  if (chunks.length !== columns.length) throw corrupt(place, `${chunks.length} chunks for ${columns.length} columns`);
  return {
    rows,
    struct: group,
    columns: chunks.map((chunk, i) => {
      const column = structOf(chunk, CHUNK.metadata, place);
      const name = columns[i]!;
      const path = listOf(column, COLUMN.path, place).items;
      if (path.length !== 1 || !(path[0] instanceof Uint8Array) || text(path[0]) !== name || chunk.has(CHUNK.path)) {
        throw corrupt(place, `chunk ${i} is not column ${name} of this file`);
      }
      const dataPage = number(column, COLUMN.dataPage, place);
      const start = Math.min(optionalNumber(column, COLUMN.dictionaryPage) || dataPage, dataPage);
      const size = number(column, COLUMN.size, place);
      if (start < MAGIC.length || size < 0 || start + size > dataEnd) {
        throw corrupt(place, `column ${name} lies outside`);
      }
      if (number(column, COLUMN.values, place) !== rows) throw corrupt(place, `column ${name} has not ${rows} values`);
      const uncompressedSize = number(column, COLUMN.uncompressedSize, place);
      return { name, start, size, uncompressedSize, codec: number(column, COLUMN.codec, place) };
    }),
  };
}

/** The end of a Parquet file: footer, its length, magic. */
export function encodeFooter(
  schemaOf: Footer,
  rowGroups: readonly Struct[],
  metadata: ReadonlyMap<string, string>,
): Uint8Array {
  const rows = rowGroups.reduce((sum, group) => sum + (group.get(GROUP.rows)!.value as number), 0);
  const entries = [...metadata].map(([key, value]): Struct => {
    return new Map([
      [1, { type: TYPE.binary, value: new TextEncoder().encode(key) }],
      [2, { type: TYPE.binary, value: new TextEncoder().encode(value) }],
    ]);
  });
  const footer = writeStruct(
    new Map<number, Field>([
      ...schemaOf.struct,
      [FILE.rows, { type: TYPE.int64, value: rows }],
      [FILE.rowGroups, listField(rowGroups)],
      [FILE.metadata, listField(entries)],
    ]),
  );
  const end = new Uint8Array(footer.length + TAIL_BYTES);
  end.set(footer);
  new DataView(end.buffer).setUint32(footer.length, footer.length, true);
  end.set(MAGIC, footer.length + 4);
  return end;
}

/** The first bytes of every Parquet file. */
export function parquetMagic(): Uint8Array {
  return MAGIC.slice();
}

/**
 * A row group's metadata for another place in a file, `by` bytes further on.
 *
 * Page indexes and Bloom filters lie outside the row group and are left behind.
 */
export function moveRowGroup(group: RowGroup, by: number, ordinal: number): Struct {
  const chunks = listOf(group.struct, GROUP.columns, '').items as readonly Struct[];
  const moved = chunks.map((chunk) => {
    const column = new Map(structOf(chunk, CHUNK.metadata, ''));
    for (const id of [COLUMN.dataPage, COLUMN.indexPage, COLUMN.dictionaryPage]) move(column, id, by);
    for (const id of COLUMN.bloom) column.delete(id);
    const fields = new Map(chunk);
    for (const id of CHUNK.indexes) fields.delete(id);
    // Deprecated, and 0 by the format's advice.
    if (fields.has(CHUNK.offset)) fields.set(CHUNK.offset, { type: TYPE.int64, value: 0 });
    return fields.set(CHUNK.metadata, { type: TYPE.struct, value: column });
  });
  const fields = new Map(group.struct).set(GROUP.columns, listField(moved));
  move(fields, GROUP.offset, by);
  if (fields.has(GROUP.ordinal)) fields.set(GROUP.ordinal, { type: TYPE.int16, value: ordinal });
  return fields;
}

function move(fields: Map<number, Field>, id: number, by: number): void {
  const field = fields.get(id);
  if (field) fields.set(id, { type: field.type, value: (field.value as number) + by });
}

function listField(items: readonly Struct[]): Field {
  return { type: TYPE.list, value: { elementType: TYPE.struct, items } };
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function optionalNumber(struct: Struct, id: number): number | undefined {
  const value = struct.get(id)?.value;
  return typeof value === 'number' ? value : undefined;
}

function number(struct: Struct, id: number, place: string): number {
  return optionalNumber(struct, id) ?? missing(id, place);
}

function bytesOf(struct: Struct, id: number, place: string): Uint8Array {
  const value = struct.get(id)?.value;
  return value instanceof Uint8Array ? value : missing(id, place);
}

function structOf(struct: Struct, id: number, place: string): Struct {
  const value = struct.get(id)?.value;
  return isStruct(value) ? value : missing(id, place);
}

function listOf(struct: Struct, id: number, place: string): List {
  const value = struct.get(id)?.value;
  return typeof value === 'object' && 'items' in value ? value : missing(id, place);
}

function structs(struct: Struct, id: number, place: string): readonly Struct[] {
  const { items } = listOf(struct, id, place);
  return items.every(isStruct) ? items : missing(id, place);
}

function isStruct(value: Value | undefined): value is Struct {
  return value instanceof Map;
}

function missing(id: number, place: string): never {
  throw corrupt(place, `field ${id} is missing or of another type`);
}

function corrupt(place: string, what: string): BatchLayerError {
  return new BatchLayerError('CorruptObject', `${place}: ${what}`);
}
