import { parseSession } from '../../session.ts';
import { isSymbol } from '../../symbol.ts';

/** Why rows of a CSV file did not land, or (for `unsorted`) landed all the same. */
export type CsvProblemKind =
  | 'wrong_header'
  | 'no_rows'
  | 'unreadable'
  | 'malformed'
  | 'missing_value'
  | 'not_a_number'
  | 'negative'
  | 'inconsistent'
  | 'bad_date'
  | 'bad_symbol'
  | 'duplicate'
  | 'conflicting'
  | 'unsorted';

/** A problem of one line. */
export interface RowProblem {
  readonly kind: CsvProblemKind;
  readonly message: string;
}

const NAMES = ['symbol', 'date', 'open', 'high', 'low', 'close', 'volume', 'vwap', 'trades'] as const;
type Name = (typeof NAMES)[number];
const OPTIONAL: ReadonlySet<Name> = new Set(['vwap', 'trades']);
const NUMBERS = ['open', 'high', 'low', 'close', 'volume', 'vwap', 'trades'] as const;

/** Where the columns are, in the order of {@link NAMES}; −1 = not there. */
export type Header = { readonly [K in Name]: number } & { readonly width: number };

/** The values of one row, reused from row to row. */
export interface ParsedRow {
  symbol: string;
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

/**
 * Finds the columns by name, in any order and case; others are ignored.
 *
 * @param withoutSymbol the file has one symbol, and no column for it
 */
export function parseHeader(fields: readonly string[], withoutSymbol: boolean): Header | RowProblem {
  const names = fields.map((field) => field.trim().toLowerCase());
  const header = Object.fromEntries(NAMES.map((name) => [name, names.indexOf(name)])) as Record<Name, number>;
  if (withoutSymbol && header.symbol !== -1) {
    return { kind: 'wrong_header', message: 'has a column symbol: ingest it without naming the symbol of all rows' };
  }
  const required = NAMES.filter((name) => !OPTIONAL.has(name) && !(withoutSymbol && name === 'symbol'));
  const missing = required.filter((name) => header[name] === -1);
  const twice = NAMES.filter((name) => names.indexOf(name) !== names.lastIndexOf(name));
  if (missing.length > 0)
    return { kind: 'wrong_header', message: `no column ${missing.join(', ')}: found ${names.join(', ')}` };
  if (twice.length > 0) return { kind: 'wrong_header', message: `column ${twice.join(', ')} is there twice` };
  return { ...header, width: names.length };
}

/** Reads one row into `row` and checks it; the first problem found, or `undefined`. */
export function parseRow(fields: readonly string[], header: Header, row: ParsedRow): RowProblem | undefined {
  if (fields.length !== header.width) {
    return { kind: 'malformed', message: `${fields.length} fields: expected ${header.width}` };
  }
  if (header.symbol !== -1) {
    const symbol = fields[header.symbol]!.trim();
    if (!isSymbol(symbol)) return { kind: 'bad_symbol', message: `"${symbol}" is not a symbol` };
    row.symbol = symbol;
  }
  const date = fields[header.date]!.trim();
  const session = parseSession(date);
  if (session === undefined) return { kind: 'bad_date', message: `"${date}" is not a date: expected YYYY-MM-DD` };
  row.session = session;
  for (const name of NUMBERS) {
    const problem = parseNumber(header[name] === -1 ? '' : fields[header[name]]!.trim(), name, row);
    if (problem) return problem;
  }
  return checkPrices(row);
}

function parseNumber(text: string, name: (typeof NUMBERS)[number], row: ParsedRow): RowProblem | undefined {
  if (text === '') {
    if (!OPTIONAL.has(name)) return { kind: 'missing_value', message: `${name} is empty` };
    row[name] = name === 'vwap' ? Number.NaN : -1;
    return undefined;
  }
  const value = Number(text);
  // Number() also takes 0x1f, 0b1 and 0o7: their second character is a letter that is no exponent.
  const second = text.charCodeAt(1) | 32;
  const isLiteral = second > 96 && second !== 101;
  const isWhole = name !== 'trades' || (Number.isInteger(value) && value <= 2_147_483_647);
  if (!Number.isFinite(value) || isLiteral || !isWhole) {
    return {
      kind: 'not_a_number',
      message: `${name} is "${text}": expected a ${name === 'trades' ? 'whole number' : 'number'}`,
    };
  }
  if (value < 0) return { kind: 'negative', message: `${name} is ${text}: expected 0 or more` };
  // −0 and 0 are one price but not one digest.
  row[name] = value === 0 ? 0 : value;
  return undefined;
}

function checkPrices({ open, high, low, close }: ParsedRow): RowProblem | undefined {
  if (low <= open && low <= close && open <= high && close <= high) return undefined;
  return {
    kind: 'inconsistent',
    message: `open ${open}, high ${high}, low ${low}, close ${close}: expected low ≤ open, close ≤ high`,
  };
}
