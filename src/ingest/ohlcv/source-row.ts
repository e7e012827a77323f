import { isSymbol } from '../../symbol.ts';

/** Why a row of the market data API, or of its day files, is no bar. */
export type RowFault =
  | 'bad_symbol'
  | 'wrong_day'
  | 'no_volume'
  | 'not_a_number'
  | 'not_positive'
  | 'inconsistent'
  | 'conflicting';

/** A row as it came: nothing of it is sure. Absent values are `undefined`. */
export interface SourceRow {
  readonly symbol: unknown;
  readonly open: unknown;
  readonly high: unknown;
  readonly low: unknown;
  readonly close: unknown;
  readonly volume: unknown;
  readonly vwap?: unknown;
  readonly trades?: unknown;
  /** Milliseconds since 1970-01-01, of some moment of the session. */
  readonly time?: unknown;
}

/** A row whose values are checked. */
export interface CheckedRow extends SourceRow {
  readonly symbol: string;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
  readonly vwap?: number | undefined;
  readonly trades?: number | undefined;
  readonly time: number;
}

/** A row that was put aside, and why. */
export interface QuarantinedRow {
  /** The session that was asked for, YYYY-MM-DD. */
  readonly date: string;
  readonly fault: RowFault;
  readonly message: string;
  readonly row: SourceRow;
}

/** What is wrong with a row. */
export type RowFinding = Pick<QuarantinedRow, 'fault' | 'message'>;

/** What is wrong with rows that tell of one bar, each another. */
export const conflicting: RowFinding = { fault: 'conflicting', message: 'another row of the symbol says otherwise' };

const PRICES = ['open', 'high', 'low', 'close', 'vwap'] as const;
const MAX_TRADES = 2_147_483_647;

/** The first thing that is wrong with a row, whatever session it is of; nothing where it is a {@link CheckedRow}. */
export function findFault(row: SourceRow): RowFinding | undefined {
  const { symbol, volume, trades } = row;
  if (typeof symbol !== 'string' || !isSymbol(symbol)) {
    return { fault: 'bad_symbol', message: `${show(symbol)} is not a symbol` };
  }
  for (const name of PRICES) {
    const price = row[name];
    if (name === 'vwap' && price === undefined) continue;
    if (!isFiniteNumber(price)) return notANumber(name, price);
  }
  if (!isFiniteNumber(row.time)) return notANumber('time', row.time);
  if (!isFiniteNumber(volume)) return notANumber('volume', volume);
  if (trades !== undefined && !(Number.isInteger(trades) && (trades as number) <= MAX_TRADES)) {
    return notANumber('trades', trades);
  }
  // Before the prices: a symbol that was not traded may have zeros there, and misses no bar.
  if (volume === 0) return { fault: 'no_volume', message: 'nothing was traded' };
  const known = row as CheckedRow;
  for (const name of PRICES) {
    if (known[name] !== undefined && !(known[name] > 0)) return notPositive(name, known[name]);
  }
  if (volume < 0) return notPositive('volume', volume);
  if (known.trades !== undefined && known.trades < 0) return notPositive('trades', known.trades);
  return findInconsistency(known);
}

/** Whether the row tells of a bar that should be in the lake, and is not. */
export function missesBar({ fault }: RowFinding): boolean {
  return fault === 'not_a_number' || fault === 'not_positive' || fault === 'inconsistent' || fault === 'conflicting';
}

function findInconsistency({ open, high, low, close }: CheckedRow): RowFinding | undefined {
  if (low <= open && low <= close && open <= high && close <= high) return undefined;
  return {
    fault: 'inconsistent',
    message: `open ${open}, high ${high}, low ${low}, close ${close}: expected low ≤ open, close ≤ high`,
  };
}

function isFiniteNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function notANumber(name: string, value: unknown): RowFinding {
  return { fault: 'not_a_number', message: `${name} is ${show(value)}: expected a number` };
}

function notPositive(name: string, value: number): RowFinding {
  return { fault: 'not_positive', message: `${name} is ${value}: expected more than 0` };
}

function show(value: unknown): string {
  return value === undefined ? 'missing' : JSON.stringify(value).slice(0, 40);
}
