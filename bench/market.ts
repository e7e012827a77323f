import { access, mkdir, rename, rm } from 'node:fs/promises';
import { arch, cpus, platform, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { DuckDBInstance } from '@duckdb/node-api';
import { encodeConsolidated } from '../src/lake/consolidated.ts';
import { fileStore } from '../src/lake/file-store.ts';
import { dataKey } from '../src/lake/keys.ts';
import { type SyntheticMarket, syntheticMarket } from '../src/runtime/synthetic-market.ts';

/** The market of the benchmarks: as many symbols and bars as the old system had, histories of up to 63 years. */
export const MARKET: SyntheticMarket = {
  symbols: Number(process.env.BENCH_SYMBOLS ?? 5350),
  bars: Number(process.env.BENCH_BARS ?? 10_842_928),
  longest: Number(process.env.BENCH_LONGEST ?? 15_876),
  lastDate: '2026-11-20',
};

/** The folder of a lake that holds the market as `symbol=X/data.parquet`; made once, and kept for the next benchmark. */
export async function prepareLake(): Promise<string> {
  const name = `market-${MARKET.symbols}-${MARKET.bars}-${MARKET.longest}`;
  const folder = fileURLToPath(new URL(`.data/${name}`, import.meta.url));
  if (
    await access(folder).then(
      () => true,
      () => false,
    )
  )
    return folder;
  console.error(`making ${MARKET.bars.toLocaleString('en-US')} bars in ${folder} …`);
  const unfinished = `${folder}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true });
  const store = fileStore(unfinished);
  for (const { symbol, bars } of syntheticMarket(MARKET)) {
    const { bytes } = encodeConsolidated(symbol, { bars, applied: new Map(), generation: 0 });
    await store.put(dataKey(symbol), bytes, { ifNoneMatch: '*' });
  }
  await rename(unfinished, folder);
  return folder;
}

/** Where and on what a benchmark ran. */
export async function describeMachine(): Promise<string> {
  const cpu = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  const connection = await (await DuckDBInstance.create()).connect();
  const [[duckdb]] = (await connection.runAndReadAll('SELECT version()')).getRows() as [[string]];
  connection.closeSync();
  return `${cpu.length} × ${cpu[0]?.model.trim()}, ${memory} GiB, ${platform()} ${arch()}, Node ${process.version}, DuckDB ${duckdb}`;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
