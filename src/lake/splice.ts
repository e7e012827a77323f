import { BatchLayerError } from '../errors.ts';
import { type ColumnSpec, type ColumnType, concatBytes, type TableSchema } from './columns.ts';
import { type ColumnChunk, endFile, parquetMagic } from './footer.ts';
import { type Field, readStructAt, type Struct, TYPE, writeStruct } from './thrift.ts';
import { int32, int64, numberOf, structField, structFrom, structList, structOf, text } from './thrift-fields.ts';

// What reaches the decoder is a Parquet file of one row group with the columns asked for. All of its metadata is written
// here, page headers too: the decoder believes what metadata says of lengths, and counts to 2^32 where damage says so.

const PARQUET: Record<ColumnType, { readonly type: number; readonly converted?: number }> = {
  bool: { type: 0 },
  int32: { type: 1 },
  date: { type: 1, converted: 6 },
  timestamp: { type: 2, converted: 9 },
  float64: { type: 5 },
  utf8: { type: 6, converted: 0 },
};

const HEADER = { type: 1, uncompressedSize: 2, size: 3 } as const;
const DICTIONARY = 2;
const DATA_V2 = 3;
/** By type of page: the field of its own header, the numbers in that (first that of values), which of them is the encoding. */
const PAGE_TYPES: Readonly<
  Record<number, { readonly id: number; readonly numbers: readonly number[]; readonly encoding: number }>
> = {
  0: { id: 5, numbers: [1, 2, 3, 4], encoding: 2 },
  [DICTIONARY]: { id: 7, numbers: [1, 2], encoding: 2 },
  [DATA_V2]: { id: 8, numbers: [1, 2, 3, 4, 5, 6], encoding: 4 },
};
const IS_COMPRESSED = 7;
/** Of one column in a row group: those of the largest have 200 values each. */
const MAX_PAGES = 2 ** 14;

/** A column chunk and its bytes. */
export interface ChunkBytes {
  readonly chunk: ColumnChunk;
  readonly bytes: Uint8Array;
}

/**
 * Chunks of `rows` rows, one for each column of the schema, as a Parquet file of their own.
 *
 * @throws BatchLayerError `CorruptObject` where they are of other types, or their pages do not come to `rows` values
 */
export function spliceChunks(
  schema: TableSchema,
  chunks: readonly ChunkBytes[],
  rows: number,
  place: string,
): Uint8Array {
  const parts = [parquetMagic()];
  let at = parts[0]!.length;
  const columns = schema.map((spec, c) => {
    const { chunk, bytes } = chunks[c]!;
    const start = at;
    const pages = readPages(bytes, rows, `${place}: column ${spec.name}`);
    for (const { header, body } of pages) {
      parts.push(header, body);
      at += header.length + body.length;
    }
    return describeChunk(chunk, pages, start, rows);
  });
  const elements = schema.map((spec, c) => describeColumn(spec, chunks[c]!.chunk, place));
  const root = structFrom({ 4: text('schema'), 5: int32(schema.length) });
  const group = structFrom({ 1: structList(columns), 2: int64(at), 3: int64(rows) });
  const [schemaList, groups] = [structList([root, ...elements]), structList([group])];
  return concatBytes([...parts, endFile(structFrom({ 1: int32(1), 2: schemaList, 3: int64(rows), 4: groups }))]);
}

function describeColumn({ name, type }: ColumnSpec, chunk: ColumnChunk, place: string): Struct {
  const { type: number, converted } = PARQUET[type];
  if (chunk.type !== number) {
    throw corrupt(place, `column ${name} has Parquet's type ${chunk.type}: expected ${number} for ${type}`);
  }
  const annotation = converted === undefined ? undefined : int32(converted);
  return structFrom({ 1: int32(number), 3: int32(chunk.isOptional ? 1 : 0), 4: text(name), 6: annotation });
}

function describeChunk(
  { name, type, codec }: ColumnChunk,
  pages: readonly Page[],
  start: number,
  rows: number,
): Struct {
  const size = pages.reduce((sum, { header, body }) => sum + header.length + body.length, 0);
  const uncompressedSize = pages.reduce((sum, page) => sum + page.header.length + page.uncompressedSize, 0);
  const dictionary = pages[0]?.type === DICTIONARY ? pages[0] : undefined;
  const dataPage = dictionary ? start + dictionary.header.length + dictionary.body.length : start;
  const encodings = [...new Set(pages.map(({ encoding }) => encoding))];
  const metadata = structFrom({
    1: int32(type),
    2: { type: TYPE.list, value: { elementType: TYPE.int32, items: encodings } },
    3: { type: TYPE.list, value: { elementType: TYPE.binary, items: [text(name).value] } },
    4: int32(codec),
    5: int64(rows),
    6: int64(uncompressedSize),
    7: int64(size),
    9: int64(dataPage),
    11: dictionary ? int64(start) : undefined,
  });
  return structFrom({ 2: int64(0), 3: structField(metadata) });
}

interface Page {
  readonly type: number;
  readonly encoding: number;
  readonly uncompressedSize: number;
  /** Written anew. */
  readonly header: Uint8Array;
  readonly body: Uint8Array;
}

/** The pages of a chunk up to its last value: at most one dictionary, which is first, and pages of data. */
function readPages(bytes: Uint8Array, rows: number, place: string): readonly Page[] {
  const pages: Page[] = [];
  for (let at = 0, values = 0; values < rows; ) {
    const { struct, end } = readStructAt(bytes, at, place);
    const type = numberOf(struct, HEADER.type, place);
    const size = numberOf(struct, HEADER.size, place);
    const uncompressedSize = numberOf(struct, HEADER.uncompressedSize, place);
    if (size < 0 || uncompressedSize < 0 || size > bytes.length - end) {
      throw corrupt(place, `page of ${size} bytes (${uncompressedSize} uncompressed), ${bytes.length - end} left`);
    }
    at = end + size;
    const known = PAGE_TYPES[type];
    // Pages of other types are for readers that know them.
    if (known === undefined) continue;
    const details = copyDetails(structOf(struct, known.id, place), known.numbers, place);
    const count = numberOf(details, known.numbers[0]!, place);
    if (type === DICTIONARY ? pages.length > 0 : count < 0 || count > rows - values) {
      throw corrupt(place, `page of ${count} values after ${values} of ${rows}`);
    }
    if (pages.length === MAX_PAGES) throw corrupt(place, `more than ${MAX_PAGES} pages`);
    if (type !== DICTIONARY) values += count;
    const header = structFrom({
      [HEADER.type]: int32(type),
      [HEADER.uncompressedSize]: int32(uncompressedSize),
      [HEADER.size]: int32(size),
      [known.id]: structField(details),
    });
    const encoding = numberOf(details, known.encoding, place);
    pages.push({ type, encoding, uncompressedSize, header: writeStruct(header), body: bytes.subarray(end, at) });
  }
  return pages;
}

function copyDetails(details: Struct, numbers: readonly number[], place: string): Struct {
  const fields = new Map<number, Field>(numbers.map((id) => [id, int32(numberOf(details, id, place))]));
  const isCompressed = details.get(IS_COMPRESSED);
  if (typeof isCompressed?.value === 'boolean') fields.set(IS_COMPRESSED, isCompressed);
  return fields;
}

function corrupt(place: string, what: string): BatchLayerError {
  return new BatchLayerError('CorruptObject', `${place}: ${what}`);
}
