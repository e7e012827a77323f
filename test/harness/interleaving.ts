import { memoryStore } from '../../src/lake/memory-store.ts';
import { contentEtags } from './content-etags.ts';
import { checkEnd } from './end.ts';
import { randomFaults } from './fault.ts';
import { createHistory } from './history.ts';
import {
  consolidator,
  importer,
  ingester,
  JOBS,
  type Job,
  type JobContext,
  type Jobs,
  resampler,
  vacuumer,
} from './jobs.ts';
import { forgetNames } from './memoise.ts';
import { type Random, seededRandom } from './random.ts';
import { type Runner, type RunnerOptions, startRunner } from './runner.ts';
import { createScheduler } from './scheduler.ts';
import { createWitness } from './witness.ts';
import { fillLake, RETENTION_DAYS, randomWorld } from './world.ts';

/** What a planted bug changes. */
export interface Variant {
  readonly jobs?: Partial<Jobs>;
  /** Between the jobs and their store, or between what tries again and the wire. */
  readonly bug?: RunnerOptions['bug'];
  readonly wireBug?: RunnerOptions['wireBug'];
  readonly retry?: RunnerOptions['retry'];
}

export interface Interleaving {
  /** What went against an invariant: nothing, if all is well. */
  readonly violations: readonly string[];
  readonly trace: readonly string[];
}

const HOUR_MS = 3_600_000;

/** Runs the schedule of a seed: runs that meet in a small lake, with faults, and a look at what is left in the end. */
export async function interleave(
  seed: number,
  { jobs = {}, bug, wireBug, retry }: Variant = {},
): Promise<Interleaving> {
  forgetNames();
  const random = seededRandom(seed);
  const violations: string[] = [];
  const report = (violation: string): void => {
    violations.push(violation);
  };
  const world = randomWorld(random);
  const history = createHistory();
  const storage = random.chance(0.95) ? contentEtags(memoryStore()) : memoryStore();
  await fillLake(storage, world, random, history);
  const scheduler = createScheduler({
    random,
    now: world.now,
    stickiness: random.pick([0, 0, 0.5, 0.9]),
    isWrong: () => violations.length > 0,
    onStuck: (why) => report(`I14 ${why}`),
  });
  const witness = createWitness(storage, { history, retentionDays: RETENTION_DAYS, report });
  const isSilver = random.chance(0.12);
  const rate = random.pick([0, 0.02, 0.05, 0.15]);
  const context: JobContext = { jobs: { ...JOBS, ...jobs }, world, history, random, report };
  const runners = chooseJobs(random, isSilver).map(([name, job]): Runner => {
    const skewMs = random.chance(0.1) ? random.pick([-24, -6, 6, 24]) * HOUR_MS : 0;
    const pageSize = random.pick([1, 2, 3, 1000]);
    const plan = randomFaults(random, rate);
    const faults = { plan, pageSize, skewMs, bug, wireBug, retry };
    return startRunner(name, job(context), { scheduler, witness, random, report, ...faults });
  });
  await scheduler.run(() => runners.every(({ isDead, isSettled }) => isDead || isSettled));
  if (violations.length === 0) await checkEnd(storage, { ...context, witness, isSilver, now: scheduler.now() });
  return { violations, trace: scheduler.trace };
}

function chooseJobs(random: Random, isSilver: boolean): [string, (context: JobContext) => Job][] {
  return [
    ['consolidate-1', consolidator],
    ['consolidate-2', consolidator],
    ['ingest-1', ingester],
    ...(random.chance(0.3) ? [['ingest-2', ingester] as [string, typeof ingester]] : []),
    ...(random.chance(0.6) ? [['import', importer] as [string, typeof importer]] : []),
    ...(random.chance(0.5) ? [['vacuum', vacuumer] as [string, typeof vacuumer]] : []),
    ...(isSilver ? ['resample-1', 'resample-2'].map((name): [string, typeof resampler] => [name, resampler]) : []),
  ];
}
