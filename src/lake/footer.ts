import { BatchLayerError } from '../errors.ts';
import { type Field, readStruct, type Struct, TYPE, writeStruct } from './thrift.ts';
import {
  decodeText,
  int64,
  listOf,
  numberOf,
  optionalNumberOf,
  structField,
  structFrom,
  structList,
  structOf,
  structsOf,
  text,
  textOf,
} from './thrift-fields.ts';

// The metadata at the end of a Parquet file: https://github.com/apache/parquet-format (parquet.thrift names the ids).
// Read here, before any byte reaches the decoder, and written here, so that row groups can be written one by one: each
// is encoded as a small Parquet file of its own.

const MAGIC = new TextEncoder().encode('PAR1');
/** Bytes after the footer: its length and the magic. */
export const TAIL_BYTES = 8;
/** Thousands of row groups take a few megabytes. */
const MAX_FOOTER_BYTES = 2 ** 24;
const FILE = { schema: 2, rows: 3, rowGroups: 4, metadata: 5 } as const;
const [REQUIRED, OPTIONAL] = [0, 1];
const ELEMENT = { repetition: 3, name: 4, children: 5 } as const;
const GROUP = { columns: 1, rows: 3, offset: 5, ordinal: 7 } as const;
const CHUNK = { path: 1, offset: 2, metadata: 3, indexes: [4, 5, 6, 7] } as const;
const COLUMN = {
  type: 1,
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
  /** Number in Parquet's Type. */
  readonly type: number;
  /** Whether its pages tell which values are absent. */
  readonly isOptional: boolean;
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
  if (length > Math.min(MAX_FOOTER_BYTES, size - TAIL_BYTES - MAGIC.length)) {
    throw corrupt(place, `footer of ${length} bytes in a file of ${size}`);
  }
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
  const [root, ...elements] = structsOf(struct, FILE.schema, place);
  if (root === undefined || optionalNumberOf(root, ELEMENT.children) !== elements.length) {
    throw corrupt(place, 'expected a flat schema');
  }
  const columns = elements.map((element) => textOf(element, ELEMENT.name, place));
  const repetitions = elements.map((element) => numberOf(element, ELEMENT.repetition, place));
  if (repetitions.some((repetition) => repetition !== REQUIRED && repetition !== OPTIONAL)) {
    throw corrupt(place, 'expected a flat schema');
  }
  const isOptional = repetitions.map((repetition) => repetition === OPTIONAL);
  const rowGroups = structsOf(struct, FILE.rowGroups, place).map((group) =>
    readRowGroup(group, { columns, isOptional, dataEnd }, place),
  );
  const rows = numberOf(struct, FILE.rows, place);
  if (rowGroups.reduce((sum, group) => sum + group.rows, 0) !== rows) throw corrupt(place, 'row counts do not add up');
  const metadata = new Map<string, string>();
  if (struct.has(FILE.metadata)) {
    for (const entry of structsOf(struct, FILE.metadata, place)) {
      metadata.set(textOf(entry, 1, place), entry.has(2) ? textOf(entry, 2, place) : '');
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

function readRowGroup(
  group: Struct,
  {
    columns,
    isOptional,
    dataEnd,
  }: { readonly columns: readonly string[]; readonly isOptional: readonly boolean[]; readonly dataEnd: number },
  place: string,
): RowGroup {
  const rows = numberOf(group, GROUP.rows, place);
  if (rows < 0) throw corrupt(place, `row group of ${rows} rows`);
  const chunks = structsOf(group, GROUP.columns, place);
  if (chunks.length !== columns.length) throw corrupt(place, `${chunks.length} chunks for ${columns.length} columns`);
  return {
    rows,
    struct: group,
    columns: chunks.map((chunk, i) => {
      const column = structOf(chunk, CHUNK.metadata, place);
      const name = columns[i]!;
      const path = listOf(column, COLUMN.path, place).items;
      if (
        path.length !== 1 ||
        !(path[0] instanceof Uint8Array) ||
        decodeText(path[0], place) !== name ||
        chunk.has(CHUNK.path)
      ) {
        throw corrupt(place, `chunk ${i} is not column ${name} of this file`);
      }
      const dataPage = numberOf(column, COLUMN.dataPage, place);
      const start = Math.min(optionalNumberOf(column, COLUMN.dictionaryPage) || dataPage, dataPage);
      const size = numberOf(column, COLUMN.size, place);
      if (start < MAGIC.length || size < 0 || start + size > dataEnd) {
        throw corrupt(place, `column ${name} lies outside`);
      }
      if (numberOf(column, COLUMN.values, place) !== rows)
        throw corrupt(place, `column ${name} has not ${rows} values`);
      return {
        name,
        type: numberOf(column, COLUMN.type, place),
        isOptional: isOptional[i]!,
        start,
        size,
        uncompressedSize: numberOf(column, COLUMN.uncompressedSize, place),
        codec: numberOf(column, COLUMN.codec, place),
      };
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
  const entries = [...metadata].map(([key, value]) => structFrom({ 1: text(key), 2: text(value) }));
  return endFile(
    new Map([
      ...schemaOf.struct,
      [FILE.rows, int64(rows)],
      [FILE.rowGroups, structList(rowGroups)],
      [FILE.metadata, structList(entries)],
    ]),
  );
}

/** The end of a Parquet file whose FileMetaData is `struct`. */
export function endFile(struct: Struct): Uint8Array {
  const footer = writeStruct(struct);
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
    if (fields.has(CHUNK.offset)) fields.set(CHUNK.offset, int64(0));
    return fields.set(CHUNK.metadata, structField(column));
  });
  const fields = new Map(group.struct).set(GROUP.columns, structList(moved));
  move(fields, GROUP.offset, by);
  if (fields.has(GROUP.ordinal)) fields.set(GROUP.ordinal, { type: TYPE.int16, value: ordinal });
  return fields;
}

function move(fields: Map<number, Field>, id: number, by: number): void {
  const field = fields.get(id);
  if (field) fields.set(id, { type: field.type, value: (field.value as number) + by });
}

function corrupt(place: string, what: string): BatchLayerError {
  return new BatchLayerError('CorruptObject', `${place}: ${what}`);
}
