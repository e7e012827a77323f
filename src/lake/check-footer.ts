import { BatchLayerError } from '../errors.ts';
import { parseJson } from '../json.ts';
import type { TableSchema } from './columns.ts';
import type { TableDigest } from './digest.ts';
import type { ColumnChunk, Footer, RowGroup } from './footer.ts';
import { type FileMetadata, PREFIX, sealMetadata } from './parquet-encode.ts';

// Uncompressed, Snappy, GZIP, Brotli, LZ4, ZSTD, LZ4_RAW: all but LZO, which no decoder has.
const CODECS = [0, 1, 2, 4, 5, 6, 7];
/** What a row group may come to, in memory or encoded: 3.7 million bars. The decoder takes two to three times as much. */
export const MAX_GROUP_BYTES = 2 ** 28;
const VALUE_BYTES = 8;
/** Of a footer's own words, what goes into a message. */
const [MAX_NAMED, MAX_QUOTED] = [32, 40];
const DIGEST = /^[0-9a-f]{16}$/;

/** What a file says of its columns, and its metadata. */
export interface FileClaims extends TableDigest {
  readonly metadata: FileMetadata;
}

/**
 * Checks a footer before anything is decoded: columns, codecs, decoded sizes, and that it carries row count and digests.
 *
 * @returns what the decoded columns must come to
 * @throws BatchLayerError `CorruptObject`
 */
export function checkFooter(schema: TableSchema, footer: Footer, place: string): FileClaims {
  const fail = (what: string): never => {
    throw new BatchLayerError('CorruptObject', `${place}: ${what}`);
  };
  const absent = schema.find(({ name }) => !footer.columns.includes(name));
  if (absent) fail(`has columns ${footer.columns.slice(0, MAX_NAMED)}: expected ${absent.name}`);
  for (const group of footer.rowGroups) {
    const chunks = chunksOf(schema, group);
    checkBytes(sizeOf(chunks, group.rows), MAX_GROUP_BYTES, place);
    const unknown = chunks.find(({ codec }) => !CODECS.includes(codec));
    if (unknown) fail(`column ${unknown.name} has unknown codec ${unknown.codec}`);
  }
  const metadata = metadataOf(footer);
  const { rows, digest, column_digests: columns } = metadata;
  if (digest === undefined || !DIGEST.test(digest)) return fail('carries no digest: not written by this library');
  if (metadata.metadata_digest !== sealMetadata(metadata).metadata_digest) fail('its metadata is damaged');
  if (rows !== String(footer.rows)) fail(`has ${footer.rows} rows: expected ${rows}`);
  const digests = parseDigests(columns, place);
  const lost = Object.keys(digests).find((name) => !footer.columns.includes(name));
  if (lost !== undefined) fail(`has no column ${lost}, but a digest of it`);
  return { rows: footer.rows, digest, columns: digests, metadata };
}

function parseDigests(text: string | undefined, place: string): Readonly<Record<string, string>> {
  try {
    const digests = parseJson(text ?? '');
    if (typeof digests !== 'object' || digests === null || Array.isArray(digests)) throw new Error('no object');
    const wrong = Object.entries(digests).find(([, digest]) => typeof digest !== 'string' || !DIGEST.test(digest));
    if (wrong) throw new Error(`that of ${wrong[0].slice(0, MAX_QUOTED)} is none`);
    return digests as Readonly<Record<string, string>>;
  } catch (error) {
    throw new BatchLayerError('CorruptObject', `${place}: its column digests cannot be read`, { cause: error });
  }
}

/** Whether the row groups come to no more than one may. */
export function isOneGroup(schema: TableSchema, footer: Footer): boolean {
  const sizes = footer.rowGroups.map((group) => sizeOf(chunksOf(schema, group), group.rows));
  return sizes.reduce((sum, size) => sum + size, 0) <= MAX_GROUP_BYTES;
}

/** The chunks of the schema's columns. */
export function chunksOf(schema: TableSchema, group: RowGroup): readonly ColumnChunk[] {
  return schema.map(({ name }) => group.columns.find((column) => column.name === name)!);
}

// Sizes in a footer are those of encoded pages; a run of one value is a few bytes in a page and eight a row in memory.
function sizeOf(chunks: readonly ColumnChunk[], rows: number): number {
  const encoded = chunks.reduce((sum, { size, uncompressedSize }) => sum + Math.max(size, uncompressedSize), 0);
  return Math.max(encoded, rows * chunks.length * VALUE_BYTES);
}

/**
 * @throws BatchLayerError `CorruptObject` where something decodes to more than may be
 */
export function checkBytes(bytes: number, most: number, place: string): void {
  if (bytes >= 0 && bytes <= most) return;
  throw new BatchLayerError('CorruptObject', `${place}: decodes to ${bytes} bytes: expected ${most} at most`);
}

/**
 * Compares digests of what was decoded, all columns or some, with those the file carries.
 *
 * @throws BatchLayerError `CorruptObject`, naming the first column that differs
 */
export function checkDigests(found: TableDigest, expected: TableDigest, place: string): void {
  checkRows(found.rows, expected.rows, place);
  for (const [name, digest] of Object.entries(found.columns)) {
    if (digest !== expected.columns[name]) {
      throw new BatchLayerError(
        'CorruptObject',
        `${place}: column ${name} has digest ${digest}: expected ${expected.columns[name]}`,
      );
    }
  }
}

/**
 * @throws BatchLayerError `CorruptObject` where another number of rows was decoded
 */
export function checkRows(found: number, expected: number, place: string): void {
  if (found === expected) return;
  throw new BatchLayerError('CorruptObject', `${place}: decoded ${found} rows: expected ${expected}`);
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
