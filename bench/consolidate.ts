// npm run bench:consolidate: one new daily file of every symbol merged into its data.parquet, on files and on S3.
import { rm } from 'node:fs/promises';
import { type ConsolidateResult, consolidate } from '../src/lake/consolidate.ts';
import { fileStore } from '../src/lake/file-store.ts';
import type { ObjectStore } from '../src/lake/store.ts';
import { textTable } from '../src/runtime/text-table.ts';
import { describeMachine, median, ROUNDS } from './contest.ts';
import {
  addSessions,
  eveningOf,
  LAST_SESSION,
  linkLake,
  MARKET,
  prepareLake,
  symbolsOf,
  weekdaysAfter,
} from './market.ts';
import { startBucket, uploadLake } from './s3.ts';

/** Daily files that are there, and applied, before the first round. */
const APPLIED = 5;
/** The old consolidator: 5,419 symbols in 8.5 minutes. */
const SEEDS_SYMBOLS_PER_SECOND = 10.6;

const now = () => eveningOf(LAST_SESSION);

async function measure(store: ObjectStore): Promise<readonly { seconds: number; result: ConsolidateResult }[]> {
  const symbols = await symbolsOf(store);
  const sessions = weekdaysAfter(LAST_SESSION, APPLIED + ROUNDS);
  await addSessions(store, symbols, sessions.slice(0, APPLIED));
  await consolidate(store, { now, maxWorkers: 10 });
  const rounds = [];
  for (const session of sessions.slice(APPLIED)) {
    await addSessions(store, symbols, [session]);
    const started = performance.now();
    const result = await consolidate(store, { now, maxWorkers: 10 });
    rounds.push({ seconds: (performance.now() - started) / 1000, result });
    if (result.written !== symbols.length) throw new Error(`${result.written} written of ${symbols.length}`);
  }
  return rounds;
}

async function onFiles(market: string) {
  const folder = await linkLake(market, 'consolidate');
  try {
    return await measure(fileStore(folder));
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function onS3(market: string) {
  const { store, stop } = await startBucket();
  try {
    await uploadLake(market, store);
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
