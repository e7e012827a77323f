import { allocateBars, type Bars, REQUIRED_VALUES } from '../bars.ts';
import { formatSession } from '../session.ts';
import type { RowValues } from './row-values.ts';

// Rows of bulk history wait in a spill, nine 8-byte words each. The first two words are two 32-bit numbers each.
const WORD = {
  symbolSession: 0,
  tradesFile: 1,
  line: 2,
  open: 3,
  high: 4,
  low: 5,
  close: 6,
  volume: 7,
  vwap: 8,
} as const;
export const ROW_WORDS = 9;
const MAX_PLACES = 5;

/** Where a row was: an index into the list of files, and which line or row of it, as its source counts. */
export interface RowPlace {
  readonly file: number;
  readonly line: number;
}

/** What shows only between rows. */
export type BetweenRowsKind = 'duplicate' | 'conflicting' | 'unsorted';

/** A problem that shows only between rows. */
export interface RowsProblem extends RowPlace {
  readonly kind: BetweenRowsKind;
  readonly message: string;
}

/** Packs one row after the other into the same memory, which {@link RowPacker.row} is. */
export interface RowPacker {
  readonly row: Float64Array;
  pack(symbolId: number, values: RowValues, place: RowPlace): void;
}

export function createRowPacker(): RowPacker {
  const row = new Float64Array(ROW_WORDS);
  const whole = new Int32Array(row.buffer);
  return {
    row,
    pack(symbolId, values, { file, line }) {
      whole[0] = symbolId;
      whole[1] = values.session;
      whole[2] = values.trades;
      whole[3] = file;
      row[WORD.line] = line;
      row[WORD.open] = values.open;
      row[WORD.high] = values.high;
      row[WORD.low] = values.low;
      row[WORD.close] = values.close;
      row[WORD.volume] = values.volume;
      row[WORD.vwap] = values.vwap;
    },
  };
}

/** One symbol's rows as bars, and the rows that are not among them. */
export interface SymbolRows {
  readonly symbolId: number;
  readonly bars: Bars;
  readonly problems: readonly RowsProblem[];
}

/**
 * Turns packed rows into the bars of each symbol, ordered by session.
 *
 * Of equal rows of one session one is kept. Of different ones none is: nothing tells which is right, and the result must
 * not depend on their order.
 *
 * @param files names of the files that places point to
 */
export function unpackRows(rows: Float64Array, files: readonly string[]): SymbolRows[] {
  const whole = new Int32Array(rows.buffer, rows.byteOffset, rows.length * 2);
  const bySymbol = new Map<number, number[]>();
  for (let i = 0; i < rows.length / ROW_WORDS; i++) {
    const symbolId = whole[i * ROW_WORDS * 2]!;
    const indexes = bySymbol.get(symbolId);
    if (indexes) indexes.push(i);
    else bySymbol.set(symbolId, [i]);
  }
  return [...bySymbol].map(([symbolId, indexes]) => ({ symbolId, ...toBars({ rows, whole, files }, indexes) }));
}

interface PackedRows {
  readonly rows: Float64Array;
  readonly whole: Int32Array;
  readonly files: readonly string[];
}

function toBars(packed: PackedRows, indexes: readonly number[]): Omit<SymbolRows, 'symbolId'> {
  const problems = findUnsorted(packed, indexes);
  const sorted = isAscending(packed, indexes) ? indexes : sortBySession(packed, indexes);
  const kept: number[] = [];
  for (let from = 0, to = 0; from < sorted.length; from = to) {
    const session = sessionOf(packed, sorted[from]!);
    for (to = from + 1; to < sorted.length && sessionOf(packed, sorted[to]!) === session; ) to++;
    if (to === from + 1) {
      kept.push(sorted[from]!);
      continue;
    }
    const same = sorted.slice(from, to);
    const [first, ...others] = same as [number, ...number[]];
    const different = others.find((other) => !isSameRow(packed, first, other));
    if (different === undefined) {
      kept.push(first);
      const message = `the same bar as ${describePlace(packed, first)}`;
      for (const other of others) problems.push({ ...placeOf(packed, other), kind: 'duplicate', message });
    } else {
      const places = same.slice(0, MAX_PLACES).map((i) => describePlace(packed, i));
      const message = `different bars of ${formatSession(session)}, none of which is taken: ${places.join(', ')}`;
      for (const i of same) problems.push({ ...placeOf(packed, i), kind: 'conflicting', message });
    }
  }
  return { bars: gather(packed, kept), problems };
}

// A symbol whose rows go back in time in a file is sorted here; that it does is worth a word, one.
function findUnsorted(packed: PackedRows, indexes: readonly number[]): RowsProblem[] {
  const problems = new Map<number, RowsProblem>();
  for (let i = 1; i < indexes.length; i++) {
    const [before, here] = [sessionOf(packed, indexes[i - 1]!), sessionOf(packed, indexes[i]!)];
    if (here >= before) continue;
    const place = placeOf(packed, indexes[i]!);
    if (place.file !== placeOf(packed, indexes[i - 1]!).file || problems.has(place.file)) continue;
    const message = `${formatSession(here)} comes after ${formatSession(before)}: the symbol's rows are sorted`;
    problems.set(place.file, { ...place, kind: 'unsorted', message });
  }
  return [...problems.values()];
}

function isAscending(packed: PackedRows, indexes: readonly number[]): boolean {
  return indexes.every((index, i) => i === 0 || sessionOf(packed, indexes[i - 1]!) <= sessionOf(packed, index));
}

// Stable, and without a comparison function: session and position in one number each.
function sortBySession(packed: PackedRows, indexes: readonly number[]): number[] {
  const scale = indexes.length;
  const keys = Float64Array.from(indexes, (index, i) => sessionOf(packed, index) * scale + i).sort();
  return Array.from(keys, (key) => indexes[key - Math.floor(key / scale) * scale]!);
}

function sessionOf({ whole }: PackedRows, i: number): number {
  return whole[(i * ROW_WORDS + WORD.symbolSession) * 2 + 1]!;
}

function tradesOf({ whole }: PackedRows, i: number): number {
  return whole[(i * ROW_WORDS + WORD.tradesFile) * 2]!;
}

function placeOf({ rows, whole }: PackedRows, i: number): RowPlace {
  return { file: whole[(i * ROW_WORDS + WORD.tradesFile) * 2 + 1]!, line: rows[i * ROW_WORDS + WORD.line]! };
}

function describePlace(packed: PackedRows, i: number): string {
  const { file, line } = placeOf(packed, i);
  return `${packed.files[file]}:${line}`;
}

function isSameRow(packed: PackedRows, a: number, b: number): boolean {
  for (let word: number = WORD.open; word < ROW_WORDS; word++) {
    if (!Object.is(packed.rows[a * ROW_WORDS + word], packed.rows[b * ROW_WORDS + word])) return false;
  }
  return tradesOf(packed, a) === tradesOf(packed, b);
}

function gather(packed: PackedRows, indexes: readonly number[]): Bars {
  const { rows } = packed;
  const bars = allocateBars(indexes.length, {
    vwap: indexes.some((i) => !Number.isNaN(rows[i * ROW_WORDS + WORD.vwap])),
    trades: indexes.some((i) => tradesOf(packed, i) !== -1),
  });
  indexes.forEach((i, at) => {
    const row = i * ROW_WORDS;
    bars.session[at] = sessionOf(packed, i);
    for (const name of REQUIRED_VALUES) bars[name][at] = rows[row + WORD[name]]!;
    if (bars.vwap) bars.vwap[at] = rows[row + WORD.vwap]!;
    if (bars.trades) bars.trades[at] = tradesOf(packed, i);
  });
  return bars;
}
