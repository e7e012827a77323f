import { type Columns, gatherUtf8, type Utf8Values } from '../lake/columns.ts';
import { openSpill, type Spill } from '../lake/spill.ts';
import { monthOf } from '../session.ts';
import { type Groups, groupVwap } from './groups.ts';

// Groups wait for their month's file in a spill, one 64-byte row each; the first two words are two 32-bit numbers each.
const ROW_WORDS = 8;
const MONTHS = 12 * 10_000;

/** Groups of all intervals, sorted into months as they come, symbol after symbol. */
export interface MonthRows {
  /** Adds a symbol's groups of interval k; symbols must come in ascending order. */
  add(k: number, groups: Groups, symbolId: number): Promise<void>;
  /** Months that interval k has groups in, ascending ({@link monthOf}). */
  months(k: number): number[];
  /** The groups of one month as a silver table, ordered by symbol and date. */
  read(k: number, month: number, interval: number, symbols: Utf8Values): Promise<Columns>;
  close(): Promise<void>;
}

export function openMonthRows({ maxBytes }: { readonly maxBytes: number }): MonthRows {
  const spill = openSpill({ words: ROW_WORDS, maxBytes });
  const row = new Float64Array(ROW_WORDS);
  const whole = new Int32Array(row.buffer);
  return {
    async add(k, groups, symbolId) {
      whole[0] = symbolId;
      appendGroups(spill, k, groups, { row, whole });
      if (spill.isFull()) await spill.flush();
    },
    months: (k) =>
      spill
        .partitions()
        .filter((partition) => Math.floor(partition / MONTHS) === k)
        .map((partition) => partition % MONTHS),
    async read(k, month, interval, symbols) {
      return toColumns(await spill.read(k * MONTHS + month), interval, symbols);
    },
    close: () => spill.close(),
  };
}

function appendGroups(
  spill: Spill,
  k: number,
  groups: Groups,
  { row, whole }: { readonly row: Float64Array; readonly whole: Int32Array },
): void {
  let partition = 0;
  let monthEnd = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < groups.bars.length; i++) {
    const session = groups.session[i]!;
    if (session >= monthEnd) {
      const month = monthOf(session);
      partition = k * MONTHS + month;
      monthEnd = Date.UTC(Math.floor(month / 12), (month % 12) + 1) / 86_400_000;
    }
    whole[1] = session;
    whole[2] = groups.endSession[i]!;
    whole[3] = groups.bars[i]!;
    row[2] = groups.open[i]!;
    row[3] = groups.high[i]!;
    row[4] = groups.low[i]!;
    row[5] = groups.close[i]!;
    row[6] = groups.volume[i]!;
    row[7] = groupVwap(groups, i);
    spill.append(partition, row);
  }
}

function toColumns(rows: Float64Array, interval: number, symbols: Utf8Values): Columns {
  const length = rows.length / ROW_WORDS;
  const whole = new Int32Array(rows.buffer, rows.byteOffset, rows.length * 2);
  const [symbol, date, endDate, bars] = [0, 1, 2, 3].map(() => new Int32Array(length)) as Int32Columns;
  const prices = [2, 3, 4, 5, 6, 7].map(() => new Float64Array(length));
  const complete = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    const [at, wholeAt] = [i * ROW_WORDS, i * ROW_WORDS * 2];
    symbol[i] = whole[wholeAt]!;
    date[i] = whole[wholeAt + 1]!;
    endDate[i] = whole[wholeAt + 2]!;
    bars[i] = whole[wholeAt + 3]!;
    complete[i] = bars[i] === interval ? 1 : 0;
    for (let c = 0; c < prices.length; c++) prices[c]![i] = rows[at + 2 + c]!;
  }
  return { length, values: [gatherUtf8(symbols, symbol), date, endDate, ...prices, bars, complete] };
}

type Int32Columns = [Int32Array, Int32Array, Int32Array, Int32Array];
