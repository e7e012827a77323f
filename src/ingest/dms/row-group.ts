import type { Data } from 'apache-arrow';
import { decodeForeign } from '../../lake/decode-foreign.ts';
import type { ColumnChunk } from '../../lake/footer.ts';
import { isSymbol } from '../../symbol.ts';
import { NUMBERS, type NumberName } from '../row-values.ts';
import { parseTime, remember, sessionOfTime } from './bar-times.ts';
import type { DmsColumn, DmsRole } from './dms-columns.ts';
import { numberReader, presence, secondsReader, textReader } from './foreign-values.ts';

/** In the place of a symbol's number: the row has no valid symbol. */
export const NO_SYMBOL = -1;
/** In the place of a session: the row has no valid time. */
export const NO_SESSION = -(2 ** 31);
/** Values of daily bars that are wrong are shown as they are written, the first of a column in a row group. */
const MAX_SHOWN = 1000;
const MAX_SHOWN_LENGTH = 40;
const DAILY: ReadonlySet<string> = new Set(['1d', '1 day', 'day']);

/** The rows of a group as bars have them, in memory that is used again for the next group. */
export interface RowGroupValues {
  /** Numbers of symbols, see {@link openGroup}. */
  readonly symbol: Int32Array;
  readonly session: Int32Array;
  /** Whether the bar is a daily one: 0 or 1. */
  readonly isDaily: Uint8Array;
  /** NaN = absent, infinite = no number. */
  readonly numbers: Readonly<Record<NumberName, Float64Array>>;
  /** What a row that is wrong says in a column. */
  shown(role: DmsRole, i: number): string;
  /** Makes room for `rows` rows: all bars are daily ones, and have no optional values. */
  clear(rows: number): void;
  /** Decodes a column of `rows` rows; that of the interval first. */
  fill(
    column: DmsColumn,
    chunk: { readonly chunk: ColumnChunk; readonly bytes: Uint8Array },
    rows: number,
    place: string,
  ): void;
}

/**
 * Memory for row groups of up to `maxRows` rows.
 *
 * @param symbolId the number of a symbol, which is valid
 */
export function openGroup(maxRows: number, symbolId: (symbol: string) => number): RowGroupValues {
  const symbol = new Int32Array(maxRows);
  const session = new Int32Array(maxRows);
  const isDaily = new Uint8Array(maxRows);
  const numbers = Object.fromEntries(NUMBERS.map((name) => [name, new Float64Array(maxRows)])) as Record<
    NumberName,
    Float64Array
  >;
  const shown = new Map<string, string>();
  const perRole = new Map<DmsRole, number>();
  // Kept from group to group: a file has its symbols and times all over.
  const [idOf, sessionOf] = [
    remember((text: string) => (isSymbol(text) ? symbolId(text) : NO_SYMBOL)),
    remember(sessionOfTime),
  ];
  const sessionOfText = remember((text: string) => sessionOfTime(parseTime(text)));

  const show = (role: DmsRole, i: number, value: string | number): void => {
    const count = perRole.get(role) ?? 0;
    if (count >= MAX_SHOWN || isDaily[i] === 0) return;
    perRole.set(role, count + 1);
    shown.set(`${role} ${i}`, String(value).slice(0, MAX_SHOWN_LENGTH));
  };

  const fillSymbol = (data: Data, rows: number): void => {
    const [isThere, textOf] = [presence(data), textReader(data)];
    for (let i = 0; i < rows; i++) {
      const text = isThere(i) && isDaily[i] === 1 ? textOf(i) : '';
      symbol[i] = idOf(text);
      if (symbol[i] === NO_SYMBOL) show('symbol', i, text);
    }
  };
  const fillInterval = (data: Data, rows: number): void => {
    const [isThere, textOf] = [presence(data), textReader(data)];
    for (let i = 0; i < rows; i++) isDaily[i] = isThere(i) && DAILY.has(textOf(i).toLowerCase()) ? 1 : 0;
  };
  const fillSession = (data: Data, rows: number, column: DmsColumn): void => {
    const isThere = presence(data);
    const isText = column.meaning.kind === 'text';
    const textOf = isText ? textReader(data) : undefined;
    const secondsOf = isText ? undefined : secondsReader(data, column);
    for (let i = 0; i < rows; i++) {
      session[i] = NO_SESSION;
      if (!isThere(i)) show('time', i, '');
      else {
        const found = textOf ? sessionOfText(textOf(i)) : sessionOf(secondsOf!(i));
        if (found === undefined) show('time', i, textOf?.(i) ?? `${secondsOf!(i)} s since 1970`);
        else session[i] = found;
      }
    }
  };
  const fillNumber = (data: Data, rows: number, column: DmsColumn, values: Float64Array): void => {
    const [isThere, numberOf] = [presence(data), numberReader(data, column)];
    const textOf = column.meaning.kind === 'text' ? textReader(data) : undefined;
    // Programs without a null write NaN for it; a bar without a price is wrong either way, and told as it is written.
    const isNaNWrong = !textOf && column.role !== 'vwap' && column.role !== 'trades';
    for (let i = 0; i < rows; i++) {
      const value = isThere(i) ? numberOf(i) : Number.NaN;
      const isWrong = Number.isNaN(value) ? isNaNWrong && isThere(i) : !Number.isFinite(value);
      values[i] = isWrong ? Number.POSITIVE_INFINITY : value;
      if (isWrong) show(column.role, i, textOf?.(i) ?? value);
    }
  };

  return {
    symbol,
    session,
    isDaily,
    numbers,
    shown: (role, i) => shown.get(`${role} ${i}`) ?? '',
    clear(rows) {
      shown.clear();
      perRole.clear();
      isDaily.fill(1, 0, rows);
      numbers.vwap.fill(Number.NaN, 0, rows);
      numbers.trades.fill(Number.NaN, 0, rows);
    },
    fill(column, chunk, rows, place) {
      decodeForeign(column, chunk, rows, place, (data) => {
        const { role } = column;
        if (role === 'symbol') fillSymbol(data, rows);
        else if (role === 'time') fillSession(data, rows, column);
        else if (role === 'interval') fillInterval(data, rows);
        else fillNumber(data, rows, column, numbers[role]);
      });
    },
  };
}
