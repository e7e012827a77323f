import { parseSession } from '../../session.ts';
import { isSymbol } from '../../symbol.ts';
import type { BetweenRowsKind } from '../packed-rows.ts';
import {
  describeNumber,
  describePrices,
  findInconsistency,
  NUMBERS,
  numberFrom,
  type RowValues,
  takeNumber,
  type ValueFault,
} from '../row-values.ts';

/** Why rows of a CSV file did not land, or (for `unsorted`) landed all the same. */
export type CsvProblemKind =
  | 'wrong_header'
  | 'no_rows'
  | 'unreadable'
  | 'malformed'
  | 'bad_date'
  | 'bad_symbol'
  | ValueFault
  | BetweenRowsKind;

/** A problem of one line. */
export interface RowProblem {
  readonly kind: CsvProblemKind;
  readonly message: string;
}

const NAMES = ['symbol', 'date', 'open', 'high', 'low', 'close', 'volume', 'vwap', 'trades'] as const;
type Name = (typeof NAMES)[number];
const OPTIONAL: ReadonlySet<Name> = new Set(['vwap', 'trades']);

/** Where the columns are, in the order of {@link NAMES}; −1 = not there. */
export type Header = { readonly [K in Name]: number } & { readonly width: number };

/** The values of one row, reused from row to row. */
export interface ParsedRow extends RowValues {
  symbol: string;
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
    const text = header[name] === -1 ? '' : fields[header[name]]!.trim();
    const fault = takeNumber(row, name, numberFrom(text));
    if (fault) return { kind: fault, message: describeNumber(fault, name, text) };
  }
  const inconsistency = findInconsistency(row);
  return inconsistency && { kind: inconsistency, message: describePrices(row) };
}
