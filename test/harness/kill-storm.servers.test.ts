import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, inject, onTestFinished, test } from 'vitest';
import { BRONZE_PREFIX } from '../../src/lake/keys.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { s3Store } from '../../src/lake/s3-store.ts';
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
import { openFaultyProxy } from '../support/s3/faulty-proxy.ts';
import { type Random, seededRandom } from './random.ts';
import { IS_SOAK } from './seeds.ts';

const CLI = new URL('../../src/runtime/cli.ts', import.meta.url).pathname;
const KILLS = IS_SOAK ? 500 : 15;
const KILLS_A_ROUND = 5;
const INTERVALS = [3, 5];
/** A process lives on so long, at most, after the request to S3 at which it is to be killed: what it does in the database is between. */
const MOST_MS = 60;

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
  const proxy = await openFaultyProxy(endpoint);
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
    AWS_ENDPOINT_URL_S3: proxy.endpoint,
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
    /** Runs a job as a process, and kills it so long after one of its requests where that is told. */
    async run(name: Job, kill?: { readonly request: number; readonly afterMs: number }) {
      proxy.seen.length = 0;
      const child = spawn(process.execPath, [CLI, ...JOBS[name], '--json'], { stdio: ['ignore', 'pipe', 'pipe'], env });
      onTestFinished(() => void child.kill('SIGKILL'));
      const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
      if (kill) {
        while (child.exitCode === null && proxy.seen.length < kill.request) await sleep(1);
        await Promise.race([sleep(kill.afterMs), ended]);
        child.kill('SIGKILL');
      }
      const [stdout, stderr, [code]] = await ended;
      return { code: code as number | null, stdout, stderr, requests: proxy.seen.length };
    },
  };
}
type World = Awaited<ReturnType<typeof createWorld>>;

/** Which version of what there is. */
async function versionsIn({ store, test }: World): Promise<string> {
  const objects = await Array.fromAsync(store.list(''), ({ key, etag }) => `${key} ${etag}`);
  const sums = ['raw_ohlcv', 'watermarks', 'silver_files'].map((table) => {
    return `(SELECT sum(xmin::text::bigint) FROM ${table}) AS ${table}`;
  });
  return JSON.stringify([objects, await test.query(`SELECT ${sums.join()}`)]);
}

/**
 * Runs jobs and kills them at some moment of their work, until so many were killed.
 *
 * @param requests how many a job makes
 * @returns how many of these had changed lake or database by then
 */
async function killSome(world: World, random: Random, requests: Map<Job, number>): Promise<number> {
  const { store, test, market, correct, run } = world;
  let halfDone = 0;
  for (let killed = 0; killed < KILLS_A_ROUND; ) {
    correct(random);
    const before = await versionsIn(world);
    const name = random.pick(NAMES);
    const kill = { request: 1 + random.below(requests.get(name)!), afterMs: random.below(MOST_MS) };
    const { code, stderr, requests: made } = await run(name, kill);
    if (code === null) killed++;
    else {
      expect({ name, code, stderr }).toEqual({ name, code: 0, stderr: '' });
      requests.set(name, made);
    }
    // Backends learn of it when they have done what they were asked for.
    await expect.poll(test.connections).toBeLessThanOrEqual(1);
    if (code === null && (await versionsIn(world)) !== before) halfDone++;
    expect([await findPromises(store), await marksAhead(world, market())]).toEqual([[], []]);
  }
  return halfDone;
}

/**
 * After one run of each job nothing tells that others were killed.
 *
 * @returns how many requests each made
 */
async function expectWhole({ store, test, market, run }: World): Promise<Map<Job, number>> {
  const requests = new Map<Job, number>();
  for (const name of NAMES) {
    const { code, stdout, stderr, requests: made } = await run(name);
    expect({ name, code, stderr }).toEqual({ name, code: 0, stderr: '' });
    requests.set(name, made);
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
  return requests;
}

test(`kill -9 of ${KILLS} processes on S3 and PostgreSQL: after one run of each job nothing is lost, and all is as if none was killed`, async () => {
  const random = seededRandom(1);
  const world = await createWorld();
  let halfDone = 0;
  let requests = await expectWhole(world);
  for (let killed = 0; killed < KILLS; killed += KILLS_A_ROUND) {
    halfDone += await killSome(world, random, requests);
    requests = await expectWhole(world);
    if (IS_SOAK) console.info(`${killed + KILLS_A_ROUND} killed, ${halfDone} of them had changed lake or database`);
  }
  // Else it is not work that is killed.
  expect(halfDone).toBeGreaterThan(KILLS / 8);
});
