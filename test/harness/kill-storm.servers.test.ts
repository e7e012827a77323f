import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, inject, onTestFinished, test } from 'vitest';
import { BRONZE_PREFIX } from '../../src/lake/keys.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { s3Store } from '../../src/lake/s3-store.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { resample } from '../../src/resample/resample.ts';
import { formatSession } from '../../src/session.ts';
import { marksAhead, storedBars } from '../database/lake-world.ts';
import { openUntilFinished } from '../database/open-database.ts';
import { lakeGroups, tableGroups } from '../database/silver-world.ts';
import { apiVariables, DATES, MARKET, SESSIONS } from '../runtime/database-world.ts';
import { findPromises, lakeBars, marketBars } from '../support/lake-bars.ts';
import { keysOf, silverDigests } from '../support/lake-reader.ts';
import { type CorrectedRows, correctedMarket, type ReplayMarket } from '../support/market/replay-market.ts';
import { createTestDatabase } from '../support/postgres/database.ts';
import { openMarket } from '../support/replay-api.ts';
import { openBucket } from '../support/s3/bucket.ts';
import { type Random, seededRandom } from './random.ts';
import { IS_SOAK } from './seeds.ts';

const CLI = new URL('../../src/runtime/cli.ts', import.meta.url).pathname;
const KILLS = IS_SOAK ? 500 : 15;
const KILLS_A_ROUND = 5;
const INTERVALS = [3, 5];

/** What a day's work is made of; the fetch of few sessions leaves daily files, that of all merges them. */
const JOBS = {
  fetch: ['ingest', 'ohlcv', '--force', ...DATES],
  'fetch the last sessions': [
    'ingest',
    'ohlcv',
    '--force',
    '--from',
    formatSession(SESSIONS.at(-2)!),
    ...DATES.slice(2),
  ],
  consolidate: ['consolidate', '--retention-days', '0'],
  resample: ['resample', '--intervals', INTERVALS.join()],
  reconcile: ['db', 'reconcile'],
};
type Job = keyof typeof JOBS;
const NAMES = Object.keys(JOBS) as Job[];

/** A lake on S3 and a database, and a market that goes on. */
async function createWorld() {
  const { bucket, options } = await openBucket();
  const { region, credentials, endpoint } = inject('s3');
  const test = await createTestDatabase({ migrate: true });
  const corrections: CorrectedRows[] = [];
  const market = (): ReplayMarket => correctedMarket(MARKET, corrections);
  const { server } = await openMarket({
    ...MARKET,
    rowsOf: (session) => market().rowsOf(session),
    rowsOfTicker: (...range) => market().rowsOfTicker(...range),
  });
  const env = {
    PATH: process.env.PATH,
    LAKE_URL: `s3://${bucket}`,
    AWS_ENDPOINT_URL_S3: endpoint,
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    DATABASE_URL: test.url,
    ...apiVariables(server),
  };
  return {
    store: s3Store({ ...options, bucket }),
    test,
    database: openUntilFinished(test.url),
    market,
    /** Some bars of some sessions are others now, and the exchange says so. */
    correct(random: Random): void {
      for (const session of random.some(SESSIONS, 4)) {
        const rows = random.some(market().rowsOf(session), 6);
        corrections.push({ session, rows: rows.map((row) => ({ ...row, v: row.v + 1 + random.below(1000) / 8 })) });
      }
      server.set({});
    },
    /** Runs a command line as a process, and kills it then where that is told. */
    async run(args: readonly string[], afterMs?: number) {
      const begun = performance.now();
      const child = spawn(process.execPath, [CLI, ...args, '--json'], { stdio: ['ignore', 'pipe', 'pipe'], env });
      onTestFinished(() => void child.kill('SIGKILL'));
      const timer = afterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), afterMs);
      const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
      clearTimeout(timer);
      return { code: code as number | null, stdout, stderr, tookMs: performance.now() - begun };
    },
  };
}
type World = Awaited<ReturnType<typeof createWorld>>;

/** Which version of what there is. */
async function versionsIn(store: ObjectStore): Promise<string> {
  return (await Array.fromAsync(store.list(''))).map(({ key, etag }) => `${key} ${etag}`).join();
}

/**
 * Runs jobs and kills them at some time of their work, until so many were killed.
 *
 * @returns how many of these had changed the lake by then
 */
async function killSome(world: World, random: Random, lastMs: Map<Job, number>): Promise<number> {
  const { store, test, market, correct, run } = world;
  // Until then a process reads its program.
  const { tookMs: startMs } = await run(['--help']);
  let halfDone = 0;
  for (let killed = 0; killed < KILLS_A_ROUND; ) {
    correct(random);
    const before = await versionsIn(store);
    const name = random.pick(NAMES);
    const { code, stderr, tookMs } = await run(JOBS[name], startMs + (lastMs.get(name)! - startMs) * random.next());
    if (code === null) killed++;
    else {
      expect({ name, code, stderr }).toEqual({ name, code: 0, stderr: '' });
      lastMs.set(name, tookMs);
    }
    // Backends learn of it when they have done what they were asked for.
    await expect.poll(test.connections).toBeLessThanOrEqual(1);
    if (code === null && (await versionsIn(store)) !== before) halfDone++;
    expect([await findPromises(store), await marksAhead(world, market())]).toEqual([[], []]);
  }
  return halfDone;
}

/**
 * After one run of each job nothing tells that others were killed.
 *
 * @returns how long each took
 */
async function expectWhole({ store, test, market, run }: World): Promise<Map<Job, number>> {
  const lastMs = new Map<Job, number>();
  for (const name of NAMES) {
    const { code, stdout, stderr, tookMs } = await run(JOBS[name]);
    expect({ name, code, stderr }).toEqual({ name, code: 0, stderr: '' });
    lastMs.set(name, tookMs);
    if (name !== 'fetch') continue;
    const { missing, databaseFailures, database } = JSON.parse(stdout);
    expect({ missing, databaseFailures, database }).toMatchObject({
      missing: [],
      databaseFailures: [],
      database: { failure: null, reconciled: { extra: 0, contested: 0, failed: [] } },
    });
  }
  const expected = marketBars(market());
  expect(await lakeBars(store)).toEqual(expected);
  expect(await storedBars(test)).toEqual(expected);
  expect(await tableGroups(test, INTERVALS)).toEqual(await lakeGroups(store, INTERVALS));
  const rebuilt = memoryStore();
  for (const key of await keysOf(store, BRONZE_PREFIX)) await rebuilt.put(key, (await store.get(key)).body);
  await resample(rebuilt, { intervals: INTERVALS });
  expect(await silverDigests(store)).toEqual(await silverDigests(rebuilt));
  return lastMs;
}

test(`kill -9 of ${KILLS} processes on S3 and PostgreSQL: after one run of each job nothing is lost, and all is as if none was killed`, async () => {
  const random = seededRandom(1);
  const world = await createWorld();
  let halfDone = 0;
  let lastMs = await expectWhole(world);
  for (let killed = 0; killed < KILLS; killed += KILLS_A_ROUND) {
    halfDone += await killSome(world, random, lastMs);
    lastMs = await expectWhole(world);
    if (IS_SOAK) console.info(`${killed + KILLS_A_ROUND} killed, ${halfDone} of them had changed the lake`);
  }
  expect(halfDone).toBeGreaterThan(KILLS / 5);
});
