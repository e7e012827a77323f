import { type RecordBatch, Table, tableToIPC } from 'apache-arrow';
import * as parquetWasm from 'parquet-wasm/node';
import { toRecordBatch } from '../../src/lake/arrow.ts';
import { BRONZE_SCHEMA, columnsToBars } from '../../src/lake/bronze.ts';
import {
  type Columns,
  columnOf,
  concatBytes,
  runsOfUtf8,
  sliceColumns,
  type TableSchema,
  type Utf8Values,
} from '../../src/lake/columns.ts';
import { digestColumns } from '../../src/lake/digest.ts';
import { createEncoder, encodeTable } from '../../src/lake/parquet-encode.ts';
import { groupsToColumns, SILVER_SCHEMA } from '../../src/lake/silver.ts';
import type { Codec } from '../../src/lake/wasm.ts';
import { resampleBars } from '../../src/resample/kernel.ts';
import { syntheticMarket } from '../../src/runtime/synthetic-market.ts';
import { bronzeTable } from '../support/bars-table.ts';
import { forge } from '../support/forge-parquet.ts';

/** A table and a file that holds it, in two row groups where it carries no digest of its bytes. */
export interface ValidFile {
  readonly codec: string;
  readonly schema: TableSchema;
  readonly columns: Columns;
  readonly bytes: Uint8Array;
}

const BARS = 60;
const OWN: readonly Codec[] = ['uncompressed', 'snappy', 'zstd'];
/** What other writers use, with pages of version 1 and 2, dictionaries and none. */
const OTHER = ['GZIP', 'BROTLI', 'LZ4_RAW'] as const;

/** Files of bars, of the same bars but for one price, and of groups, in each of six codecs, with a digest of their bytes or without. */
export function validFiles(): readonly ValidFile[] {
  const [bars, others, groups] = tables();
  const all = [
    { schema: BRONZE_SCHEMA, columns: bars },
    { schema: BRONZE_SCHEMA, columns: others },
    { schema: SILVER_SCHEMA, columns: groups },
  ];
  return all.flatMap(({ schema, columns }) => [
    ...OWN.map((codec) => ({ codec, schema, columns, bytes: encodeOwn(schema, columns, codec) })),
    ...OWN.map((codec) => ({ codec, schema, columns, bytes: encodeTable(schema, columns, { codec }).bytes })),
    ...OTHER.map((codec) => ({ codec, schema, columns, bytes: encodeOther(schema, columns, codec) })),
  ]);
}

function tables(): readonly [Columns, Columns, Columns] {
  const market = [...syntheticMarket({ symbols: 2, bars: BARS, longest: BARS - 20, lastDate: '2026-11-20' })];
  const bars = bronzeTable(Object.fromEntries(market.map(({ symbol, bars }) => [symbol, bars])));
  const close = columnOf<Float64Array>(BRONZE_SCHEMA, bars, 'close');
  const changed = close.map((price, i) => (i === 7 ? price + 0.01 : price));
  const others = { ...bars, values: bars.values.map((values) => (values === close ? changed : values)) };
  const { values: symbols, starts } = runsOfUtf8(columnOf<Utf8Values>(BRONZE_SCHEMA, bars, 'symbol'));
  const [groups] = resampleBars(columnsToBars(bars), starts, [2]);
  return [bars, others, groupsToColumns(SILVER_SCHEMA, groups!, 2, symbols)];
}

function halves(schema: TableSchema, columns: Columns): readonly Columns[] {
  const middle = columns.length >> 1;
  return [sliceColumns(schema, columns, 0, middle), sliceColumns(schema, columns, middle, columns.length)];
}

function encodeOwn(schema: TableSchema, columns: Columns, codec: Codec): Uint8Array {
  const encoder = createEncoder(schema, { codec });
  const parts = halves(schema, columns).map((half) => encoder.write(half));
  return concatBytes([...parts, encoder.finish().bytes]);
}

function encodeOther(schema: TableSchema, columns: Columns, codec: (typeof OTHER)[number]): Uint8Array {
  const batches: readonly RecordBatch[] = halves(schema, columns).map((half) => toRecordBatch(schema, half));
  const properties = new parquetWasm.WriterPropertiesBuilder()
    .setCompression(parquetWasm.Compression[codec])
    .setWriterVersion(parquetWasm.WriterVersion[codec === 'BROTLI' ? 'V2' : 'V1'])
    .setDictionaryEnabled(codec !== 'LZ4_RAW')
    .setDataPageSizeLimit(128)
    .setWriteBatchSize(8)
    .setMaxRowGroupSize(Math.ceil(columns.length / 2))
    .build();
  const table = parquetWasm.Table.fromIPCStream(tableToIPC(new Table([...batches]), 'stream'));
  const { rows, digest, columns: digests } = digestColumns(schema, columns);
  return forge(parquetWasm.writeParquet(table, properties), {
    metadata: { rows: String(rows), digest, column_digests: JSON.stringify(digests) },
  });
}
