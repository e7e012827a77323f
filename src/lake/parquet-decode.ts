import { z } from 'zod';
import { BatchLayerError } from '../errors.ts';
import { fromRecordBatch } from './arrow.ts';
import { type Columns, concatBytes, concatColumns, emptyColumns, type TableSchema } from './columns.ts';
import { createDigester, type TableDigest } from './digest.ts';
import {
  encodeFooter,
  type Footer,
  footerLength,
  moveRowGroup,
  parquetMagic,
  type RowGroup,
  readFooter,
  splitFooter,
  TAIL_BYTES,
} from './footer.ts';
import { type FileMetadata, PREFIX, sealMetadata } from './parquet-encode.ts';
import { decodeFile } from './wasm.ts';

// Uncompressed, Snappy, GZIP, Brotli, LZ4, ZSTD, LZ4_RAW: all but LZO, which no decoder has.
const CODECS = [0, 1, 2, 4, 5, 6, 7];
/** What may be decoded at once: 250 row groups of this library. A 66 KB file can expand to 160 MB. */
const MAX_BYTES = 2 ** 30;
const VALUE_BYTES = 8;

const columnDigests = z.record(z.string(), z.string().regex(/^[0-9a-f]{16}$/));

/** A decoded table, with the digest and the metadata its file carries. */
export interface DecodedTable {
  readonly columns: Columns;
  readonly digest: string;
  readonly metadata: FileMetadata;
}

/**
 * Decodes a whole file and checks it: schema, sizes and codecs before decoding, row count and digests after.
 *
 * @throws BatchLayerError `CorruptObject`, naming `place`
 */
export function decodeTable(schema: TableSchema, file: Uint8Array, place: string): DecodedTable {
  const footer = splitFooter(file, place);
  const expected = checkFooter(schema, footer, place);
  checkSize(footer.rowGroups, place);
  const columns = decodeColumns(schema, file, footer.rows, place);
  const digester = createDigester(schema);
  digester.update(columns);
  checkDigests(digester.finish(), expected, place);
  return { columns, digest: expected.digest, metadata: metadataOf(footer) };
}

/** Reads bytes `start` (inclusive) to `end` (exclusive) of an object. */
export type RangeReader = (start: number, end: number) => Promise<Uint8Array>;

/** Reads and checks the footer of a file of `size` bytes, in one range where it is below 64 KB and two where it is not. */
export async function openFooter(read: RangeReader, size: number, place: string): Promise<Footer> {
  const guess = Math.min(size, 65_536);
  const end = await read(size - guess, size);
  const length = footerLength(end.subarray(-TAIL_BYTES), size, place);
  const from = size - TAIL_BYTES - length;
  const bytes =
    length + TAIL_BYTES <= guess
      ? end.subarray(guess - TAIL_BYTES - length, -TAIL_BYTES)
      : await read(from, size - TAIL_BYTES);
  return readFooter(bytes, from, place);
}

/**
 * Decodes one row group, reading its bytes only, in one range.
 *
 * The footer must have passed {@link checkFooter}.
 */
export async function decodeRowGroup(
  schema: TableSchema,
  footer: Footer,
  group: RowGroup,
  read: RangeReader,
  place: string,
): Promise<Columns> {
  const start = Math.min(...group.columns.map((column) => column.start));
  const end = Math.max(...group.columns.map((column) => column.start + column.size));
  const pages = await read(start, end);
  if (pages.length !== end - start) {
    throw new BatchLayerError('CorruptObject', `${place}: ${pages.length} bytes at ${start}: expected ${end - start}`);
  }
  const magic = parquetMagic();
  const moved = moveRowGroup(group, magic.length - start, 0);
  const file = concatBytes([magic, pages, encodeFooter(footer, [moved], footer.metadata)]);
  return decodeColumns(schema, file, group.rows, place);
}

function decodeColumns(schema: TableSchema, file: Uint8Array, rows: number, place: string): Columns {
  const parts = decodeFile(file, rows, place, (batches) =>
    batches.map((batch) => fromRecordBatch(schema, batch, place, 'CorruptObject')),
  );
  return parts.length === 0 ? emptyColumns(schema) : concatColumns(schema, parts);
}

/**
 * Checks a footer before anything is decoded: columns, codecs, decoded sizes, and that it carries row count and digests.
 *
 * @returns what the decoded columns must come to
 * @throws BatchLayerError `CorruptObject`
 */
export function checkFooter(schema: TableSchema, footer: Footer, place: string): TableDigest {
  const fail = (what: string): never => {
    throw new BatchLayerError('CorruptObject', `${place}: ${what}`);
  };
  const absent = schema.find(({ name }) => !footer.columns.includes(name));
  if (absent) fail(`has columns ${footer.columns}: expected ${absent.name}`);
  for (const group of footer.rowGroups) {
    checkSize([group], place);
    const unknown = group.columns.find(({ codec }) => !CODECS.includes(codec));
    if (unknown) fail(`column ${unknown.name} has unknown codec ${unknown.codec}`);
  }
  const metadata = metadataOf(footer);
  const { rows, digest, column_digests: columns } = metadata;
  if (digest === undefined) return fail('carries no digest: not written by this library');
  if (metadata.metadata_digest !== sealMetadata(metadata).metadata_digest) fail('its metadata is damaged');
  if (rows !== String(footer.rows)) fail(`has ${footer.rows} rows: expected ${rows}`);
  try {
    return { rows: footer.rows, digest, columns: columnDigests.parse(JSON.parse(columns ?? '')) };
  } catch (error) {
    throw new BatchLayerError('CorruptObject', `${place}: its column digests cannot be read`, { cause: error });
  }
}

// Sizes in a footer are those of encoded pages; a run of one value is a few bytes in a page and eight a row in memory.
// (How long strings get, a footer does not tell: symbols are short, and a forged dictionary is not kept out here.)
function checkSize(groups: readonly RowGroup[], place: string): void {
  let bytes = 0;
  for (const { rows, columns } of groups) {
    const encoded = columns.reduce((sum, { uncompressedSize }) => sum + uncompressedSize, 0);
    bytes += Math.max(encoded, rows * columns.length * VALUE_BYTES);
  }
  if (!(bytes >= 0 && bytes <= MAX_BYTES)) {
    throw new BatchLayerError('CorruptObject', `${place}: decodes to ${bytes} bytes: expected ${MAX_BYTES} at most`);
  }
}

/**
 * Compares digests of what was decoded, all columns or some, with those the file carries.
 *
 * @throws BatchLayerError `CorruptObject`, naming the first column that differs
 */
export function checkDigests(found: TableDigest, expected: TableDigest, place: string): void {
  if (found.rows !== expected.rows) {
    throw new BatchLayerError('CorruptObject', `${place}: decoded ${found.rows} rows: expected ${expected.rows}`);
  }
  for (const [name, digest] of Object.entries(found.columns)) {
    if (digest !== expected.columns[name]) {
      throw new BatchLayerError(
        'CorruptObject',
        `${place}: column ${name} has digest ${digest}: expected ${expected.columns[name]}`,
      );
    }
  }
}

/** The metadata of a file that this library's writers were given. */
export function metadataOf({ metadata }: Footer): FileMetadata {
  const own = [...metadata].filter(([key]) => key.startsWith(PREFIX));
  return Object.fromEntries(own.map(([key, value]) => [key.slice(PREFIX.length), value]));
}
