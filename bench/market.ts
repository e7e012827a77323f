import { access, link, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { allocateBars, type Bars } from '../src/bars.ts';
import { writeDaily } from '../src/ingest/daily-writer.ts';
import { consolidateSymbol } from '../src/lake/consolidate-symbol.ts';
import { fileStore } from '../src/lake/file-store.ts';
import { BRONZE_PREFIX } from '../src/lake/keys.ts';
import { mapAll } from '../src/lake/map-all.ts';
import type { ObjectStore } from '../src/lake/store.ts';
import { listSymbols } from '../src/lake/symbol-files.ts';
import { type SyntheticMarket, syntheticMarket } from '../src/runtime/synthetic-market.ts';
import { sessionFrom } from '../src/session.ts';

/** The market of the benchmarks: as many symbols and bars as the old system had, histories of up to 63 years. */
export const MARKET: SyntheticMarket = {
  symbols: Number(process.env.BENCH_SYMBOLS ?? 5350),
  bars: Number(process.env.BENCH_BARS ?? 10_842_928),
  longest: Number(process.env.BENCH_LONGEST ?? 15_876),
  lastDate: '2026-11-20',
};
export const LAST_SESSION = sessionFrom(MARKET.lastDate);

const DATA = fileURLToPath(new URL('.data', import.meta.url));

/** The folder of a lake that holds a market as `symbol=X/data.parquet`; made once, and kept for the next benchmark. */
export async function prepareLake(market = MARKET): Promise<string> {
  const folder = `${DATA}/market-${market.symbols}-${market.bars}-${market.longest}`;
  if (
    await access(folder).then(
      () => true,
      () => false,
    )
  )
    return folder;
  console.error(`making ${market.bars.toLocaleString('en-US')} bars in ${folder} …`);
  const unfinished = `${folder}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true });
  const store = fileStore(unfinished);
  for (const { symbol, bars } of syntheticMarket(market)) {
    await consolidateSymbol(store, { symbol, data: undefined, daily: [] }, { imported: bars, today: LAST_SESSION });
  }
  await rename(unfinished, folder);
  return folder;
}

/**
 * The folder of a lake to work in, with the bars of another one.
 *
 * As hard links: the file store replaces an object by a rename and never writes into it, so the other lake stays as it is,
 * and what the page cache has of one it has of both.
 */
export async function linkLake(lake: string, name: string): Promise<string> {
  const folder = `${DATA}/${name}`;
  await rm(folder, { recursive: true, force: true });
  const linkSymbol = async (symbol: string): Promise<void> => {
    await mkdir(`${folder}/${BRONZE_PREFIX}${symbol}`, { recursive: true });
    const data = `${BRONZE_PREFIX}${symbol}/data.parquet`;
    await link(`${lake}/${data}`, `${folder}/${data}`);
  };
  await mapAll(await readdir(`${lake}/${BRONZE_PREFIX}`), linkSymbol, { concurrency: 16 });
  return folder;
}

/** The names of a lake's symbols. */
export async function symbolsOf(store: ObjectStore): Promise<readonly string[]> {
  const symbols: string[] = [];
  for await (const { symbol } of listSymbols(store)) symbols.push(symbol);
  return symbols;
}

/** Writes a daily file of every symbol for each of `sessions`. */
export async function addSessions(
  store: ObjectStore,
  symbols: readonly string[],
  sessions: readonly number[],
): Promise<void> {
  const bars = barsOf(sessions);
  await mapAll(symbols, (symbol) => writeDaily(store, symbol, bars), { concurrency: 16 });
}

/** The first `count` weekdays after a session. */
export function weekdaysAfter(session: number, count: number): readonly number[] {
  const weekdays: number[] = [];
  for (let next = session + 1; weekdays.length < count; next++) {
    const day = new Date(next * 86_400_000).getUTCDay();
    if (day !== 0 && day !== 6) weekdays.push(next);
  }
  return weekdays;
}

/** The evening of a session, in milliseconds since 1970-01-01. */
export function eveningOf(session: number): number {
  return session * 86_400_000 + 72_000_000;
}

function barsOf(sessions: readonly number[]): Bars {
  const bars = allocateBars(sessions.length);
  for (const [i, session] of sessions.entries()) {
    bars.session[i] = session;
    for (const values of [bars.open, bars.high, bars.low, bars.close]) values[i] = 100 + (session % 64) / 4;
    bars.volume[i] = 1000;
  }
  return bars;
}
