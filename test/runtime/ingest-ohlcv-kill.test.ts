import { type ChildProcess, spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { BRONZE_PREFIX, fileStore } from '../../src/lake/index.ts';
import { formatSession } from '../../src/session.ts';
import { findPromises, lakeBars, marketBars } from '../support/lake-bars.ts';
import { keysOf } from '../support/lake-reader.ts';
import { syntheticReplayMarket } from '../support/market/replay-market.ts';
import type { ReplayServer } from '../support/market/replay-server.ts';
import { openMarket, sessionsOf } from '../support/replay-api.ts';
import { temporaryFolder } from '../support/temporary.ts';

const CLI = new URL('../../src/runtime/cli.ts', import.meta.url).pathname;
// Long ago: no session is asked for again since it may be corrected.
const SESSIONS = sessionsOf('2025-03-03', '2025-03-21');
const FEW = SESSIONS.slice(-4);
const MARKET = syntheticReplayMarket({ symbols: 40, sessions: SESSIONS, halted: 0.03 });
const SESSION_FILES = 'processing_metadata/sessions';

interface Ended {
  readonly code: number | null;
  readonly stderr: string;
}

/** `ingest ohlcv` as a process of its own. */
function startFetching(folder: string, server: ReplayServer, sessions: readonly number[]) {
  const dates = ['--from', formatSession(sessions[0]!), '--to', formatSession(sessions.at(-1)!)];
  const env = { PATH: process.env.PATH, POLYGON_API_KEY: server.apiKey, POLYGON_BASE_URL: server.url };
  const args = ['ingest', 'ohlcv', '--lake', `file:${folder}`, ...dates];
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'ignore', 'pipe'], env });
  onTestFinished(() => void child.kill('SIGKILL'));
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const ended = new Promise<Ended>((resolve) => child.once('close', (code) => resolve({ code, stderr })));
  return { child, ended };
}

/** How many of a lake's files have such a name. */
async function countFiles(folder: string, name: RegExp): Promise<number> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  return names.filter((path) => !path.startsWith('.batch-layer') && name.test(path)).length;
}

async function until(child: ChildProcess, isTime: () => boolean | Promise<boolean>): Promise<void> {
  while (child.exitCode === null && !(await isTime())) await setTimeout(2);
}

const daily = /symbol=.*\/date=.*\.parquet$/;
const data = /symbol=.*\/data\.parquet$/;
const answers = /processing_metadata\/sessions\/date=.*\.parquet$/;

test.each([
  ['while it fetches', SESSIONS, answers, [2, 5, 9]],
  ['while it lands a bulk of sessions', SESSIONS, data, [1, 12, 30]],
  ['while it lands a few sessions', FEW, daily, [1, 50, 110]],
] as const)(
  'kill -9 %s, and run again: the lake is that of a run that was not killed, and no answer is asked for twice',
  async (_, sessions, name, counts) => {
    const folder = await temporaryFolder();
    const store = fileStore(folder);
    const { server, asked } = await openMarket(MARKET, { traps: { latencyMs: 15 } });
    let kills = 0;
    for (const count of counts) {
      const kept = await datesKept(folder);
      asked();
      const { child, ended } = startFetching(folder, server, sessions);
      await until(child, async () => (await countFiles(folder, name)) >= count);
      child.kill('SIGKILL');
      if ((await ended).code === null) kills++;
      expect(await findPromises(store)).toEqual([]);
      expect(asked().sessions.filter((date) => kept.includes(date))).toEqual([]);
    }
    expect(kills).toBeGreaterThan(1);
    const kept = await datesKept(folder);
    asked();
    expect(await startFetching(folder, server, sessions).ended).toEqual({ code: 0, stderr: '' });
    expect(asked().sessions).toEqual(sessions.map(formatSession).filter((date) => !kept.includes(date)));
    expect(await lakeBars(store)).toEqual(marketBars(MARKET, { from: sessions[0]! }));
    expect(await findPromises(store)).toEqual([]);
    expect(server.violations).toEqual([]);
  },
);

test('SIGTERM ends a run that fetches: exit code 143, what to do next, and the next run completes the lake', async () => {
  const folder = await temporaryFolder();
  const store = fileStore(folder);
  const { server } = await openMarket(MARKET, { traps: { latencyMs: 15 } });
  const { child, ended } = startFetching(folder, server, SESSIONS);
  await until(child, () => server.count('/grouped/') >= 3);
  server.set({ latencyMs: 60_000 });
  const begun = performance.now();
  child.kill('SIGTERM');
  const { code, stderr } = await ended;
  expect(code).toBe(143);
  expect(stderr).toBe('batch-layer: stopped by SIGTERM; run the same command again to go on\n');
  expect(performance.now() - begun).toBeLessThan(10_000);
  expect(await keysOf(store, BRONZE_PREFIX)).toEqual([]);
  server.set({ latencyMs: 0 });
  expect((await startFetching(folder, server, SESSIONS).ended).code).toBe(0);
  expect(await lakeBars(store)).toEqual(marketBars(MARKET));
});

test('SIGTERM ends a run that lands: no file is half written, and the next run completes the lake', async () => {
  const folder = await temporaryFolder();
  const store = fileStore(folder);
  const { server, asked } = await openMarket(MARKET);
  const { child, ended } = startFetching(folder, server, SESSIONS);
  await until(child, async () => (await countFiles(folder, data)) >= 3);
  child.kill('SIGTERM');
  expect([143, 0]).toContain((await ended).code);
  expect(await findPromises(store)).toEqual([]);
  asked();
  expect((await startFetching(folder, server, SESSIONS).ended).code).toBe(0);
  expect(asked().sessions).toEqual([]);
  expect(await lakeBars(store)).toEqual(marketBars(MARKET));
});

/** Dates whose answer is in the lake. */
async function datesKept(folder: string): Promise<string[]> {
  const names = await readdir(`${folder}/${SESSION_FILES}`).catch(() => []);
  const dates = await Promise.all(
    names.map(async (name) => [name, await countFiles(`${folder}/${SESSION_FILES}/${name}`, /\.parquet$/)] as const),
  );
  return dates.filter(([, files]) => files > 0).map(([name]) => name.slice('date='.length));
}
