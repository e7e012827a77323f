/** The values of one row of a source, reused from row to row. */
export interface RowValues {
  session: number;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number;
  /** NaN = absent. */
  vwap: number;
  /** −1 = absent. */
  trades: number;
}

/** The numbers of a row, in the order they are checked in. */
export const NUMBERS = ['open', 'high', 'low', 'close', 'volume', 'vwap', 'trades'] as const;
export type NumberName = (typeof NUMBERS)[number];

/** Why a number, or the prices of a row together, are not those of a bar. */
export type ValueFault = 'missing_value' | 'not_a_number' | 'negative' | 'inconsistent';

const MAX_TRADES = 2_147_483_647;

/**
 * Puts a number into a row where it may be there.
 *
 * @param value NaN = absent, infinite = something that is no number
 */
export function takeNumber(row: RowValues, name: NumberName, value: number): ValueFault | undefined {
  if (Number.isNaN(value)) {
    if (name !== 'vwap' && name !== 'trades') return 'missing_value';
    row[name] = name === 'vwap' ? Number.NaN : -1;
    return undefined;
  }
  const isWhole = name !== 'trades' || (Number.isInteger(value) && value <= MAX_TRADES);
  if (!Number.isFinite(value) || !isWhole) return 'not_a_number';
  if (value < 0) return 'negative';
  // −0 and 0 are one price but not one digest.
  row[name] = value === 0 ? 0 : value;
  return undefined;
}

/** Whether the prices of a row are those of one bar. */
export function findInconsistency({ open, high, low, close }: RowValues): ValueFault | undefined {
  return low <= open && low <= close && open <= high && close <= high ? undefined : 'inconsistent';
}

/** What a fault says to people; `text` is the value as it was written. */
export function describeNumber(fault: ValueFault, name: NumberName, text: string): string {
  if (fault === 'missing_value') return `${name} is empty`;
  if (fault === 'negative') return `${name} is ${text}: expected 0 or more`;
  return `${name} is "${text}": expected a ${name === 'trades' ? 'whole number' : 'number'}`;
}

/** What an inconsistency says to people. */
export function describePrices({ open, high, low, close }: RowValues): string {
  return `open ${open}, high ${high}, low ${low}, close ${close}: expected low ≤ open, close ≤ high`;
}

/** The number that a text is; NaN where it is empty, infinite where it is no number. */
export function numberFrom(text: string): number {
  if (text === '') return Number.NaN;
  const value = Number(text);
  // Number() also takes 0x1f, 0b1 and 0o7: their second character is a letter that is no exponent.
  const second = text.charCodeAt(1) | 32;
  const isLiteral = second > 96 && second !== 101;
  return Number.isNaN(value) || isLiteral ? Number.POSITIVE_INFINITY : value;
}
