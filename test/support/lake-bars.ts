import { readConsolidated } from '../../src/lake/consolidated.ts';
import { readDaily } from '../../src/lake/daily-file.ts';
import { readSessionFile } from '../../src/lake/session-file.ts';
import { isLanded, readSessionLedger } from '../../src/lake/session-ledger.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { listSymbols } from '../../src/lake/symbol-files.ts';
import { lakeWatermarks } from '../../src/lake/watermarks.ts';
import { formatSession } from '../../src/session.ts';
import { rowsOf } from './lake-reader.ts';
import type { ReplayMarket, ReplayRow } from './market/replay-market.ts';

/** A bar as it reads well in a failing test: date, open, high, low, close, volume, vwap (or NaN), trades (or −1). */
export type BarRow = readonly (string | number)[];

/** Bars by symbol, in ascending order of date. */
export type BarsBySymbol = Readonly<Record<string, readonly BarRow[]>>;

/** All bars of a lake: a daily file wins over `data.parquet`, unless that has taken it over. */
export async function lakeBars(store: ObjectStore): Promise<BarsBySymbol> {
  const found: Record<string, readonly BarRow[]> = {};
  for await (const { symbol, daily } of listSymbols(store)) {
    const data = await readConsolidated(store, symbol);
    const rows = new Map((data ? rowsOf(data.bars) : []).map((row) => [row[0], row]));
    for (const file of daily) {
      const { bars, etag, writes } = await readDaily(store, symbol, file);
      const applied = data?.applied.get(file.session);
      const isTakenOver = applied && (applied.etag === etag || applied.writes.includes(writes[0]!));
      for (const row of isTakenOver ? [] : rowsOf(bars)) rows.set(row[0], row);
    }
    found[symbol] = [...rows.values()].sort((a, b) => (a[0]! < b[0]! ? -1 : 1));
  }
  return found;
}

/** Which bars of a market a lake is to have. */
export interface Choice {
  readonly from?: number;
  readonly to?: number;
  /** Only these. */
  readonly symbols?: readonly string[];
  /** All but these, as `AAPL`, `2026-03-13` or `AAPL 2026-03-13`. */
  readonly without?: readonly string[];
}

/** The bars that a lake is to have of a market: all that were traded, over the counter excepted. */
export function marketBars(market: ReplayMarket, { from, to, symbols, without = [] }: Choice = {}): BarsBySymbol {
  const found: Record<string, BarRow[]> = {};
  for (const session of market.sessions) {
    if (session < (from ?? session) || session > (to ?? session)) continue;
    const date = formatSession(session);
    for (const row of market.rowsOf(session)) {
      if (row.otc || row.v === 0 || symbols?.includes(row.T) === false) continue;
      if ([row.T, date, `${row.T} ${date}`].some((name) => without.includes(name))) continue;
      found[row.T] = [...(found[row.T] ?? []), barRow(date, row)];
    }
  }
  return found;
}

/** A row of the market as the lake is to have it. */
export function barRow(date: string, { o, h, l, c, v, vw = Number.NaN, n = -1 }: ReplayRow): BarRow {
  return [date, o, h, l, c, v, vw, n];
}

/** Bars as a CSV file that `ingest csv` reads. */
export function barsToCsv(bars: BarsBySymbol): string {
  const lines = ['symbol,date,open,high,low,close,volume,vwap,trades'];
  const isAbsent = (value: string | number) => value === -1 || Number.isNaN(value);
  for (const [symbol, rows] of Object.entries(bars)) {
    for (const row of rows) lines.push([symbol, ...row.map((value) => (isAbsent(value) ? '' : value))].join());
  }
  return lines.join('\n');
}

/**
 * What the ledger and the watermarks tell that is not in bronze: nothing, at any time. In lines that name it.
 *
 * @param market what watermarks that tell of a range are held against
 */
export async function findPromises(store: ObjectStore, market?: ReplayMarket): Promise<string[]> {
  const bars = await lakeBars(store);
  const barOf = (symbol: string, session: number) => {
    return bars[symbol]?.find(([date]) => date === formatSession(session));
  };
  const broken: string[] = [];
  const check = (who: string, symbol: string, session: number, expected?: BarRow): void => {
    const found = barOf(symbol, session);
    if (found && (!expected || String(found) === String(expected))) return;
    broken.push(`${who}: ${symbol} has ${found} for ${formatSession(session)}: expected ${expected ?? 'a bar'}`);
  };
  for (const { symbol, lastSession, checkedFrom, checkedThrough } of (await lakeWatermarks(store).read()).values()) {
    if (lastSession !== -1) check('watermark', symbol, lastSession);
    if (checkedFrom === -1) continue;
    for (const { session } of market?.rowsOfTicker(symbol, checkedFrom, checkedThrough) ?? []) {
      check('range', symbol, session);
    }
  }
  for (const entry of (await readSessionLedger(store)).values()) {
    if (!isLanded(entry)) continue;
    const file = await readSessionFile(store, entry.session, entry.digest);
    const rows = rowsOf(file.bars);
    for (const [i, symbol] of file.symbols.entries()) {
      if (!entry.missing.includes(symbol)) check('ledger', symbol, entry.session, rows[i]);
    }
  }
  return broken;
}

/** The same objects in another store; their etags are others. */
export async function copyStore(from: ObjectStore, to: ObjectStore): Promise<ObjectStore> {
  for await (const { key } of from.list('')) await to.put(key, (await from.get(key)).body);
  return to;
}
