import { allocateBars, type Bars, checkHistory, REQUIRED_VALUES } from '../bars.ts';
import { BatchLayerError } from '../errors.ts';
import {
  type Columns,
  type ColumnValues,
  columnOf,
  decodeUtf8,
  repeatUtf8,
  sameUtf8,
  type TableSchema,
  type Utf8Values,
} from './columns.ts';
import { decodeTable, decodeViews } from './parquet-decode.ts';
import { encodeTable, type FileMetadata } from './parquet-encode.ts';
import type { ObjectStore, StoreCall } from './store.ts';
import type { Codec } from './wasm.ts';

/** Of the symbols that a file should not have, those that are named. */
const MAX_NAMED = 5;

/** Columns of bronze files: raw daily bars, symbol kept as a column too (a path of `symbol=NULL` reads as SQL NULL). */
export const BRONZE_SCHEMA: TableSchema = [
  { name: 'symbol', type: 'utf8' },
  { name: 'date', type: 'date' },
  ...REQUIRED_VALUES.map((name) => ({ name, type: 'float64' }) as const),
  { name: 'vwap', type: 'float64', nullable: true },
  { name: 'trades', type: 'int32', nullable: true },
];

/** What a file of bronze says of its prices: they are not adjusted for splits. A lake has no others. */
export const RAW_PRICES: FileMetadata = { prices: 'raw' };

/** One symbol's bars as a bronze table; arrays are shared. */
export function barsToColumns(symbol: string, bars: Bars): Columns {
  const { length } = bars.session;
  const optional = allocateBars(length, { vwap: !bars.vwap, trades: !bars.trades });
  const values: Record<string, ColumnValues | undefined> = { ...optional, ...bars, date: bars.session };
  return {
    length,
    values: BRONZE_SCHEMA.map(({ name }) => (name === 'symbol' ? repeatUtf8(symbol, length) : values[name]!)),
  };
}

/** The bars of a bronze table; arrays are shared. Columns without a single value are left out. */
export function columnsToBars(columns: Columns): Bars {
  const column = <T extends ColumnValues>(name: string) => columnOf<T>(BRONZE_SCHEMA, columns, name);
  const [vwap, trades] = [column<Float64Array>('vwap'), column<Int32Array>('trades')];
  return {
    session: column<Int32Array>('date'),
    open: column<Float64Array>('open'),
    high: column<Float64Array>('high'),
    low: column<Float64Array>('low'),
    close: column<Float64Array>('close'),
    volume: column<Float64Array>('volume'),
    ...(vwap.some((value) => !Number.isNaN(value)) ? { vwap } : {}),
    ...(trades.some((value) => value !== -1) ? { trades } : {}),
  };
}

/** One symbol's bars as a Parquet file, and the digest of its content. */
export function encodeBars(
  symbol: string,
  bars: Bars,
  options: { readonly codec?: Codec | undefined; readonly metadata?: FileMetadata } = {},
): { readonly bytes: Uint8Array; readonly digest: string } {
  const metadata = { ...options.metadata, ...RAW_PRICES };
  const { bytes, digest } = encodeTable(BRONZE_SCHEMA, barsToColumns(symbol, bars), { ...options, metadata });
  return { bytes, digest: digest.digest };
}

/** A bronze file that was read and checked. */
export interface BarsFile {
  readonly bars: Bars;
  readonly etag: string;
  readonly digest: string;
  readonly metadata: FileMetadata;
}

/**
 * Reads a bronze file whole and checks it: digests, that every row is of `symbol`, sessions ascending.
 *
 * @throws BatchLayerError `NotFound`, or `CorruptObject` with the key
 */
export async function readBarsFile(
  store: ObjectStore,
  key: string,
  symbol: string,
  call?: StoreCall,
): Promise<BarsFile> {
  const { body, etag } = await store.get(key, call);
  return { ...decodeBars(body, symbol, key), etag };
}

/** {@link readBarsFile} of a file that is in memory; `place` names it. */
export function decodeBars(body: Uint8Array, symbol: string, place: string): Omit<BarsFile, 'etag'> {
  const { columns, digest, metadata } = decodeTable(BRONZE_SCHEMA, body, place);
  checkPrices(metadata, place);
  return { bars: checkedBars(columns, symbol, place), digest, metadata };
}

/** {@link decodeBars} where the bars are needed only while `read` runs: they are not copied out of the decoder's memory. */
export function readBarsViews<T>(
  body: Uint8Array,
  symbol: string,
  place: string,
  read: (file: Pick<BarsFile, 'bars' | 'metadata'>) => T,
): T {
  return decodeViews(BRONZE_SCHEMA, body, place, (columns, metadata) => {
    checkPrices(metadata, place);
    return read({ bars: checkedBars(columns, symbol, place), metadata });
  });
}

/** @throws BatchLayerError `CorruptObject` for a file of other prices than a lake has */
export function checkPrices({ prices = 'raw' }: FileMetadata, place: string): void {
  if (prices === 'raw') return;
  throw new BatchLayerError('CorruptObject', `${place}: has ${prices.slice(0, 40)} prices: expected raw ones`);
}

function checkedBars(columns: Columns, symbol: string, place: string): Bars {
  const symbols = columnOf<Utf8Values>(BRONZE_SCHEMA, columns, 'symbol');
  if (!sameUtf8(symbols, repeatUtf8(symbol, columns.length))) {
    const found = [...new Set(decodeUtf8(symbols))].slice(0, MAX_NAMED).join(', ');
    throw new BatchLayerError('CorruptObject', `${place}: has rows of ${found}: expected ${symbol} only`);
  }
  const bars = columnsToBars(columns);
  checkHistory(bars, place, 'CorruptObject');
  return bars;
}
