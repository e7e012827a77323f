import { allocateBars, type Bars } from '../../src/bars.ts';
import type { DatabaseOptions } from '../../src/database/connection.ts';
import { databaseWatermarks } from '../../src/database/database-watermarks.ts';
import { encodeConsolidated } from '../../src/lake/consolidated.ts';
import { dataKey } from '../../src/lake/keys.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { formatSession, sessionFrom } from '../../src/session.ts';
import { type BarRow, type BarsBySymbol, lakeBars } from '../support/lake-bars.ts';
import type { ReplayMarket } from '../support/market/replay-market.ts';
import type { TestDatabase } from '../support/postgres/database.ts';
import { type OpenTestDatabase, openTestDatabase } from './open-database.ts';

/** A lake and a database beside it, both of them empty. */
export interface LakeWorld extends OpenTestDatabase {
  readonly store: ObjectStore;
}

export async function createLakeWorld(options: DatabaseOptions = {}): Promise<LakeWorld> {
  return { ...(await openTestDatabase(options)), store: memoryStore() };
}

/** Bars by date; all that is in one comes from its value, and each third has neither vwap nor trades. */
export function barsAt(values: Readonly<Record<string, number>>): Bars {
  const days = Object.keys(values).sort();
  const bars = allocateBars(days.length, { vwap: true, trades: true });
  for (const [i, date] of days.entries()) {
    const value = values[date]!;
    bars.session[i] = sessionFrom(date);
    bars.open[i] = value;
    bars.high[i] = value + 1.1;
    bars.low[i] = value / 3;
    bars.close[i] = value / 7;
    bars.volume[i] = value * 1000.1;
    if (bars.session[i]! % 3 === 0) continue;
    bars.vwap![i] = value / 11;
    bars.trades![i] = Math.floor(value * 10);
  }
  return bars;
}

/** Writes a symbol's `data.parquet`, as one that has taken over no daily file. */
export function putData(store: ObjectStore, symbol: string, bars: Bars): Promise<string> {
  return store.put(dataKey(symbol), encodeConsolidated(symbol, { bars, applied: new Map(), changes: [] }).bytes);
}

/** The bars of a table as SQL gives them, in the form of `lakeBars`; values that a lake cannot have are words. */
export async function storedBars(
  { query }: Pick<TestDatabase, 'query'>,
  table: 'raw_ohlcv' | 'raw_ohlcv_archive' = 'raw_ohlcv',
): Promise<BarsBySymbol> {
  const rows = await query<Record<string, string | number | null>>(`SELECT * FROM ${table} ORDER BY symbol, date`);
  const found: Record<string, BarRow[]> = {};
  for (const { symbol, date, open, high, low, close, volume, vwap, trades } of rows) {
    const prices = [open, high, low, close, volume].map((value) => value as number);
    const bar = [date as string, ...prices, orAbsent(vwap!, Number.NaN), orAbsent(trades!, -1)];
    found[symbol!] = [...(found[symbol!] ?? []), bar];
  }
  return found;
}

function orAbsent(value: string | number | null, absent: number): string | number {
  if (value === null) return absent;
  return Object.is(value, absent) ? `not null but ${value}` : value;
}

/** The bars whose date is meant; symbols that have none are left out. */
export function barsWhere(bars: BarsBySymbol, isMeant: (date: string) => boolean): BarsBySymbol {
  const entries = Object.entries(bars).map(([symbol, rows]) => {
    return [symbol, rows.filter(([date]) => isMeant(date as string))] as const;
  });
  return Object.fromEntries(entries.filter(([, rows]) => rows.length > 0));
}

/** Bars from a date on. */
export function barsSince(bars: BarsBySymbol, from: string): BarsBySymbol {
  return barsWhere(bars, (date) => date >= from);
}

export function countBars(bars: BarsBySymbol): number {
  return Object.values(bars).reduce((sum, rows) => sum + rows.length, 0);
}

/** Symbol and date of every bar, sorted. */
export function keysIn(bars: BarsBySymbol): readonly string[] {
  return Object.entries(bars)
    .flatMap(([symbol, rows]) => rows.map(([date]) => `${symbol} ${date}`))
    .sort();
}

/** The day after so many. */
export function dayAfter(date: string, days: number): string {
  return formatSession(sessionFrom(date) + days);
}

/** What the watermarks in the database tell of that is not in the lake: nothing, at any time. */
export async function marksAhead({ store, database }: Pick<LakeWorld, 'store' | 'database'>, market?: ReplayMarket) {
  const bars = await lakeBars(store);
  const ahead: string[] = [];
  for (const mark of (await databaseWatermarks(database).read()).values()) {
    const { symbol, lastSession, checkedFrom, checkedThrough } = mark;
    const told = lastSession === -1 ? [] : [lastSession];
    if (checkedFrom !== -1) {
      const rows = market?.rowsOfTicker(symbol, checkedFrom, checkedThrough) ?? [];
      told.push(...rows.map(({ session }) => session));
    }
    const dates = new Set(bars[symbol]?.map(([date]) => date));
    for (const date of told.map(formatSession)) if (!dates.has(date)) ahead.push(`${symbol} ${date}`);
  }
  return ahead;
}
