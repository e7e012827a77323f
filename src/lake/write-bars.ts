import { once } from 'node:events';
import { PassThrough, Writable } from 'node:stream';
import type { RecordBatch } from 'apache-arrow';
import { fromRecordBatch } from './arrow.ts';
import { BRONZE_SCHEMA } from './bronze.ts';
import { type Columns, concatColumns, releaseColumns, sliceColumns, type TableSchema } from './columns.ts';
import { createEncoder, ROW_GROUP_ROWS } from './parquet-encode.ts';
import { schemaOf } from './silver.ts';
import type { ObjectStore, PutCall } from './store.ts';
import type { Codec } from './wasm.ts';

export interface WriteBarsOptions extends PutCall {
  readonly codec?: Codec;
}

/**
 * A stream that writes Arrow RecordBatches to one Parquet file: bars in the columns of bronze, or groups as
 * `resampleTransform` makes them. Which of the two is told by the first batch; without any, bars.
 *
 * Row groups leave as they fill (65,536 rows); the object appears, whole, when the stream has finished, and not at all
 * where it fails or is aborted. Fails with `BadInput` for batches of other columns, and `Conflict` where a condition
 * does not hold.
 *
 * @example
 * await pipeline(readBars(store, key), writeBars(store, 'copy.parquet', { ifNoneMatch: '*', codec: 'zstd' }));
 */
export function writeBars(store: ObjectStore, key: string, { codec, ...call }: WriteBarsOptions = {}): Writable {
  const bytes = new PassThrough();
  const written = store.putStream(key, bytes, call);
  // Whoever writes learns of a failure on either side by the stream; until then it must not go unhandled.
  bytes.on('error', () => undefined);
  written.catch((error) => bytes.destroy(error as Error));
  let schema: TableSchema | undefined;
  let encoder: ReturnType<typeof createEncoder> | undefined;
  let pending: Columns[] = [];
  let pendingRows = 0;

  const encodePending = async (): Promise<void> => {
    if (!schema || !encoder || pendingRows === 0) return;
    const rows = concatColumns(schema, pending);
    const chunk = encoder.write(rows);
    // Of one batch alone the columns are those of whoever writes.
    if (pending.length > 1) releaseColumns(rows);
    [pending, pendingRows] = [[], 0];
    if (!bytes.write(chunk)) await Promise.race([once(bytes, 'drain'), written]);
  };
  const add = async (batch: RecordBatch): Promise<void> => {
    schema ??= schemaOf(batch.schema.names as string[]);
    encoder ??= createEncoder(schema, { codec });
    const columns = fromRecordBatch(schema, batch, key);
    for (let from = 0; from < columns.length; ) {
      const to = Math.min(columns.length, from + ROW_GROUP_ROWS - pendingRows);
      pending.push(sliceColumns(schema, columns, from, to));
      pendingRows += to - from;
      from = to;
      if (pendingRows === ROW_GROUP_ROWS) await encodePending();
    }
  };
  const finish = async (): Promise<void> => {
    await encodePending();
    encoder ??= createEncoder(BRONZE_SCHEMA, { codec });
    bytes.end(encoder.finish().bytes);
    await written;
  };

  return new Writable({
    objectMode: true,
    highWaterMark: 1,
    ...(call.signal ? { signal: call.signal } : {}),
    write: (batch, _encoding, done) => void add(batch).then(() => done(), done),
    final: (done) => void finish().then(() => done(), done),
    destroy(error, done) {
      // Not ended for the store: what it has not taken yet it must not take for the whole.
      const isClosedEarly = !bytes.readableEnded;
      if (isClosedEarly) bytes.destroy(error ?? new Error(`${key}: stream closed before its end`));
      // Only when the store has put everything away is the stream closed.
      written.then(
        () => done(error),
        (failure) => done(error ?? (isClosedEarly ? null : failure)),
      );
    },
  });
}
