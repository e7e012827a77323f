import { BatchLayerError } from '../../errors.ts';
import { MAX_GROUP_BYTES } from '../../lake/check-footer.ts';
import type { ColumnChunk, Footer } from '../../lake/footer.ts';
import { foreignColumns } from '../../lake/foreign-columns.ts';
import { mapAll } from '../../lake/map-all.ts';
import { openFooter } from '../../lake/parquet-decode.ts';
import type { ObjectInfo, ObjectStore, StoreCall } from '../../lake/store.ts';
import { type DmsColumn, planColumns } from './dms-columns.ts';

/** A row group of an export: where the chunks of the columns to read are. */
export interface DmsGroup {
  /** Its number in the file, and that of its first row, from 0. */
  readonly index: number;
  readonly firstRow: number;
  readonly rows: number;
  /** Of the columns to read, in their order. */
  readonly chunks: readonly ColumnChunk[];
}

/** A file of an export whose footer was read and found good. */
export interface DmsFile extends Pick<ObjectInfo, 'key' | 'etag'> {
  readonly rows: number;
  readonly columns: readonly DmsColumn[];
  readonly groups: readonly DmsGroup[];
}

const CONCURRENT_FOOTERS = 8;
const MAX_NAMED_FILES = 20;
/** Rows of a group are all in memory at once, 65 bytes each: 4 million. DMS writes groups of 10,000. */
export const MAX_GROUP_ROWS = 2 ** 22;

/**
 * Finds the files of an export and reads their footers.
 *
 * @throws BatchLayerError `BadInput` where there is none, or one has not the columns; `CorruptObject` for a damaged footer
 */
export async function openExport(
  store: ObjectStore,
  prefix: string,
  { signal }: StoreCall = {},
): Promise<readonly DmsFile[]> {
  const folder = prefix === '' ? '' : prefix.replace(/\/*$/, '/');
  const found = (await Array.fromAsync(store.list(`${folder}LOAD`, { signal }))).filter(({ key }) =>
    /^LOAD[^/]*\.parquet$/.test(key.slice(folder.length)),
  );
  if (found.length === 0) {
    throw new BatchLayerError(
      'BadInput',
      `${folder || 'the root of the lake'}: no export: expected keys ${folder}LOAD*.parquet, as DMS writes them`,
    );
  }
  const open = async ({ key, size, etag }: ObjectInfo) => {
    const footer = await openFooter(
      (start, end) => store.getRange(key, { start, end, ifMatch: etag, signal }),
      size,
      key,
    );
    return planFile(footer, { key, etag });
  };
  const opened = await mapAll(found, open, { concurrency: CONCURRENT_FOOTERS, signal });
  const wrong = opened.flatMap(({ file, wrong }) => (wrong.length > 0 ? [`${file.key}: ${wrong.join('; ')}`] : []));
  if (wrong.length > 0) {
    const rest = wrong.length > MAX_NAMED_FILES ? [`and ${wrong.length - MAX_NAMED_FILES} files more`] : [];
    throw new BatchLayerError('BadInput', [...wrong.slice(0, MAX_NAMED_FILES), ...rest].join('\n'));
  }
  return opened.map(({ file }) => file);
}

/**
 * What to read of a file, and what is wrong with it. Of its footer nothing is kept: those of exports are large. Pure.
 *
 * @throws BatchLayerError `CorruptObject` where the footer contradicts itself
 */
export function planFile(
  footer: Footer,
  { key, etag }: Pick<DmsFile, 'key' | 'etag'>,
): { readonly file: DmsFile; readonly wrong: readonly string[] } {
  const all = foreignColumns(footer, key);
  const { columns, wrong } = planColumns(all);
  const places = columns.map(({ name }) => all.findIndex((column) => column.name === name));
  const tooLarge: string[] = [];
  let firstRow = 0;
  const groups = footer.rowGroups.map(({ rows, columns: chunks }, index): DmsGroup => {
    const group = { index, firstRow, rows, chunks: places.map((place) => chunks[place]!) };
    firstRow += rows;
    for (const [c, { name, type }] of group.chunks.entries()) {
      if (type === columns[c]!.physical) continue;
      throw new BatchLayerError(
        'CorruptObject',
        `${key}: row group ${index} has another type in column ${name} than the file`,
      );
    }
    const bytes = Math.max(0, ...group.chunks.map(({ size, uncompressedSize }) => Math.max(size, uncompressedSize)));
    if (rows > MAX_GROUP_ROWS || bytes > MAX_GROUP_BYTES) {
      const most = `${MAX_GROUP_ROWS} rows, and ${MAX_GROUP_BYTES} bytes a column, at most`;
      tooLarge.push(`row group ${index} has ${rows} rows, and ${bytes} bytes in a column: expected ${most}`);
    }
    return group;
  });
  const file = { key, etag, rows: footer.rows, columns, groups };
  return { file, wrong: [...wrong, ...tooLarge.slice(0, 1)] };
}
