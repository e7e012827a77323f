import { BatchLayerError, hasCode } from '../errors.ts';
import {
  type Columns,
  columnOf,
  decodeUtf8,
  gatherUtf8,
  release,
  releaseColumns,
  runsOfUtf8,
  type Utf8Values,
} from '../lake/columns.ts';
import { digestColumns } from '../lake/digest.ts';
import { decodeTable } from '../lake/parquet-decode.ts';
import { encodeTable } from '../lake/parquet-encode.ts';
import { SILVER_SCHEMA } from '../lake/silver.ts';
import type { Codec } from '../lake/wasm.ts';
import { ROW_NUMBERS, ROW_WORDS } from './group-rows.ts';

/** Rows `from` to `to` of groups that were made. */
export interface RowSlice {
  readonly rows: SharedArrayBuffer;
  readonly from: number;
  readonly to: number;
}

/** One month file to make: plain data, so that any thread can. */
export interface MonthTask {
  readonly key: string;
  readonly interval: number;
  /** Fencing number, for the file's metadata. */
  readonly epoch: number;
  /** Names of all symbols, ascending, by the numbers they have in rows. */
  readonly names: Utf8Values;
  readonly made: readonly RowSlice[];
  /** By symbol: groups from this session on are those made, groups before it those of the file there is. */
  readonly since: Int32Array;
  /** The file there is, where groups of it stay, and the digest it must have; any where left out. */
  readonly base?: { readonly body: Uint8Array; readonly digest?: string | undefined } | undefined;
  /** A file with this digest is not made: it is there. */
  readonly unlessDigest: string | undefined;
  readonly codec: Codec | undefined;
}

export interface MadeMonth {
  /** 0: there is nothing for this file. */
  readonly rows: number;
  readonly digest: string;
  /** Left out where the file is as it should be. */
  readonly bytes?: Uint8Array;
  /** Why the file there is cannot be used. */
  readonly damage?: string;
}

const NOTHING: MadeMonth = { rows: 0, digest: '' };

/** Makes a month file of groups that were made and groups that stay. Pure. */
export function makeMonth({ key, epoch, unlessDigest, codec, ...task }: MonthTask): MadeMonth {
  try {
    const columns = monthColumns({ key, ...task });
    const digest = digestColumns(SILVER_SCHEMA, columns);
    const { rows } = digest;
    const isThere = rows === 0 || digest.digest === unlessDigest;
    const bytes = isThere
      ? undefined
      : encodeTable(SILVER_SCHEMA, columns, { codec, digest, metadata: { epoch: String(epoch) } }).bytes;
    releaseColumns(columns);
    return { rows, digest: digest.digest, ...(bytes ? { bytes } : {}) };
  } catch (error) {
    if (!hasCode(error, 'CorruptObject')) throw error;
    return { ...NOTHING, damage: error.message };
  }
}

/** The groups of a month as a silver table, ordered by symbol and date. */
export function monthColumns({
  key,
  interval,
  names,
  made,
  since,
  base,
}: Pick<MonthTask, 'key' | 'interval' | 'names' | 'made' | 'since' | 'base'>): Columns {
  const parts = made.map(viewRows);
  if (base)
    parts.splice(
      0,
      parts.length,
      keptRows(base, { key, names, since }),
      ...parts.map((rows) => changedRows(rows, since)),
    );
  return rowsToColumns(isSorted(parts) ? parts : [sortRows(parts)], interval, names);
}

function viewRows({ rows, from, to }: RowSlice): Float64Array {
  return new Float64Array(rows).subarray(from * ROW_WORDS, to * ROW_WORDS);
}

function numbersOf({ buffer, byteOffset, length }: Float64Array): Int32Array {
  return new Int32Array(buffer, byteOffset, length * 2);
}

/** Rows of the file there is that stay: of symbols that are not known any more none does. */
function keptRows(
  { body, digest: expected }: NonNullable<MonthTask['base']>,
  { key, names, since }: Pick<MonthTask, 'key' | 'names' | 'since'>,
): Float64Array {
  const { columns, digest } = decodeTable(SILVER_SCHEMA, body, key);
  if (expected !== undefined && digest !== expected) {
    throw new BatchLayerError('CorruptObject', `${key}: has digest ${digest}: expected ${expected}, as was committed`);
  }
  const column = <T extends Int32Array | Float64Array>(name: string) => columnOf<T>(SILVER_SCHEMA, columns, name);
  const [date, endDate, bars] = ['date', 'end_date', 'bars'].map((name) => column<Int32Array>(name)) as Int32Columns;
  const values = ['open', 'high', 'low', 'close', 'volume', 'vwap'].map((name) => column<Float64Array>(name));
  const runs = runsOfUtf8(columnOf<Utf8Values>(SILVER_SCHEMA, columns, 'symbol'));
  const ids = new Map(decodeUtf8(names).map((name, id) => [name, id]));
  const rows = new Float64Array(columns.length * ROW_WORDS);
  const numbers = numbersOf(rows);
  let length = 0;
  for (const [run, symbol] of runs.values.entries()) {
    const id = ids.get(symbol);
    if (id === undefined) continue;
    for (let i = runs.starts[run]!; i < runs.starts[run + 1]! && date[i]! < since[id]!; i++, length++) {
      const [word, number] = [length * ROW_WORDS, length * ROW_NUMBERS];
      numbers[number] = id;
      numbers[number + 1] = date[i]!;
      numbers[number + 2] = endDate[i]!;
      numbers[number + 3] = bars[i]!;
      for (let c = 0; c < values.length; c++) rows[word + 2 + c] = values[c]![i]!;
    }
  }
  return rows.subarray(0, length * ROW_WORDS);
}

type Int32Columns = [Int32Array, Int32Array, Int32Array];

function changedRows(rows: Float64Array, since: Int32Array): Float64Array {
  const numbers = numbersOf(rows);
  const changed = new Float64Array(rows.length);
  let at = 0;
  for (let word = 0; word < rows.length; word += ROW_WORDS) {
    if (numbers[word * 2 + 1]! < since[numbers[word * 2]!]!) continue;
    changed.set(rows.subarray(word, word + ROW_WORDS), at);
    at += ROW_WORDS;
  }
  return changed.subarray(0, at);
}

/** Whether parts follow each other by symbol; each by itself is in order. */
function isSorted(parts: readonly Float64Array[]): boolean {
  let last = -1;
  for (const part of parts) {
    if (part.length === 0) continue;
    const numbers = numbersOf(part);
    if (numbers[0]! <= last) return false;
    last = numbers[numbers.length - ROW_NUMBERS]!;
  }
  return true;
}

/** All rows by symbol and session. */
function sortRows(parts: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  const numbers = numbersOf(all);
  const compare = (a: number, b: number): number => {
    return (
      numbers[a * ROW_NUMBERS]! - numbers[b * ROW_NUMBERS]! ||
      numbers[a * ROW_NUMBERS + 1]! - numbers[b * ROW_NUMBERS + 1]!
    );
  };
  const order = new Uint32Array(all.length / ROW_WORDS).map((_, i) => i).sort(compare);
  const sorted = new Float64Array(all.length);
  order.forEach((row, i) => {
    sorted.set(all.subarray(row * ROW_WORDS, (row + 1) * ROW_WORDS), i * ROW_WORDS);
  });
  return sorted;
}

function rowsToColumns(parts: readonly Float64Array[], interval: number, names: Utf8Values): Columns {
  const length = parts.reduce((sum, part) => sum + part.length, 0) / ROW_WORDS;
  const [symbol, date, endDate, bars] = [0, 1, 2, 3].map(() => new Int32Array(length)) as [...Int32Columns, Int32Array];
  const prices = [2, 3, 4, 5, 6, 7].map(() => new Float64Array(length)) as Float64Columns;
  const complete = new Uint8Array(length);
  let at = 0;
  for (const rows of parts) {
    copyRows(rows, { symbol, date, endDate, bars }, prices, at);
    at += rows.length / ROW_WORDS;
  }
  for (let i = 0; i < length; i++) complete[i] = bars[i] === interval ? 1 : 0;
  const symbols = gatherUtf8(names, symbol);
  release(symbol);
  return { length, values: [symbols, date, endDate, ...prices, bars, complete] };
}

type Float64Columns = [Float64Array, Float64Array, Float64Array, Float64Array, Float64Array, Float64Array];

function copyRows(
  rows: Float64Array,
  { symbol, date, endDate, bars }: Record<'symbol' | 'date' | 'endDate' | 'bars', Int32Array>,
  [open, high, low, close, volume, vwap]: Float64Columns,
  from: number,
): void {
  const numbers = numbersOf(rows);
  for (let word = 0, at = from; word < rows.length; word += ROW_WORDS, at++) {
    symbol[at] = numbers[word * 2]!;
    date[at] = numbers[word * 2 + 1]!;
    endDate[at] = numbers[word * 2 + 2]!;
    bars[at] = numbers[word * 2 + 3]!;
    open[at] = rows[word + 2]!;
    high[at] = rows[word + 3]!;
    low[at] = rows[word + 4]!;
    close[at] = rows[word + 5]!;
    volume[at] = rows[word + 6]!;
    vwap[at] = rows[word + 7]!;
  }
}
