// npm run bench:consolidate: one new daily file of every symbol merged into its data.parquet, on files and on S3.
import { cp, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { allocateBars, type Bars } from '../src/bars.ts';
import { writeDaily } from '../src/ingest/daily-writer.ts';
import { type ConsolidateResult, consolidate } from '../src/lake/consolidate.ts';
import { fileStore } from '../src/lake/file-store.ts';
import { BRONZE_PREFIX } from '../src/lake/keys.ts';
import { mapAll } from '../src/lake/map-all.ts';
import { s3Store } from '../src/lake/s3-store.ts';
import type { ObjectStore } from '../src/lake/store.ts';
import { listSymbols } from '../src/lake/symbol-files.ts';
import { textTable } from '../src/runtime/text-table.ts';
import { sessionFrom } from '../src/session.ts';
import { startS3 } from '../test/support/s3/server.ts';
import { describeMachine, MARKET, median, prepareLake } from './market.ts';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3);
/** Daily files that are there, and applied, before the first round. */
const APPLIED = 5;
/** The old consolidator: 5,419 symbols in 8.5 minutes. */
const SEEDS_SYMBOLS_PER_SECOND = 10.6;

const today = sessionFrom(MARKET.lastDate);
const now = () => today * 86_400_000 + 72_000_000;

function newBars(from: number, length: number): Bars {
  const bars = allocateBars(length);
  bars.session.forEach((_, i) => {
    bars.session[i] = today + from + i;
    for (const values of [bars.open, bars.high, bars.low, bars.close]) values[i] = 100 + i / 4;
    bars.volume[i] = 1000;
  });
  return bars;
}

async function writeSessions(store: ObjectStore, symbols: readonly string[], from: number, length: number) {
  await mapAll(symbols, (symbol) => writeDaily(store, symbol, newBars(from, length)), { concurrency: 16 });
}

async function measure(store: ObjectStore): Promise<readonly { seconds: number; result: ConsolidateResult }[]> {
  const symbols: string[] = [];
  for await (const { symbol } of listSymbols(store)) symbols.push(symbol);
  await writeSessions(store, symbols, 1, APPLIED);
  await consolidate(store, { now, maxWorkers: 10 });
  const rounds = [];
  for (let round = 0; round < ROUNDS; round++) {
    await writeSessions(store, symbols, APPLIED + 1 + round, 1);
    const started = performance.now();
    const result = await consolidate(store, { now, maxWorkers: 10 });
    rounds.push({ seconds: (performance.now() - started) / 1000, result });
    if (result.written !== symbols.length) throw new Error(`${result.written} written of ${symbols.length}`);
  }
  return rounds;
}

async function onFiles(market: string) {
  const folder = fileURLToPath(new URL('.data/consolidate', import.meta.url));
  await rm(folder, { recursive: true, force: true });
  await cp(`${market}/bronze`, `${folder}/bronze`, { recursive: true });
  try {
    return await measure(fileStore(folder));
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function onS3(market: string) {
  const { endpoint, region, credentials, stop } = await startS3();
  try {
    const { CreateBucketCommand, S3Client } = await import('@aws-sdk/client-s3');
    const options = { endpoint, region, credentials, forcePathStyle: true } as const;
    await new S3Client(options).send(new CreateBucketCommand({ Bucket: 'bench' }));
    const store = s3Store({ ...options, bucket: 'bench' });
    const source = fileStore(market);
    const copy = async ({ key }: { readonly key: string }) => store.put(key, (await source.get(key)).body);
    await mapAll(source.list(BRONZE_PREFIX), copy, { concurrency: 16 });
    return await measure(store);
  } finally {
    await stop();
  }
}

const market = await prepareLake();
const chosen = process.argv.slice(2);
const places = { files: onFiles, S3: onS3 };
const rows: (string | number)[][] = [];
for (const [name, run] of Object.entries(places)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  const rounds = await run(market);
  const seconds = median(rounds.map((round) => round.seconds));
  const { symbols, metrics } = rounds.at(-1)!.result;
  const { GET, PUT, LIST, HEAD, DELETE } = metrics.requests;
  rows.push([
    name,
    seconds.toFixed(2),
    Math.round(symbols / seconds),
    (symbols / seconds / SEEDS_SYMBOLS_PER_SECOND).toFixed(0),
    (GET / symbols).toFixed(3),
    (PUT / symbols).toFixed(3),
    (LIST / symbols).toFixed(3),
    HEAD + DELETE,
    metrics.retries,
    Math.round(metrics.bytesRead / 2 ** 20),
    Math.round(metrics.bytesWritten / 2 ** 20),
    metrics.costUsd.toFixed(3),
  ]);
}
console.log(await describeMachine());
console.log(
  `${MARKET.symbols} symbols of ${MARKET.bars.toLocaleString('en-US')} bars, ${APPLIED} or more daily files each applied, one new each; medians of ${ROUNDS}\n`,
);
console.log(
  textTable([
    [
      'lake on',
      'seconds',
      'symbols/s',
      "× the seeds'",
      'GET/symbol',
      'PUT/symbol',
      'LIST/symbol',
      'HEAD, DELETE',
      'retries',
      'MB read',
      'MB written',
      'US$ on AWS',
    ],
    ...rows,
  ]),
);
