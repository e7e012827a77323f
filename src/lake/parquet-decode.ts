import { z } from 'zod';
import { BatchLayerError } from '../errors.ts';
import { parseJson } from '../json.ts';
import { fromRecordBatch } from './arrow.ts';
import { type Columns, concatColumns, emptyColumns, release, type TableSchema } from './columns.ts';
import { createDigester, type TableDigest } from './digest.ts';
import {
  type ColumnChunk,
  type Footer,
  footerLength,
  type RowGroup,
  readFooter,
  splitFooter,
  TAIL_BYTES,
} from './footer.ts';
import { type FileMetadata, PREFIX, sealMetadata } from './parquet-encode.ts';
import { type ChunkBytes, spliceChunks } from './splice.ts';
import { decodeFile } from './wasm.ts';

// Uncompressed, Snappy, GZIP, Brotli, LZ4, ZSTD, LZ4_RAW: all but LZO, which no decoder has.
const CODECS = [0, 1, 2, 4, 5, 6, 7];
/** What a row group may come to, in memory or encoded: 3.7 million bars. The decoder takes two to three times as much. */
const MAX_GROUP_BYTES = 2 ** 28;
/** What a file that is decoded whole may come to: 250 row groups of this library. */
const MAX_BYTES = 2 ** 30;
const VALUE_BYTES = 8;
/** Of a footer's own words, what goes into a message. */
const [MAX_NAMED, MAX_QUOTED] = [32, 40];
/** What is read for nothing rather than by another request: on S3 one takes longer than so many bytes. */
const MAX_GAP_BYTES = 65_536;

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
  const digester = createDigester(schema);
  const parts: Columns[] = [];
  let bytes = 0;
  for (const group of footer.rowGroups) {
    const read = chunksOf(schema, group).map((chunk) => ({ chunk, bytes: file.subarray(chunk.start, endOf(chunk)) }));
    const columns = decodeChunks(schema, read, group.rows, place);
    bytes += byteLength(columns);
    checkBytes(bytes, MAX_BYTES, place);
    digester.update(columns);
    parts.push(columns);
  }
  checkDigests(digester.finish(), expected, place);
  return { columns: concatParts(schema, parts), digest: expected.digest, metadata: metadataOf(footer) };
}

/** Reads bytes `start` (inclusive) to `end` (exclusive) of an object. */
export type RangeReader = (start: number, end: number) => Promise<Uint8Array>;

/** Reads and checks the footer of a file of `size` bytes, in one range where it is below 64 KB and two where it is not. */
export async function openFooter(read: RangeReader, size: number, place: string): Promise<Footer> {
  const guess = Math.min(size, 65_536);
  const end = await readAll(read, size - guess, size, place);
  const length = footerLength(end.subarray(-TAIL_BYTES), size, place);
  const from = size - TAIL_BYTES - length;
  const bytes =
    length + TAIL_BYTES <= guess
      ? end.subarray(guess - TAIL_BYTES - length, -TAIL_BYTES)
      : await readAll(read, from, size - TAIL_BYTES, place);
  return readFooter(bytes, from, place);
}

/**
 * Decodes the columns of `schema` in one row group, reading their bytes only: one range where they lie together.
 *
 * The footer must have passed {@link checkFooter}.
 */
export async function decodeRowGroup(
  schema: TableSchema,
  group: RowGroup,
  read: RangeReader,
  place: string,
): Promise<Columns> {
  const chunks = chunksOf(schema, group);
  const ranges = await Promise.all(
    planRanges(chunks).map(async ({ start, end }) => ({ start, end, bytes: await readAll(read, start, end, place) })),
  );
  const parts = chunks.map((chunk) => {
    const { start, bytes } = ranges.find((range) => range.start <= chunk.start && endOf(chunk) <= range.end)!;
    return { chunk, bytes: bytes.subarray(chunk.start - start, endOf(chunk) - start) };
  });
  return decodeChunks(schema, parts, group.rows, place);
}

/** The ranges to read for some chunks: what lies between two of them is read too where it is less than another request. */
export function planRanges(
  chunks: readonly Pick<ColumnChunk, 'start' | 'size'>[],
): readonly { readonly start: number; readonly end: number }[] {
  const ranges: { start: number; end: number }[] = [];
  for (const { start, size } of [...chunks].sort((a, b) => a.start - b.start)) {
    const last = ranges.at(-1);
    if (last && start - last.end <= MAX_GAP_BYTES) last.end = Math.max(last.end, start + size);
    else ranges.push({ start, end: start + size });
  }
  return ranges;
}

async function readAll(read: RangeReader, start: number, end: number, place: string): Promise<Uint8Array> {
  const bytes = await read(start, end);
  if (bytes.length === end - start) return bytes;
  throw new BatchLayerError('CorruptObject', `${place}: ${bytes.length} bytes at ${start}: expected ${end - start}`);
}

function chunksOf(schema: TableSchema, group: RowGroup): readonly ColumnChunk[] {
  return schema.map(({ name }) => group.columns.find((column) => column.name === name)!);
}

function endOf({ start, size }: ColumnChunk): number {
  return start + size;
}

function decodeChunks(schema: TableSchema, chunks: readonly ChunkBytes[], rows: number, place: string): Columns {
  const file = spliceChunks(schema, chunks, rows, place);
  const columns = decodeFile(file, rows, place, (batches) => {
    // How long strings get is known only now.
    const bytes = batches.reduce((sum, { data }) => sum + data.byteLength, 0);
    checkBytes(bytes, MAX_GROUP_BYTES, place);
    return batches.map((batch) => fromRecordBatch(schema, batch, place, { code: 'CorruptObject', copy: true }));
  });
  release(file);
  return concatParts(schema, columns);
}

function concatParts(schema: TableSchema, parts: readonly Columns[]): Columns {
  return parts.length === 0 ? emptyColumns(schema) : concatColumns(schema, parts);
}

function byteLength({ values }: Columns): number {
  return values.reduce((sum, column) => {
    return sum + ('offsets' in column ? column.offsets.byteLength + column.bytes.byteLength : column.byteLength);
  }, 0);
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
  if (absent) fail(`has columns ${footer.columns.slice(0, MAX_NAMED)}: expected ${absent.name}`);
  for (const group of footer.rowGroups) {
    const chunks = chunksOf(schema, group);
    checkSize(chunks, group.rows, place);
    const unknown = chunks.find(({ codec }) => !CODECS.includes(codec));
    if (unknown) fail(`column ${unknown.name} has unknown codec ${unknown.codec}`);
  }
  const metadata = metadataOf(footer);
  const { rows, digest, column_digests: columns } = metadata;
  if (digest === undefined) return fail('carries no digest: not written by this library');
  if (metadata.metadata_digest !== sealMetadata(metadata).metadata_digest) fail('its metadata is damaged');
  if (rows !== String(footer.rows)) fail(`has ${footer.rows} rows: expected ${rows}`);
  const digests = parseDigests(columns, place);
  const lost = Object.keys(digests).find((name) => !footer.columns.includes(name));
  if (lost !== undefined) fail(`has no column ${lost}, but a digest of it`);
  return { rows: footer.rows, digest, columns: digests };
}

function parseDigests(text: string | undefined, place: string): Readonly<Record<string, string>> {
  try {
    return columnDigests.parse(parseJson(text ?? ''));
  } catch (error) {
    throw new BatchLayerError('CorruptObject', `${place}: its column digests cannot be read`, { cause: error });
  }
}

// Sizes in a footer are those of encoded pages; a run of one value is a few bytes in a page and eight a row in memory.
function checkSize(chunks: readonly ColumnChunk[], rows: number, place: string): void {
  const encoded = chunks.reduce((sum, { size, uncompressedSize }) => sum + Math.max(size, uncompressedSize), 0);
  checkBytes(Math.max(encoded, rows * chunks.length * VALUE_BYTES), MAX_GROUP_BYTES, place);
}

function checkBytes(bytes: number, most: number, place: string): void {
  if (bytes >= 0 && bytes <= most) return;
  throw new BatchLayerError('CorruptObject', `${place}: decodes to ${bytes} bytes: expected ${most} at most`);
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

/**
 * A whole number among a file's metadata, 0 where it is left out.
 *
 * @throws BatchLayerError `CorruptObject` where it is something else
 */
export function wholeNumberOf(metadata: FileMetadata, name: string, place: string): number {
  const text = metadata[name] ?? '0';
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new BatchLayerError(
    'CorruptObject',
    `${place}: metadata ${name} is "${text.slice(0, MAX_QUOTED)}": expected a whole number`,
  );
}
