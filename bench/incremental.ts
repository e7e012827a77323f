// npm run bench:incremental: a day's new bars, resampled incrementally and in full, by length of history, on files and on S3.
import { rm } from 'node:fs/promises';
import { consolidate } from '../src/lake/consolidate.ts';
import { fileStore } from '../src/lake/file-store.ts';
import { openStore } from '../src/lake/open-store.ts';
import type { ObjectStore } from '../src/lake/store.ts';
import type { StoreMetrics } from '../src/lake/with-metrics.ts';
import { resample } from '../src/resample/resample.ts';
import type { SyntheticMarket } from '../src/runtime/synthetic-market.ts';
import { textTable } from '../src/runtime/text-table.ts';
import { describeMachine, median, peakRssMb, ROUNDS, runProcess } from './contest.ts';
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

/** In the order of a day; the last one does all of the work of the one before again. */
const STEPS = ['consolidate', 'incremental', 'full'] as const;
type Step = (typeof STEPS)[number];

interface Measured {
  readonly seconds: number;
  readonly rssMb: number;
  readonly requests: StoreMetrics['requests'];
  readonly filesWritten: number;
}

// Histories four times as long as the market's would begin before 1900: the shorter ones are a quarter instead.
const QUARTER = { ...MARKET, bars: Math.ceil(MARKET.bars / 4), longest: Math.ceil(MARKET.longest / 4) };
const S3_SYMBOLS = Math.min(MARKET.symbols, Number(process.env.BENCH_S3_SYMBOLS ?? 1000));
const S3_MARKET = { ...MARKET, symbols: S3_SYMBOLS, bars: Math.ceil((MARKET.bars * S3_SYMBOLS) / MARKET.symbols) };

async function runStep(store: ObjectStore, step: Step, session: number): Promise<Omit<Measured, 'seconds'>> {
  if (step === 'consolidate') {
    const { metrics, written, failed } = await consolidate(store, { now: () => eveningOf(session) });
    if (failed.length > 0) throw new Error(`consolidate: ${JSON.stringify(failed[0])}`);
    return { rssMb: peakRssMb(), requests: metrics.requests, filesWritten: written };
  }
  const { metrics, intervals, failed } = await resample(store, { forceFull: step === 'full' });
  if (failed.length > 0) throw new Error(`resample: ${JSON.stringify(failed[0])}`);
  const filesWritten = intervals.reduce((sum, result) => sum + result.filesWritten, 0);
  return { rssMb: peakRssMb(), requests: metrics.requests, filesWritten };
}

/** A session after the other of a lake that is consolidated and resampled; the first is for warming up and does not count. */
async function measure(url: string, store: ObjectStore, env?: Readonly<Record<string, string>>) {
  const run = (step: Step, session: number) => runProcess<Measured>(import.meta.url, [url, step, String(session)], env);
  const symbols = await symbolsOf(store);
  run('consolidate', LAST_SESSION);
  run('full', LAST_SESSION);
  const rounds: Record<Step, Measured>[] = [];
  for (const session of weekdaysAfter(LAST_SESSION, 1 + ROUNDS)) {
    await addSessions(store, symbols, [session]);
    const round = STEPS.map((step) => [step, run(step, session)] as const);
    rounds.push(Object.fromEntries(round) as Record<Step, Measured>);
  }
  return rounds.slice(1);
}

async function onFiles(market: SyntheticMarket) {
  const lake = await linkLake(await prepareLake(market), 'incremental');
  try {
    return await measure(`file:${lake}`, fileStore(lake));
  } finally {
    await rm(lake, { recursive: true });
  }
}

async function onS3(market: SyntheticMarket) {
  const { url, store, env, stop } = await startBucket();
  try {
    await uploadLake(await prepareLake(market), store);
    return await measure(url, store, env);
  } finally {
    await stop();
  }
}

const [url, step, session] = process.argv.slice(2);
if (url) {
  console.log(JSON.stringify(await runStep(openStore(url), step as Step, Number(session))));
} else {
  const lakes = [
    { name: 'files', history: '1 ×', market: QUARTER, run: onFiles },
    { name: 'files', history: '4 ×', market: MARKET, run: onFiles },
    { name: 'S3', history: '4 ×', market: S3_MARKET, run: onS3 },
  ];
  const rows: (string | number)[][] = [];
  const short = new Map<string, number>();
  for (const { name, history, market, run } of lakes) {
    const rounds = await run(market);
    const medianOf = (of: Step, value: (measured: Measured) => number) =>
      median(rounds.map((round) => value(round[of])));
    const full = medianOf('full', ({ seconds }) => seconds);
    for (const of of STEPS) {
      const seconds = medianOf(of, (measured) => measured.seconds);
      if (market === QUARTER) short.set(of, seconds);
      const counts = (['GET', 'HEAD', 'LIST', 'PUT', 'DELETE'] as const).map((kind) =>
        Math.round(medianOf(of, ({ requests }) => requests[kind])),
      );
      rows.push([
        name,
        market.symbols,
        history,
        of,
        seconds.toFixed(2),
        of === 'consolidate' ? '' : `${((100 * seconds) / full).toFixed(1)} %`,
        name === 'files' ? (seconds / short.get(of)!).toFixed(2) : '',
        Math.round(Math.max(...rounds.map((round) => round[of].rssMb))),
        ...counts,
        (counts.reduce((sum, count) => sum + count, 0) / market.symbols).toFixed(3),
        Math.round(medianOf(of, ({ filesWritten }) => filesWritten)),
      ]);
    }
  }
  console.log(await describeMachine());
  console.log(
    `one new bar of every symbol; history 4 × is ${MARKET.bars.toLocaleString('en-US')} bars of ${MARKET.symbols} symbols (on S3 ${S3_MARKET.bars.toLocaleString('en-US')} of ${S3_SYMBOLS}), 1 × a quarter of it; each step a process of its own, in turn, medians of ${ROUNDS}\n`,
  );
  const header = ['lake on', 'symbols', 'history', 'step', 'seconds', 'of full', '× history 1 ×', 'peak RSS MB'];
  const requests = ['GET', 'HEAD', 'LIST', 'PUT', 'DELETE', 'requests/symbol'];
  console.log(textTable([[...header, ...requests, 'files written'], ...rows]));
}
