import { allocateBars, type Bars, copyBar, REQUIRED_VALUES, sameBar } from '../../bars.ts';
import { compareSymbols } from '../../symbol.ts';
import type { CheckedRow, SourceRow } from './source-row.ts';

/** Rows that have come, sorted, each symbol and session once. */
export interface StoredRows {
  /** Row i of `bars` is of `symbols[i]`; in ascending order of symbol and session. */
  readonly symbols: readonly string[];
  readonly bars: Bars;
  /** Rows that were there already, to the bit. */
  readonly duplicates: number;
  /** Rows of one symbol and session that differ: nothing tells which is right, so none is taken (decision 003). */
  readonly conflicting: readonly { readonly session: number; readonly row: SourceRow }[];
}

/** Keeps checked rows as arrays, in the order in which they come. */
export interface RowStore {
  add(session: number, row: CheckedRow): void;
  finish(): StoredRows;
}

const FIRST_CAPACITY = 256;
const OPTIONAL = { vwap: true, trades: true };

export function createRowStore(): RowStore {
  const symbols: string[] = [];
  let bars = allocateBars(FIRST_CAPACITY, OPTIONAL);
  return {
    add(session, row) {
      const at = symbols.push(row.symbol) - 1;
      if (at === bars.session.length) bars = doubled(bars);
      bars.session[at] = session;
      for (const name of REQUIRED_VALUES) bars[name][at] = row[name];
      bars.vwap![at] = row.vwap ?? Number.NaN;
      bars.trades![at] = row.trades ?? -1;
    },
    finish: () => oneEach(symbols, bars),
  };
}

function oneEach(symbols: readonly string[], bars: Bars): StoredRows {
  const { session } = bars;
  const order = symbols
    .map((_, i) => i)
    .sort((a, b) => compareSymbols(symbols[a]!, symbols[b]!) || session[a]! - session[b]!);
  const isSame = (a: number, b: number) => symbols[a] === symbols[b] && session[a] === session[b];
  const [kept, conflicting]: [number[], number[]] = [[], []];
  for (let from = 0, to = 0; from < order.length; from = to) {
    const first = order[from]!;
    for (to = from + 1; to < order.length && isSame(first, order[to]!); ) to++;
    const same = order.slice(from, to);
    if (same.every((i) => sameBar(bars, first, bars, i))) kept.push(first);
    else conflicting.push(...same);
  }
  const sorted = allocateBars(kept.length, OPTIONAL);
  for (const [at, i] of kept.entries()) copyBar(bars, i, sorted, at);
  return {
    symbols: kept.map((i) => symbols[i]!),
    bars: sorted,
    duplicates: order.length - kept.length - conflicting.length,
    conflicting: conflicting.map((i) => ({ session: session[i]!, row: rowAt(symbols[i]!, bars, i) })),
  };
}

function rowAt(symbol: string, bars: Bars, i: number): SourceRow {
  const [vwap, trades] = [bars.vwap![i]!, bars.trades![i]!];
  return {
    symbol,
    open: bars.open[i],
    high: bars.high[i],
    low: bars.low[i],
    close: bars.close[i],
    volume: bars.volume[i],
    ...(Number.isNaN(vwap) ? {} : { vwap }),
    ...(trades === -1 ? {} : { trades }),
  };
}

function doubled(bars: Bars): Bars {
  const larger = allocateBars(bars.session.length * 2, OPTIONAL);
  for (const name of ['session', ...REQUIRED_VALUES, 'vwap', 'trades'] as const) larger[name]!.set(bars[name]!);
  return larger;
}
