import { type Bars, REQUIRED_VALUES } from '../bars.ts';
import { BatchLayerError } from '../errors.ts';
import { BRONZE_SCHEMA, barsToColumns } from '../lake/bronze.ts';
import { type Columns, encodeUtf8 } from '../lake/columns.ts';
import { formatSession, sessionFrom } from '../session.ts';
import { checkSymbol, compareSymbols } from '../symbol.ts';

/** What {@link sessionFrom} takes. */
const [FIRST_SESSION, LAST_SESSION] = [sessionFrom('1000-01-01'), sessionFrom('9999-12-31')];

/** Bars of many symbols: row i is the bar of `symbols[i]`. */
export interface BarRows {
  readonly symbols: readonly string[];
  readonly bars: Bars;
}

/** Rows as a bronze table; arrays are shared. */
export function rowsToColumns({ symbols, bars }: BarRows): Columns {
  const { length, values } = barsToColumns('', bars);
  return { length, values: BRONZE_SCHEMA.map(({ name }, c) => (name === 'symbol' ? encodeUtf8(symbols) : values[c]!)) };
}

/**
 * Indexes of the rows in order of symbol and session; of rows with the same key only the last.
 *
 * In that order writers lock rows: two of them never wait for each other in a circle.
 */
export function orderRows({ symbols, bars: { session } }: BarRows): Int32Array {
  const compare = (i: number, j: number): number =>
    compareSymbols(symbols[i]!, symbols[j]!) || session[i]! - session[j]!;
  const order = Int32Array.from(symbols, (_, i) => i);
  let isOrdered = true;
  for (let i = 1; isOrdered && i < order.length; i++) isOrdered = compare(i - 1, i) < 0;
  if (isOrdered) return order;
  order.sort((i, j) => compare(i, j) || i - j);
  return order.filter((row, n) => n + 1 === order.length || compare(row, order[n + 1]!) !== 0);
}

/** @throws BatchLayerError `BadInput` naming the first row that is no bar */
export function checkRows({ symbols, bars }: BarRows): void {
  for (const [name, { length }] of Object.entries(bars)) {
    if (length === symbols.length) continue;
    throw new BatchLayerError('BadInput', `${symbols.length} symbols, ${length} of ${name}: expected one each`);
  }
  for (let i = 0; i < symbols.length; i++) {
    checkSymbol(symbols[i]!);
    const session = bars.session[i]!;
    if (session < FIRST_SESSION || session > LAST_SESSION) {
      throw new BatchLayerError(
        'BadInput',
        `row ${i} (${symbols[i]}): its session is ${session}: expected days since 1970-01-01, of years 1000 to 9999`,
      );
    }
    const wrong = REQUIRED_VALUES.find((name) => !Number.isFinite(bars[name][i]!));
    if (wrong === undefined) continue;
    const place = `row ${i} (${symbols[i]}, ${formatSession(session)})`;
    throw new BatchLayerError('BadInput', `${place}: ${wrong} is ${bars[wrong][i]}: expected a finite number`);
  }
}
