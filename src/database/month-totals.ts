import type { ClientBase } from 'pg';
import type { Bars } from '../bars.ts';
import type { StoreCall } from '../lake/store.ts';
import { lowerBound } from '../lower-bound.ts';
import type { OnProgress } from '../progress.ts';
import { firstDayOf, formatSession, monthOf, sessionFrom } from '../session.ts';
import { addHashes, toBigInt } from './bar-hash.ts';
import type { Database } from './connection.ts';

/** Of bars: how many, and the sum of their hashes, cut to 64 bits. */
export interface Total {
  readonly rows: number;
  readonly hash: bigint;
}

/** Bars of one symbol in one month: rows `first` (inclusive) to `end` (exclusive) of its history. */
export interface MonthOfBars {
  readonly month: number;
  readonly first: number;
  readonly end: number;
}

/** Totals of what the database has, by month and symbol. */
export type DatabaseTotals = Map<number, Map<string, Total>>;

const NO_BARS: Total = { rows: 0, hash: 0n };

export function totalIn(totals: DatabaseTotals, month: number, symbol: string): Total {
  return totals.get(month)?.get(symbol) ?? NO_BARS;
}

export function sameTotal(a: Total, b: Total): boolean {
  return a.rows === b.rows && a.hash === b.hash;
}

/** The total of rows of a history. */
export function totalOf(bars: Bars, first: number, end: number): Total {
  const sum = { high: 0, low: 0 };
  addHashes(bars, first, end, sum);
  return { rows: end - first, hash: cut(toBigInt(sum)) };
}

/** Months of a history from a session on. */
export function* monthsOf({ session }: Bars, from: number): Generator<MonthOfBars> {
  for (let first = lowerBound(session, from), end = first; first < session.length; first = end) {
    const month = monthOf(session[first]!);
    const next = firstDayOf(month + 1);
    while (end < session.length && session[end]! < next) end++;
    yield { month, first, end };
  }
}

/** The months whose bars are in `raw_ohlcv`, and those in the archive; ascending. */
export async function readMonths(
  database: Database,
  call: StoreCall,
): Promise<{ readonly raw: readonly number[]; readonly archived: readonly number[] }> {
  const { rows } = await database.transaction(
    (client) =>
      client.query<{ month: string; archived: boolean }>(
        "SELECT to_char(month, 'YYYY-MM-DD') AS month, archived_at IS NOT NULL AS archived FROM ohlcv_months ORDER BY month",
      ),
    call,
  );
  const months = (archived: boolean) =>
    rows.filter((row) => row.archived === archived).map((row) => monthOf(sessionFrom(row.month)));
  return { raw: months(false), archived: months(true) };
}

export interface TotalsCall extends StoreCall {
  /** Of the archive as well, not of `raw_ohlcv` alone. */
  readonly archive: boolean;
  readonly onProgress?: OnProgress | undefined;
}

/** Totals of months, each read by itself. */
export async function readTotals(
  database: Database,
  months: readonly number[],
  { archive, onProgress, signal }: TotalsCall,
): Promise<DatabaseTotals> {
  const totals: DatabaseTotals = new Map();
  for (const month of months) {
    totals.set(month, await database.transaction((client) => readMonth(client, month, archive), { signal }));
    onProgress?.({ step: 'compare', done: totals.size, total: months.length });
  }
  return totals;
}

const VALUES = 'date, open, high, low, close, volume, vwap, trades';

async function readMonth(client: ClientBase, month: number, archive: boolean): Promise<Map<string, Total>> {
  // A month is in one of the two, in whichever also when it is archived meanwhile.
  const from = (table: string) => `SELECT symbol, ${VALUES} FROM ${table}`;
  const bars = archive ? `${from('raw_ohlcv')} UNION ALL ${from('raw_ohlcv_archive')}` : from('raw_ohlcv');
  const { rows } = await client.query<[symbol: string, rows: string, hash: string]>({
    text: `SELECT symbol, count(*), sum(bar_hash(${VALUES})) FROM (${bars}) AS bars
      WHERE date >= $1 AND date < $2 GROUP BY symbol`,
    values: [firstDayOf(month), firstDayOf(month + 1)].map(formatSession),
    rowMode: 'array',
  });
  return new Map(rows.map(([symbol, count, hash]) => [symbol, { rows: Number(count), hash: cut(BigInt(hash)) }]));
}

function cut(sum: bigint): bigint {
  return BigInt.asIntN(64, sum);
}
