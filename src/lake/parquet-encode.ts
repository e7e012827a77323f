import { type Columns, concatBytes, emptyColumns, release, sliceColumns, type TableSchema } from './columns.ts';
import { createDigester, digestColumns, digestText, type TableDigest } from './digest.ts';
import { FILE_DIGEST, NO_DIGITS, sealFile } from './file-digest.ts';
import { encodeFooter, type Footer, moveRowGroup, parquetMagic, splitFooter } from './footer.ts';
import type { Struct } from './thrift.ts';
import { type Codec, encodeFile } from './wasm.ts';

/** Key-value metadata beside what this module writes itself; names are prefixed with `batch_layer.` in the file. */
export type FileMetadata = Readonly<Record<string, string>>;

/** Before the name of every metadata entry of this library. */
export const PREFIX = 'batch_layer.';
/** 65,536 bars are 4 MB in memory. */
export const ROW_GROUP_ROWS = 65_536;
/** Of what is encoded in one piece; the encoder takes three times as much, and keeps it. */
const MAX_PIECE_BYTES = 2 ** 25;

/**
 * Encodes a table part by part: `write` gives the bytes of a row group, `finish` those of the footer, which carries row
 * count and digests. The same parts give the same bytes.
 */
export function createEncoder(
  schema: TableSchema,
  { codec = 'snappy' }: { readonly codec?: Codec | undefined } = {},
): {
  write(columns: Columns): Uint8Array;
  finish(metadata?: FileMetadata): { readonly bytes: Uint8Array; readonly digest: TableDigest };
} {
  const digester = createDigester(schema);
  const groups: Struct[] = [];
  let template: Footer | undefined;
  let size = 0;
  const encode = (columns: Columns) =>
    encodeFile(schema, columns, { codec, rowGroupRows: Math.max(columns.length, 1) });

  // The encoder makes a whole file of every row group; its pages are kept, its footer is merged into the one at the end.
  function write(columns: Columns): Uint8Array {
    digester.update(columns);
    const file = encode(columns);
    const footer = splitFooter(file, 'encoded row group');
    template ??= footer;
    const [head, ...others] = footer.rowGroups;
    if (head === undefined) return new Uint8Array();
    if (others.length > 0) {
      throw new Error(`${columns.length} rows became ${footer.rowGroups.length} row groups: expected one`);
    }
    const start = Math.min(...head.columns.map((column) => column.start));
    const end = Math.max(...head.columns.map((column) => column.start + column.size));
    const magic = size === 0 ? parquetMagic() : new Uint8Array();
    const at = size + magic.length;
    groups.push(moveRowGroup(head, at - start, groups.length));
    size = at + end - start;
    const bytes = concatBytes([magic, file.subarray(start, end)]);
    release(file);
    return bytes;
  }

  return {
    write,
    finish(metadata = {}) {
      // A file without rows has its schema all the same.
      template ??= splitFooter(encode(emptyColumns(schema)), 'encoded schema');
      const digest = digester.finish();
      // What a file says of all its bytes is true of no other.
      const { file_digest: _, ...given } = metadata;
      const entries = [...template.metadata].filter(([key]) => key === 'ARROW:schema');
      const footer = encodeFooter(template, groups, new Map([...entries, ...metadataEntries(digest, given)]));
      return { bytes: size === 0 ? concatBytes([parquetMagic(), footer]) : footer, digest };
    },
  };
}

/**
 * Adds a digest of all entries, so that damage to them is found like damage to the columns. That there is a digest of the
 * file's bytes counts, but not which: it is made last.
 */
export function sealMetadata(metadata: FileMetadata): FileMetadata {
  const { metadata_digest: _, ...entries } = metadata;
  const known = entries.file_digest === undefined ? entries : { ...entries, file_digest: NO_DIGITS };
  return { ...entries, metadata_digest: digestText(JSON.stringify(Object.entries(known).sort(byKey))) };
}

// As arrays are sorted where nothing else is said, but values are not made into text for it.
function byKey([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return `${a},` < `${b},` ? -1 : 1;
}

/**
 * Encodes a whole table, with row groups of 65,536 rows. The file carries a digest of its bytes, unless the table takes more
 * than 32 MB in memory. The same table gives the same bytes.
 *
 * @param options `digest` is that of the table, where it is known
 */
export function encodeTable(
  schema: TableSchema,
  columns: Columns,
  {
    codec = 'snappy',
    metadata,
    digest: known,
  }: {
    readonly codec?: Codec | undefined;
    readonly metadata?: FileMetadata;
    readonly digest?: TableDigest | undefined;
  } = {},
): { readonly bytes: Uint8Array; readonly digest: TableDigest } {
  if (byteLength(columns) > MAX_PIECE_BYTES) return encodeParts(schema, columns, { codec, metadata });
  const digest = known ?? digestColumns(schema, columns);
  const entries = metadataEntries(digest, { ...metadata, file_digest: NO_DIGITS });
  const bytes = encodeFile(schema, columns, { codec, rowGroupRows: ROW_GROUP_ROWS, metadata: entries });
  sealFile(bytes, entries);
  return { bytes, digest };
}

function encodeParts(
  schema: TableSchema,
  columns: Columns,
  { codec, metadata }: { readonly codec: Codec; readonly metadata: FileMetadata | undefined },
): { readonly bytes: Uint8Array; readonly digest: TableDigest } {
  const encoder = createEncoder(schema, { codec });
  const parts: Uint8Array[] = [];
  for (let from = 0; from < columns.length; from += ROW_GROUP_ROWS) {
    parts.push(encoder.write(sliceColumns(schema, columns, from, Math.min(from + ROW_GROUP_ROWS, columns.length))));
  }
  const { bytes, digest } = encoder.finish(metadata);
  return { bytes: concatBytes([...parts, bytes]), digest };
}

/** Entries of a file's metadata, as they are named there, the digest of its bytes last. */
export function metadataEntries({ rows, digest, columns }: TableDigest, metadata: FileMetadata): Map<string, string> {
  const own = { rows: String(rows), digest, column_digests: JSON.stringify(columns) };
  const { file_digest: last, ...entries } = sealMetadata({ ...own, ...metadata });
  const named = Object.entries(entries).map(([key, value]): [string, string] => [`${PREFIX}${key}`, value]);
  return new Map(last === undefined ? named : [...named, [FILE_DIGEST, last]]);
}

/** What columns take in memory. */
export function byteLength({ values }: Columns): number {
  return values.reduce((sum, column) => {
    return sum + ('offsets' in column ? column.offsets.byteLength + column.bytes.byteLength : column.byteLength);
  }, 0);
}
