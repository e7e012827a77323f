import { Readable } from 'node:stream';
import type { RecordBatch } from 'apache-arrow';
import { toRecordBatch } from './arrow.ts';
import { createDigester } from './digest.ts';
import { checkDigests, checkFooter, decodeRowGroup, openFooter, type RangeReader } from './parquet-decode.ts';
import { schemaOf } from './silver.ts';
import type { ObjectStore } from './store.ts';

/**
 * Streams a Parquet file of bars (or of groups) as Arrow RecordBatches, one a row group, in the columns of bronze (or
 * silver).
 *
 * Only the row group at hand is in memory, and the next one while it waits. Digests are checked at the end of the file:
 * the stream fails with `CorruptObject` instead of ending, so what a pipeline commits at its end is never built on
 * damaged bars. Also fails with `NotFound`, and with `Conflict` where the object is replaced meanwhile.
 *
 * @example
 * await pipeline(readBars(store, key), resampleTransform({ intervals: [3] }), writeBars(store, target));
 */
export function readBars(
  store: ObjectStore,
  key: string,
  { signal }: { readonly signal?: AbortSignal } = {},
): Readable {
  return Readable.from(batches(store, key, signal), { highWaterMark: 1, ...(signal ? { signal } : {}) });
}

async function* batches(store: ObjectStore, key: string, signal?: AbortSignal): AsyncGenerator<RecordBatch> {
  const { size, etag } = await store.head(key, { signal });
  const read: RangeReader = (start, end) => store.getRange(key, { start, end, ifMatch: etag, signal });
  const footer = await openFooter(read, size, key);
  const schema = schemaOf(footer.columns);
  const expected = checkFooter(schema, footer, key);
  const digester = createDigester(schema);
  for (const group of footer.rowGroups) {
    const columns = await decodeRowGroup(schema, footer, group, read, key);
    digester.update(columns);
    yield toRecordBatch(schema, columns);
  }
  checkDigests(digester.finish(), expected, key);
}
