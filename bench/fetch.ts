// npm run bench:fetch: a year's backfill and a day's fetch from a server that replays the API, and how fast a day is durable.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { marketCalendar } from '../src/calendar.ts';
import { openMarketApi } from '../src/ingest/api/market-api.ts';
import { ingestOhlcv } from '../src/ingest/index.ts';
import { consolidate } from '../src/lake/consolidate.ts';
import { openStore } from '../src/lake/open-store.ts';
import { encodeSession, listSessionFiles, readSessionFile } from '../src/lake/session-file.ts';
import { textTable } from '../src/runtime/text-table.ts';
import { formatSession } from '../src/session.ts';
import { describeMachine, median, peakRssMb, ROUNDS, runProcess } from './contest.ts';

const API_KEY = 'bench-key';
/** A Wednesday evening in New York. */
const END = '2025-11-19';
const DAY_MS = 86_400_000;
const SYMBOLS = Number(process.env.BENCH_SYMBOLS ?? 5350);
const DAY_SYMBOLS = 12_000;
const calendar = marketCalendar();
const LAST = calendar.lastClosedSession(eveningOf(Date.parse(END) / DAY_MS));

interface Fetched {
  readonly sessions: number;
  readonly calls: number;
  readonly stored: number;
  readonly unchanged: number;
  /** From the last answer of the session until the run was over. */
  readonly durableSeconds: number;
  readonly rssMb: number;
}

function eveningOf(session: number): number {
  return session * DAY_MS + 22 * 3_600_000;
}

async function fetchOnce(url: string, lake: string, from: number, to: number): Promise<Fetched> {
  const api = openMarketApi({ apiKey: API_KEY, baseUrl: url, rateLimit: { calls: 100, perMs: 1000 } });
  let answered = performance.now();
  const onProgress = ({ step }: { readonly step: string }) => {
    if (step === 'fetch') answered = performance.now();
  };
  const result = await ingestOhlcv(openStore(lake), api, { from, to, now: () => eveningOf(to), onProgress });
  const durableSeconds = (performance.now() - answered) / 1000;
  await api.close();
  if (result.missingCount > 0) throw new Error(JSON.stringify(result.missing[0]));
  const { stored, unchanged, sessionsFetched: sessions } = result;
  return { sessions, calls: result.api.calls, stored, unchanged, durableSeconds, rssMb: peakRssMb() };
}

/** Starts the replay server in a process of its own. */
async function startReplay(
  symbols: number,
  from: number,
): Promise<{ readonly url: string; readonly child: ChildProcess }> {
  const script = fileURLToPath(new URL('../test/support/market/replay.ts', import.meta.url));
  const range = ['--from', formatSession(from), '--to', formatSession(LAST)];
  const args = [script, '--port', '0', '--symbols', String(symbols), '--api-key', API_KEY, ...range];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [url] = await once(createInterface({ input: child.stdout! }), 'line');
  return { url, child };
}

async function withReplay<T>(
  symbols: number,
  from: number,
  work: (url: string, lake: string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'batch-layer-bench-'));
  const { url, child } = await startReplay(symbols, from);
  try {
    return await work(url, `file:${folder}/lake`);
  } finally {
    child.kill();
    await rm(folder, { recursive: true });
  }
}

const run = (url: string, lake: string, from: number, to: number) =>
  runProcess<Fetched>(import.meta.url, [url, lake, String(from), String(to)]);
type Timed = ReturnType<typeof run>;

function rowOf(what: string, rounds: readonly Timed[]): (string | number)[] {
  const of = (value: (timed: Timed) => number) => median(rounds.map(value));
  return [
    what,
    of(({ sessions }) => sessions),
    of(({ calls }) => calls),
    of(({ stored }) => stored),
    of(({ unchanged }) => unchanged),
    of(({ seconds }) => seconds).toFixed(1),
    of(({ durableSeconds }) => durableSeconds).toFixed(1),
    Math.round(Math.max(...rounds.map(({ rssMb }) => rssMb))),
  ];
}

/** A year on an empty lake, then days on top of it, as they come. */
async function benchYear(): Promise<(string | number)[][]> {
  const days = calendar.sessionsBetween(LAST - 30, LAST).slice(-1 - ROUNDS);
  const yearFrom = days[0]! - 364;
  return withReplay(SYMBOLS, yearFrom, async (url, lake) => {
    const year = run(url, lake, yearFrom, days[0]!);
    const [fetched, again]: [Timed[], Timed[]] = [[], []];
    for (const day of days.slice(1)) {
      fetched.push(run(url, lake, day - 30, day));
      again.push(run(url, lake, day - 30, day));
      await consolidate(openStore(lake), { now: () => eveningOf(day) });
    }
    return [
      rowOf(`a year, ${SYMBOLS} symbols, empty lake`, [year]),
      rowOf('the next day', fetched),
      rowOf('that day again', again),
    ];
  });
}

/** One session of many symbols: on an empty lake, and on one whose folders are there. */
async function benchDay(): Promise<(string | number)[][]> {
  const days = calendar.sessionsBetween(LAST - 30, LAST).slice(-1 - ROUNDS);
  return withReplay(DAY_SYMBOLS, days[0]!, async (url, lake) => {
    const rounds = days.map((day) => run(url, lake, day, day));
    await measureSessionFile(lake, days[0]!);
    return [
      rowOf(`a session of ${DAY_SYMBOLS} symbols, empty lake`, rounds.slice(0, 1)),
      rowOf('the next one', rounds.slice(1)),
    ];
  });
}

/** What one object a session costs. */
async function measureSessionFile(lake: string, session: number): Promise<void> {
  const store = openStore(lake);
  const [digest = ''] = (await listSessionFiles(store, { from: session, to: session })).get(session) ?? [];
  const file = await readSessionFile(store, session, digest);
  const seconds = Array.from({ length: ROUNDS }, () => {
    const started = performance.now();
    encodeSession(file);
    return performance.now() - started;
  });
  const { bytes } = encodeSession(file);
  console.log(
    `one object a session: ${bytes.length.toLocaleString('en-US')} bytes, encoded in ${median(seconds).toFixed(1)} ms\n`,
  );
}

const [url, lake, from, to] = process.argv.slice(2);
if (url && lake) {
  console.log(JSON.stringify(await fetchOnce(url, lake, Number(from), Number(to))));
} else {
  console.log(await describeMachine());
  console.log(`server and client on one machine, each run a process of its own, medians of ${ROUNDS}\n`);
  const rows = [...(await benchYear()), ...(await benchDay())];
  const header = [
    'what',
    'sessions fetched',
    'calls',
    'bars stored',
    'unchanged',
    'seconds',
    'after the last answer',
    'peak RSS MB',
  ];
  console.log(textTable([header, ...rows]));
}
