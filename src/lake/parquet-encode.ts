import { toRecordBatch } from './arrow.ts';
import { type Columns, concatBytes, emptyColumns, release, sliceColumns, type TableSchema } from './columns.ts';
import { createDigester, digestText, type TableDigest } from './digest.ts';
import { encodeFooter, type Footer, moveRowGroup, parquetMagic, splitFooter } from './footer.ts';
import type { Struct } from './thrift.ts';
import { type Codec, encodeBatch } from './wasm.ts';

/** Key-value metadata beside what this module writes itself; names are prefixed with `batch_layer.` in the file. */
export type FileMetadata = Readonly<Record<string, string>>;

/** Before the name of every metadata entry of this library. */
export const PREFIX = 'batch_layer.';
/** 65,536 bars are 4 MB in memory. */
export const ROW_GROUP_ROWS = 65_536;

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
  const encode = (columns: Columns) => encodeBatch(schema, toRecordBatch(schema, columns), codec);

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
      const own = { rows: String(digest.rows), digest: digest.digest, column_digests: JSON.stringify(digest.columns) };
      const entries = [...template.metadata].filter(([key]) => key === 'ARROW:schema');
      for (const [key, value] of Object.entries(sealMetadata({ ...own, ...metadata }))) {
        entries.push([`${PREFIX}${key}`, value]);
      }
      const footer = encodeFooter(template, groups, new Map(entries));
      return { bytes: size === 0 ? concatBytes([parquetMagic(), footer]) : footer, digest };
    },
  };
}

/** Adds a digest of all entries, so that damage to them is found like damage to the columns. */
export function sealMetadata(metadata: FileMetadata): FileMetadata {
  const { metadata_digest: _, ...entries } = metadata;
  return { ...entries, metadata_digest: digestText(JSON.stringify(Object.entries(entries).sort())) };
}

/** Encodes a whole table, with row groups of 65,536 rows. */
export function encodeTable(
  schema: TableSchema,
  columns: Columns,
  { codec, metadata }: { readonly codec?: Codec | undefined; readonly metadata?: FileMetadata } = {},
): { readonly bytes: Uint8Array; readonly digest: TableDigest } {
  const encoder = createEncoder(schema, { codec });
  const parts: Uint8Array[] = [];
  for (let from = 0; from < columns.length; from += ROW_GROUP_ROWS) {
    parts.push(encoder.write(sliceColumns(schema, columns, from, Math.min(from + ROW_GROUP_ROWS, columns.length))));
  }
  const { bytes, digest } = encoder.finish(metadata);
  return { bytes: concatBytes([...parts, bytes]), digest };
}
