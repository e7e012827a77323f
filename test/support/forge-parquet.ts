import { zstdDecompressSync } from 'node:zlib';
import { concatBytes } from '../../src/lake/columns.ts';
import { encodeFooter, footerLength, splitFooter, TAIL_BYTES } from '../../src/lake/footer.ts';
import { metadataOf } from '../../src/lake/parquet-decode.ts';
import { PREFIX, sealMetadata } from '../../src/lake/parquet-encode.ts';
import { type Field, type List, readStruct, type Struct, TYPE, writeStruct } from '../../src/lake/thrift.ts';

// Files that are forged: what they say of themselves is sealed anew, so that no digest of the footer tells. They carry none of
// all their bytes, which would tell first; readers take them apart instead.

/** Ids of parquet.thrift's ColumnMetaData. */
export const COLUMN = { codec: 4, values: 5, uncompressedSize: 6, size: 7, dataPage: 9, dictionaryPage: 11 } as const;
const DICTIONARY_PAGE = 2;

export interface Forgery {
  /** Bytes in the place of what is before the footer. */
  readonly data?: Uint8Array;
  /** Changes every row group. */
  readonly group?: (group: Map<number, Field>) => void;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** The file with another footer. */
export function forge(file: Uint8Array, { data = dataOf(file), group: change, metadata = {} }: Forgery): Uint8Array {
  const footer = splitFooter(file, 'file');
  const groups = footer.rowGroups.map(({ struct }) => {
    const group = new Map(struct);
    change?.(group);
    return group;
  });
  const { file_digest: _, ...own } = metadataOf(footer);
  const sealed = sealMetadata({ ...own, ...metadata });
  const entries = Object.entries(sealed).map(([key, value]) => [`${PREFIX}${key}`, value] as const);
  return concatBytes([data, encodeFooter(footer, groups, new Map(entries))]);
}

/** What is before the footer. */
export function dataOf(file: Uint8Array): Uint8Array {
  return file.subarray(0, file.length - TAIL_BYTES - footerLength(file.subarray(-TAIL_BYTES), file.length, 'file'));
}

/** Sets numbers of ColumnMetaData, by id, in all columns of a row group or in one. */
export function setInColumns(
  group: Map<number, Field>,
  values: Readonly<Record<number, number>>,
  index?: number,
): void {
  const list = group.get(1)!.value as List;
  const items = (list.items as Struct[]).map((chunk, i) => {
    if (index !== undefined && i !== index) return chunk;
    const column = new Map(chunk.get(3)!.value as Struct);
    for (const [id, value] of Object.entries(values)) {
      column.set(Number(id), { type: column.get(Number(id))?.type ?? TYPE.int64, value });
    }
    return new Map(chunk).set(3, { type: TYPE.struct, value: column });
  });
  group.set(1, { type: TYPE.list, value: { ...list, items } });
}

export interface Page {
  readonly header: Struct;
  /** Uncompressed. */
  readonly body: Uint8Array;
}

/** How pages are compressed: number in parquet.thrift's CompressionCodec, and the function of it. */
export interface PageCodec {
  readonly codec: number;
  readonly compress: (body: Uint8Array) => Uint8Array;
}

const UNCOMPRESSED: PageCodec = { codec: 0, compress: (body) => body };

/** A file of one row group and of Zstandard with other pages in its first column. */
export function forgePages(
  file: Uint8Array,
  change: (pages: readonly Page[]) => readonly Page[],
  { codec, compress } = UNCOMPRESSED,
): Uint8Array {
  const [head] = splitFooter(file, 'file').rowGroups;
  const { start, size } = head!.columns[0]!;
  const pages = change(readPages(file.subarray(start, start + size))).map(({ header, body }) => {
    const compressed = compress(body);
    const fields = new Map(header).set(3, { type: TYPE.int32, value: compressed.length });
    return concatBytes([writeStruct(fields), compressed]);
  });
  const data = dataOf(file);
  const length = pages.reduce((sum, page) => sum + page.length, 0);
  return forge(file, {
    data: concatBytes([data, ...pages]),
    group: (group) => {
      const place = { [COLUMN.dictionaryPage]: data.length, [COLUMN.dataPage]: data.length + pages[0]!.length };
      const sizes = { [COLUMN.size]: length, [COLUMN.uncompressedSize]: length };
      setInColumns(group, { ...place, ...sizes, [COLUMN.codec]: codec }, 0);
    },
  });
}

/** The pages of a column chunk of Zstandard. */
function readPages(chunk: Uint8Array): readonly Page[] {
  const pages: Page[] = [];
  for (let at = 0; at < chunk.length; ) {
    const header = readStruct(chunk.subarray(at), 'page');
    const from = at + writeStruct(header).length;
    at = from + (header.get(3)!.value as number);
    pages.push({ header, body: zstdDecompressSync(chunk.subarray(from, at)) });
  }
  return pages;
}

/** A dictionary of one string. */
export function dictionaryPage(value: string): Page {
  const text = new TextEncoder().encode(value);
  const body = concatBytes([new Uint8Array(Uint32Array.of(text.length).buffer), text]);
  const int32 = (number: number): Field => ({ type: TYPE.int32, value: number });
  const dictionary = new Map([1, 0].map((number, i) => [i + 1, int32(number)]));
  const header = new Map<number, Field>([
    [1, int32(DICTIONARY_PAGE)],
    [2, int32(body.length)],
    [7, { type: TYPE.struct, value: dictionary }],
  ]);
  return { header, body };
}
