import { spawn } from 'node:child_process';
import { expect, onTestFinished, test } from 'vitest';
import { fileStore } from '../../src/lake/file-store.ts';
import { formatSession } from '../../src/session.ts';
import { marksAhead, storedBars } from '../database/lake-world.ts';
import { openUntilFinished } from '../database/open-database.ts';
import { findPromises, lakeBars, marketBars } from '../support/lake-bars.ts';
import type { ReplayServer } from '../support/market/replay-server.ts';
import { withClient } from '../support/postgres/client.ts';
import { createTestDatabase } from '../support/postgres/database.ts';
import { openMarket } from '../support/replay-api.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { apiVariables, DATES, MARKET, SESSIONS } from './database-world.ts';

const CLI = new URL('../../src/runtime/cli.ts', import.meta.url).pathname;

/** `ingest ohlcv` as a process of its own, that writes to a database too. */
function startFetching(folder: string, server: ReplayServer, url: string) {
  const env = { PATH: process.env.PATH, ...apiVariables(server), DATABASE_URL: url };
  const args = ['ingest', 'ohlcv', '--json', '--lake', `file:${folder}`, ...DATES];
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env });
  onTestFinished(() => void child.kill('SIGKILL'));
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { kill: () => child.kill('SIGKILL'), ended, stdout: () => stdout, stderr: () => stderr };
}

// What another transaction has locked, so that the process waits where it is to be killed.
test.each([
  ['between the two writes', 'LOCK TABLE ohlcv_months IN ACCESS EXCLUSIVE MODE'],
  ['in the middle of a transaction, its rows copied', 'LOCK TABLE raw_ohlcv IN SHARE MODE'],
  ['when all bars are written, before the watermarks', 'LOCK TABLE watermarks IN SHARE MODE'],
])('kill -9 %s: the next run makes lake and database the same', async (_, lock) => {
  const folder = await temporaryFolder();
  const store = fileStore(folder);
  const database = await createTestDatabase({ migrate: true });
  const { server } = await openMarket(MARKET);
  const world = { store, database: openUntilFinished(database.url) };
  // The months are there: to begin one would have to wait too.
  await database.query(`SELECT route_ohlcv_months($1, '2000-01-01')`, [SESSIONS.map(formatSession)]);
  await withClient(database.url, async (client) => {
    await client.query(`BEGIN; ${lock}`);
    const { kill, ended, stderr } = startFetching(folder, server, database.url);
    await expect.poll(database.waiting).toBe(1);
    kill();
    expect([await ended, stderr()]).toEqual([null, '']);
    await client.query('ROLLBACK');
  });
  // Its backend learns of it when it has its lock.
  await expect.poll(() => database.connections()).toBe(0);
  const bronze = await lakeBars(store);
  expect(Object.keys(bronze).length).toBeGreaterThan(0);
  const isWhole = lock.includes('watermarks');
  expect(await storedBars(database)).toEqual(isWhole ? marketBars(MARKET) : {});
  expect([await findPromises(store, MARKET), await marksAhead(world, MARKET)]).toEqual([[], []]);

  const { ended, stdout, stderr } = startFetching(folder, server, database.url);
  expect([await ended, stderr()]).toEqual([0, '']);
  const { missing, databaseFailures, database: outcome } = JSON.parse(stdout());
  expect({ missing, databaseFailures, outcome }).toMatchObject({
    missing: [],
    databaseFailures: [],
    outcome: { failure: null, reconciled: { extra: 0, contested: 0, failed: [] } },
  });
  expect(await lakeBars(store)).toEqual(marketBars(MARKET));
  expect(await storedBars(database)).toEqual(marketBars(MARKET));
  expect([await findPromises(store, MARKET), await marksAhead(world, MARKET)]).toEqual([[], []]);
  expect((await database.query('SELECT FROM watermarks')).length).toBe(Object.keys(marketBars(MARKET)).length);
});
