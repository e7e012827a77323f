import type { Data } from 'apache-arrow';
import { BatchLayerError } from '../errors.ts';
import { concatBytes, release } from './columns.ts';
import { type ColumnChunk, endFile, footerLength, splitFooter, TAIL_BYTES } from './footer.ts';
import { type ForeignColumn, PHYSICAL } from './foreign-columns.ts';
import { spliceChunks } from './splice.ts';
import type { Struct } from './thrift.ts';
import { int32, structField, structFrom, structList, structOf, structsOf } from './thrift-fields.ts';
import { decodeFile } from './wasm.ts';

const INT96_BYTES = 12;
/** Ids in FileMetaData, RowGroup and ColumnChunk. */
const [SCHEMA, GROUPS, COLUMNS, METADATA, TYPE] = [2, 4, 1, 3, 1];
const ELEMENT = { type: 1, length: 2, repetition: 3, name: 4 } as const;

/**
 * Decodes one column of a row group that others wrote, by itself, and hands it to `read` as it is stored: whole numbers,
 * floats or bytes, whatever they mean. It is a view of the decoder's memory, gone when `read` returns.
 *
 * Such files carry no digest: what can be decoded is believed.
 *
 * @param bytes those of the chunk
 * @throws BatchLayerError `CorruptObject`, naming `place`
 */
export function decodeForeign<T>(
  column: ForeignColumn,
  { chunk, bytes }: { readonly chunk: ColumnChunk; readonly bytes: Uint8Array },
  rows: number,
  place: string,
  read: (data: Data) => T,
): T {
  const named = `${place}, column ${column.name}`;
  const file = columnFile(column, chunk, bytes, rows, named);
  const result = decodeFile(file, rows, named, ([batch, ...others]) => {
    const data = batch?.data.children[0];
    if (data?.length === rows && others.length === 0) return read(data);
    throw new BatchLayerError('CorruptObject', `${named}: decoded ${data?.length ?? 0} values: expected ${rows}`);
  });
  release(file);
  return result;
}

/** The chunk as a Parquet file of its own, without what its values mean: the decoder would refuse some, and change others. */
function columnFile(
  { physical, length }: ForeignColumn,
  chunk: ColumnChunk,
  bytes: Uint8Array,
  rows: number,
  place: string,
): Uint8Array {
  // Pages are the same whatever the type; the splice knows those of the lake's own columns, so it is put right after.
  const untyped = { ...chunk, type: PHYSICAL.bytes };
  const spliced = spliceChunks([{ name: chunk.name, type: 'utf8' }], [{ chunk: untyped, bytes }], rows, place);
  const { struct } = splitFooter(spliced, place);
  // 96 bits are stored as 12 bytes are.
  const isInt96 = physical === PHYSICAL.int96;
  const type = int32(isInt96 ? PHYSICAL.fixed : physical);
  const width = isInt96 ? INT96_BYTES : length;
  const [root, values] = structsOf(struct, SCHEMA, place);
  const element = structFrom({
    [ELEMENT.type]: type,
    [ELEMENT.length]: width === undefined ? undefined : int32(width),
    [ELEMENT.repetition]: values!.get(ELEMENT.repetition),
    [ELEMENT.name]: values!.get(ELEMENT.name),
  });
  const [group] = structsOf(struct, GROUPS, place);
  const [entry] = structsOf(group!, COLUMNS, place);
  const typed = new Map(entry!).set(METADATA, structField(new Map(structOf(entry!, METADATA, place)).set(TYPE, type)));
  const footer: Struct = new Map(struct)
    .set(SCHEMA, structList([root!, element]))
    .set(GROUPS, structList([new Map(group!).set(COLUMNS, structList([typed]))]));
  const pages = spliced.length - TAIL_BYTES - footerLength(spliced.subarray(-TAIL_BYTES), spliced.length, place);
  const file = concatBytes([spliced.subarray(0, pages), endFile(footer)]);
  release(spliced);
  return file;
}
