import { hasCode } from '../errors.ts';
import type { Columns, TableSchema } from './columns.ts';
import { decodeTable } from './parquet-decode.ts';
import { type ObjectStore, orNone, type StoreCall } from './store.ts';

const MAX_READS = 3;

/**
 * Reads a table that can do without what is in it: one that is missing or damaged is empty.
 *
 * It is read again before it counts as damaged: what takes it for empty writes it anew, and a read may have been damaged on
 * the way.
 */
export async function readIndex(
  store: ObjectStore,
  key: string,
  schema: TableSchema,
  call?: StoreCall,
): Promise<{ readonly columns: Columns | undefined; readonly etag: string | undefined }> {
  let etag: string | undefined;
  for (let attempt = 1; attempt <= MAX_READS; attempt++) {
    const object = await orNone(store.get(key, call));
    if (object === undefined) return { columns: undefined, etag: undefined };
    etag = object.etag;
    try {
      return { columns: decodeTable(schema, object.body, key).columns, etag };
    } catch (error) {
      if (!hasCode(error, 'CorruptObject')) throw error;
    }
  }
  return { columns: undefined, etag };
}
