import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, inject, onTestFinished, test } from 'vitest';
import type { Database } from '../../src/database/connection.ts';
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
import { correctedMarket, type ReplayMarket } from '../support/market/replay-market.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres/database.ts';
import { openMarket } from '../support/replay-api.ts';
import { openBucket } from '../support/s3/bucket.ts';
import { type Random, seededRandom } from './random.ts';
import { IS_SOAK } from './seeds.ts';

const CLI = new URL('../../src/runtime/cli.ts', import.meta.url).pathname;
const KILLS = IS_SOAK ? 500 : 12;
const KILLS_A_ROUND = 6;
const INTERVALS = [3, 5];
/** After this part of its time a process has begun its work. */
const BEGUN = 0.4;

interface World {
  readonly random: Random;
  /** How long a job took that was not killed. */
  readonly lastMs: Map<Job, number>;
  readonly store: ObjectStore;
  readonly test: TestDatabase;
  readonly database: Database;
  /** Of every process, but for the market. */
  readonly env: NodeJS.ProcessEnv;
}

async function createWorld(seed: number): Promise<World> {
  const { bucket, options } = await openBucket();
  const { region, credentials, endpoint } = inject('s3');
  const test = await createTestDatabase({ migrate: true });
  return {
    random: seededRandom(seed),
    lastMs: new Map(),
    store: s3Store({ ...options, bucket }),
    test,
    database: openUntilFinished(test.url),
    env: {
      PATH: process.env.PATH,
      LAKE_URL: `s3://${bucket}`,
      AWS_ENDPOINT_URL_S3: endpoint,
      AWS_REGION: region,
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      DATABASE_URL: test.url,
    },
  };
}

type Job = keyof typeof JOBS;

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

/** Runs a job as a process, and kills it then where that is told. */
async function run(job: readonly string[], env: NodeJS.ProcessEnv, afterMs?: number) {
  const child = spawn(process.execPath, [CLI, ...job, '--json'], { stdio: ['ignore', 'pipe', 'pipe'], env });
  onTestFinished(() => void child.kill('SIGKILL'));
  const timer = afterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), afterMs);
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  clearTimeout(timer);
  return { code: code as number | null, stdout, stderr };
}

/** Some bars of some sessions are others now, and the exchange says so. */
function correct(market: ReplayMarket, random: Random): ReplayMarket {
  const corrections = random.some(SESSIONS, 4).map((session) => {
    const rows = random.some(market.rowsOf(session), 6);
    return { session, rows: rows.map((row) => ({ ...row, v: row.v + 1 + random.below(1000) / 8 })) };
  });
  return correctedMarket(market, corrections);
}

/** Runs jobs that are killed, until so many were. */
async function killSome({ random, lastMs, store, test, database, env }: World, market: ReplayMarket, kills: number) {
  const { server } = await openMarket(market);
  for (let killed = 0; killed < kills; ) {
    const name = random.pick(Object.keys(JOBS) as Job[]);
    const begun = performance.now();
    const afterMs = (lastMs.get(name) ?? 1000) * (BEGUN + (1 - BEGUN) * random.next());
    const { code, stderr } = await run(JOBS[name], { ...env, ...apiVariables(server) }, afterMs);
    if (code === null) killed++;
    else {
      expect({ name, code, stderr }).toEqual({ name, code: 0, stderr: '' });
      lastMs.set(name, performance.now() - begun);
    }
    // Backends learn of it when they have done what they were asked for.
    await expect.poll(test.connections).toBeLessThanOrEqual(1);
    expect([await findPromises(store), await marksAhead({ store, database }, market)]).toEqual([[], []]);
  }
}

/** After one run of each job nothing tells that others were killed. */
async function expectWhole({ store, test, env }: World, market: ReplayMarket): Promise<void> {
  const { server } = await openMarket(market);
  for (const name of ['fetch', 'consolidate', 'resample'] as const) {
    const { code, stdout, stderr } = await run(JOBS[name], { ...env, ...apiVariables(server) });
    expect({ name, code, stderr }).toEqual({ name, code: 0, stderr: '' });
    if (name !== 'fetch') continue;
    const { missing, databaseFailures, database } = JSON.parse(stdout);
    expect({ missing, databaseFailures, database }).toMatchObject({
      missing: [],
      databaseFailures: [],
      database: { failure: null, reconciled: { extra: 0, contested: 0, failed: [] } },
    });
  }
  const expected = marketBars(market);
  expect(await lakeBars(store)).toEqual(expected);
  expect(await storedBars(test)).toEqual(expected);
  expect(await tableGroups(test, INTERVALS)).toEqual(await lakeGroups(store, INTERVALS));
  const rebuilt = memoryStore();
  for (const key of await keysOf(store, BRONZE_PREFIX)) await rebuilt.put(key, (await store.get(key)).body);
  await resample(rebuilt, { intervals: INTERVALS });
  expect(await silverDigests(store)).toEqual(await silverDigests(rebuilt));
}

test(`kill -9 of ${KILLS} processes on S3 and PostgreSQL: after one run of each job nothing is lost, and all is as if none was killed`, async () => {
  const world = await createWorld(1);
  let market = MARKET;
  for (let killed = 0; killed < KILLS; killed += KILLS_A_ROUND) {
    market = correct(market, world.random);
    await killSome(world, market, KILLS_A_ROUND);
    await expectWhole(world, market);
    if (IS_SOAK) console.info(`${killed + KILLS_A_ROUND} kills`);
  }
});
