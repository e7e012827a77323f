import type { RecordBatch } from 'apache-arrow';
import { BatchLayerError } from '../errors.ts';
import { fromRecordBatch } from './arrow.ts';
import {
  checkBytes,
  checkDigests,
  checkFooter,
  checkRows,
  chunksOf,
  type FileClaims,
  isOneGroup,
  MAX_GROUP_BYTES,
} from './check-footer.ts';
import { type Columns, concatColumns, emptyColumns, release, type TableSchema } from './columns.ts';
import { createDigester } from './digest.ts';
import { checkFileDigest } from './file-digest.ts';
import {
  type ColumnChunk,
  type Footer,
  footerLength,
  type RowGroup,
  readFooter,
  splitFooter,
  TAIL_BYTES,
} from './footer.ts';
import { byteLength, type FileMetadata } from './parquet-encode.ts';
import { type ChunkBytes, spliceChunks } from './splice.ts';
import { decodeFile } from './wasm.ts';

export { checkDigests, checkFooter, metadataOf, wholeNumberOf } from './check-footer.ts';

/** What a file that is decoded whole may come to: 250 row groups of this library. */
const MAX_BYTES = 2 ** 30;
/** What is read for nothing rather than by another request: on S3 one takes longer than so many bytes. */
const MAX_GAP_BYTES = 65_536;

/** A decoded table, with the digest and the metadata its file carries. */
export interface DecodedTable {
  readonly columns: Columns;
  readonly digest: string;
  readonly metadata: FileMetadata;
}

/**
 * Decodes a whole file and checks it: schema, sizes and codecs before decoding, row count and digests after; where the file
 * has a digest of its bytes, that one before and the row count after.
 *
 * @throws BatchLayerError `CorruptObject`, naming `place`
 */
export function decodeTable(schema: TableSchema, file: Uint8Array, place: string): DecodedTable {
  const { footer, claims, isWhole } = open(schema, file, place);
  const columns = isWhole
    ? decodeWhole(schema, file, claims, place, { copy: true, read: (columns) => columns })
    : decodeParts(schema, file, footer, claims, place);
  return { columns, digest: claims.digest, metadata: claims.metadata };
}

/**
 * {@link decodeTable} without copies: `read` gets columns that are views of the decoder's memory where they can be. They are
 * gone when it returns, and nothing can be encoded or decoded before.
 *
 * @throws BatchLayerError `CorruptObject`, naming `place`; and what `read` throws
 * @example
 * const last = decodeViews(BRONZE_SCHEMA, file, key, ({ length, values }) => (values[1] as Int32Array)[length - 1]);
 */
export function decodeViews<T>(
  schema: TableSchema,
  file: Uint8Array,
  place: string,
  read: (columns: Columns, metadata: FileMetadata) => T,
): T {
  const { footer, claims, isWhole } = open(schema, file, place);
  if (!isWhole) return read(decodeParts(schema, file, footer, claims, place), claims.metadata);
  return decodeWhole(schema, file, claims, place, { copy: false, read: (columns) => read(columns, claims.metadata) });
}

function open(schema: TableSchema, file: Uint8Array, place: string) {
  const footer = splitFooter(file, place);
  const isSealed = checkFileDigest(file, footer, place);
  const claims = checkFooter(schema, footer, place);
  const isSame = footer.columns.length === schema.length && schema.every(({ name }, c) => name === footer.columns[c]);
  return { footer, claims, isWhole: isSealed && isSame && isOneGroup(schema, footer) };
}

// Nothing of the file is damaged, so it goes to the decoder as it is.
function decodeWhole<T>(
  schema: TableSchema,
  file: Uint8Array,
  { rows }: FileClaims,
  place: string,
  { copy, read }: { readonly copy: boolean; readonly read: (columns: Columns) => T },
): T {
  return decodeFile(file, rows, place, (batches) => {
    const columns = fromBatches(schema, batches, place, copy);
    checkRows(columns.length, rows, place);
    return read(columns);
  });
}

function decodeParts(
  schema: TableSchema,
  file: Uint8Array,
  footer: Footer,
  claims: FileClaims,
  place: string,
): Columns {
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
  checkDigests(digester.finish(), claims, place);
  return concatParts(schema, parts);
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

function endOf({ start, size }: ColumnChunk): number {
  return start + size;
}

function decodeChunks(schema: TableSchema, chunks: readonly ChunkBytes[], rows: number, place: string): Columns {
  const file = spliceChunks(schema, chunks, rows, place);
  const columns = decodeFile(file, rows, place, (batches) => fromBatches(schema, batches, place, true));
  release(file);
  return columns;
}

function fromBatches(schema: TableSchema, batches: readonly RecordBatch[], place: string, copy: boolean): Columns {
  // How long strings get is known only now.
  const bytes = batches.reduce((sum, { data }) => sum + data.byteLength, 0);
  checkBytes(bytes, MAX_GROUP_BYTES, place);
  const parts = batches.map((batch) => fromRecordBatch(schema, batch, place, { code: 'CorruptObject', copy }));
  return concatParts(schema, parts);
}

function concatParts(schema: TableSchema, parts: readonly Columns[]): Columns {
  return parts.length === 0 ? emptyColumns(schema) : concatColumns(schema, parts);
}
