import { sliceBars } from '../../src/bars.ts';
import { parseBronzeKey, SESSIONS_PREFIX } from '../../src/lake/keys.ts';
import { readManifest } from '../../src/lake/manifest.ts';
import { readRecentBars } from '../../src/lake/recent-bars.ts';
import { readSessionLedger } from '../../src/lake/session-ledger.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { lakeWatermarks } from '../../src/lake/watermarks.ts';
import { keysOf, readBronze, rowsOf, silverDigests } from '../support/lake-reader.ts';
import { type CrashJob, NOW, restore, type Snapshot, SYMBOLS, TODAY, takeSnapshot } from './crash-jobs.ts';
import { type Fault, type FaultPlan, faultAt } from './fault.ts';
import { createHistory } from './history.ts';
import { forgetNames } from './memoise.ts';
import { seededRandom } from './random.ts';
import { startRunner } from './runner.ts';
import { createScheduler } from './scheduler.ts';
import { createWitness } from './witness.ts';
import { RETENTION_DAYS } from './world.ts';

/** What goes wrong at which request of a run. */
export interface CrashPoint {
  readonly index: number;
  readonly mode: CrashMode;
}

export const CRASH_MODES = ['crash before', 'crash after', 'fail before', 'fail after', 'lost answer', 'hang'] as const;
export type CrashMode = (typeof CRASH_MODES)[number];

/** A job, the lake it begins with, and the lake it makes of it where nothing goes wrong. */
export interface CrashCase {
  readonly job: CrashJob;
  readonly snapshot: Snapshot;
  readonly operations: number;
  readonly expected: string;
}

export async function openCase(job: CrashJob): Promise<CrashCase> {
  const snapshot = await takeSnapshot(job.prepare);
  const store = await restore(snapshot);
  let operations = 0;
  const count: FaultPlan = () => {
    operations++;
    return undefined;
  };
  await runOnce(store, job, count, (violation) => {
    throw new Error(violation);
  });
  return { job, snapshot, operations, expected: await describeLake(store, job) };
}

/**
 * Runs the job once for every point, which goes wrong there, and then undisturbed: the lake must be what it would have
 * been.
 *
 * @returns what is different; `undefined` where nothing is, and `'none'` where a run had no such request
 */
export async function crashAt(
  { job, snapshot, expected }: CrashCase,
  points: readonly CrashPoint[],
): Promise<string | undefined> {
  forgetNames();
  const store = await restore(snapshot);
  const violations: string[] = [];
  const report = (violation: string): void => {
    violations.push(violation);
  };
  for (const { index, mode } of points) {
    let hasHappened = false;
    const fault: Fault = { kind: mode };
    const plan: FaultPlan = (operation) => {
      const found = faultAt(index, fault)(operation);
      hasHappened ||= found !== undefined;
      return found;
    };
    await runOnce(store, job, plan, report);
    if (!hasHappened) return 'none';
  }
  await runOnce(store, job, () => undefined, report);
  const found = await describeLake(store, job);
  if (found !== expected) report(`the lake is ${found}, expected ${expected}`);
  return violations.length > 0 ? violations.join('; ') : undefined;
}

async function runOnce(
  storage: ObjectStore,
  job: CrashJob,
  plan: FaultPlan,
  report: (violation: string) => void,
): Promise<void> {
  const random = seededRandom(1);
  const scheduler = createScheduler({ random, now: NOW, inOrder: true, onStuck: report });
  const history = anyBar();
  const witness = createWitness(storage, { history, retentionDays: RETENTION_DAYS, report });
  const run = async (given: Parameters<CrashJob['run']>[0]): Promise<void> => {
    await job.run(given);
  };
  const runner = startRunner(job.name, run, { scheduler, witness, random, plan, report });
  await scheduler.run(() => runner.isDead || runner.isSettled);
}

/** Every bar that the jobs write, in no order. */
function anyBar() {
  const history = createHistory();
  for (const symbol of SYMBOLS) {
    for (let session = TODAY - 60; session <= TODAY; session++) {
      for (let value = 1; value <= 5; value++) history.begin(symbol, session, value);
    }
  }
  return history;
}

/** All there is in a lake but for names of versions and times. */
async function describeLake(store: ObjectStore, { isMerged = false }: CrashJob): Promise<string> {
  const bronze = Object.entries(await readBronze(store)).map(([symbol, bars]) => [symbol, rowsOf(bars)]);
  const manifest = [...(await readManifest(store)).entries.values()].map(
    ({ symbol, rows, digest, appendedTo, firstSession, lastSession }) => {
      return [symbol, rows, digest, isMerged ? [] : appendedTo, firstSession, lastSession];
    },
  );
  const files = (await keysOf(store, 'bronze/')).filter(
    (key) => !isMerged || parseBronzeKey(key)?.session === undefined,
  );
  const keys = [...files, ...(await keysOf(store, SESSIONS_PREFIX))];
  const progress = await describeProgress(store);
  return JSON.stringify([bronze, manifest, await describeRecent(store), keys, progress, await silverDigests(store)]);
}

async function describeProgress(store: ObjectStore) {
  const ledger = [...(await readSessionLedger(store)).values()].map(({ session, digest, rows, missing }) => {
    return [session, digest, rows, missing];
  });
  return [ledger, [...(await lakeWatermarks(store).read()).values()]];
}

async function describeRecent(store: ObjectStore) {
  const { bars, symbols } = await readRecentBars(store);
  return [...symbols].map(([symbol, { from, to, digest }]) => [symbol, digest, rowsOf(sliceBars(bars, from, to))]);
}
