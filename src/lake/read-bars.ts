import { Readable } from 'node:stream';
import type { RecordBatch } from 'apache-arrow';
import { BatchLayerError } from '../errors.ts';
import { toRecordBatch } from './arrow.ts';
import type { TableSchema } from './columns.ts';
import { createDigester } from './digest.ts';
import { checkDigests, checkFooter, decodeRowGroup, openFooter, type RangeReader } from './parquet-decode.ts';
import { schemaOf } from './silver.ts';
import type { ObjectStore } from './store.ts';

/** Which row it is: read whatever columns are asked for. */
const KEY_COLUMNS = ['interval', 'symbol', 'date'];

export interface ReadBarsOptions {
  /** Read these columns, and symbol and date (in streams of groups, interval too). All of them where left out. */
  readonly columns?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Streams a Parquet file of bars (or of groups) as Arrow RecordBatches, one a row group, in the columns of bronze (or
 * silver), all or some. Of the file, the footer and the chunks of these columns are read, and nothing else.
 *
 * Only the row group at hand is in memory, and the next one while it waits. Digests are checked at the end of the file:
 * the stream fails with `CorruptObject` instead of ending, so what a pipeline commits at its end is never built on
 * damaged bars. Also fails with `NotFound`, with `BadInput` for a column that the file's kind does not have, and with
 * `Conflict` where the object is replaced meanwhile.
 *
 * @example
 * await pipeline(readBars(store, key), resampleTransform({ intervals: [3] }), writeBars(store, target));
 * for await (const batch of readBars(store, key, { columns: ['close'] })) {}
 */
export function readBars(store: ObjectStore, key: string, options: ReadBarsOptions = {}): Readable {
  const { signal } = options;
  return Readable.from(batches(store, key, options), { highWaterMark: 1, ...(signal ? { signal } : {}) });
}

async function* batches(
  store: ObjectStore,
  key: string,
  { columns: names, signal }: ReadBarsOptions,
): AsyncGenerator<RecordBatch> {
  const { size, etag } = await store.head(key, { signal });
  const read: RangeReader = (start, end) => store.getRange(key, { start, end, ifMatch: etag, signal });
  const footer = await openFooter(read, size, key);
  const kind = schemaOf(footer.columns);
  const schema = names === undefined ? kind : kind.filter(({ name }) => [...KEY_COLUMNS, ...names].includes(name));
  const expected = checkFooter(schema, footer, key);
  checkNames(names ?? [], kind, key);
  const digester = createDigester(schema);
  for (const group of footer.rowGroups) {
    const columns = await decodeRowGroup(schema, group, read, key);
    digester.update(columns);
    yield toRecordBatch(schema, columns);
  }
  checkDigests(digester.finish(), expected, key);
}

function checkNames(names: readonly string[], kind: TableSchema, key: string): void {
  const known = kind.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw new BatchLayerError('BadInput', `${key}: has no column "${unknown}": expected some of ${known.join(', ')}`);
}
