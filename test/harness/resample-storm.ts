import { consolidate } from '../../src/lake/consolidate.ts';
import { parseSilverInterval } from '../../src/lake/keys.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { decodeTable } from '../../src/lake/parquet-decode.ts';
import { SILVER_SCHEMA } from '../../src/lake/silver.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { readCheckpoint } from '../../src/resample/checkpoint.ts';
import { resample } from '../../src/resample/resample.ts';
import { sessionFrom } from '../../src/session.ts';
import { contentEtags } from './content-etags.ts';
import { checkEnd } from './end.ts';
import { randomFaults } from './fault.ts';
import { createHistory } from './history.ts';
import type { Interleaving, Variant } from './interleaving.ts';
import { consolidator, HARNESS_INTERVALS, importer, ingester, JOBS, type Job, type JobContext } from './jobs.ts';
import { forgetNames } from './memoise.ts';
import { type Random, seededRandom } from './random.ts';
import { type Runner, startRunner } from './runner.ts';
import { createScheduler } from './scheduler.ts';
import { createWitness } from './witness.ts';
import { fillLake, RETENTION_DAYS, type World } from './world.ts';

const SYMBOLS = ['BRK', 'BRK.B', 'aapl'];
const MAX_PAUSE_MS = 4000;
/** Five months of sessions, so that months have groups of their own: some are older than the retention. */
const TODAY = sessionFrom('2024-06-14');
const AGES = [132, 101, 94, 66, 52, 45, 31, 30, 3];

/**
 * Runs the schedule of a seed: three resamplers, each with other options, meet a consolidator and an ingester in a lake that
 * has been resampled before, with faults; and a look at what is left when one clean run has followed.
 */
export async function stormOfResamplers(
  seed: number,
  { jobs = {}, bug, wireBug, retry }: Variant = {},
): Promise<Interleaving> {
  forgetNames();
  const random = seededRandom(seed);
  const violations: string[] = [];
  const report = (violation: string): void => {
    violations.push(violation);
  };
  const world = wideWorld(random);
  const history = createHistory();
  const storage = random.chance(0.8) ? contentEtags(memoryStore()) : memoryStore();
  await fillLake(storage, world, random, history);
  if (random.chance(0.8)) {
    await consolidate(storage, { retentionDays: RETENTION_DAYS, now: () => world.now });
    await resample(storage, { intervals: HARNESS_INTERVALS });
  }
  const scheduler = createScheduler({
    random,
    now: world.now,
    stickiness: random.pick([0, 0, 0.5, 0.9]),
    isWrong: () => violations.length > 0,
    onStuck: (why) => report(`I14 ${why}`),
  });
  const witness = createWitness(withLatecomersTold(storage, report), {
    history,
    retentionDays: RETENTION_DAYS,
    report,
  });
  const rate = random.pick([0, 0.02, 0.05, 0.1]);
  const context: JobContext = { jobs: { ...JOBS, ...jobs }, world, history, random, report };
  const chosen: readonly (readonly [string, (context: JobContext) => Job])[] = [
    ['resample-1', runResample],
    ['resample-2', runResample],
    ['resample-3', runResample],
    ['consolidate', consolidator],
    ['ingest', ingester],
    ...(random.chance(0.3) ? [['import', importer] as const] : []),
  ];
  const runners = chosen.map(([name, job]): Runner => {
    const faults = { plan: randomFaults(random, rate), pageSize: random.pick([2, 1000]), bug, wireBug, retry };
    return startRunner(name, job(context), { scheduler, witness, random, report, ...faults });
  });
  await scheduler.run(() => runners.every(({ isDead, isSettled }) => isDead || isSettled));
  if (violations.length === 0) await checkEnd(storage, { ...context, witness, isSilver: true, now: scheduler.now() });
  return { violations, trace: scheduler.trace };
}

function wideWorld(random: Random): World {
  const values = new Map<string, number>();
  return {
    now: TODAY * 86_400_000 + 17 * 3_600_000,
    symbols: random.chance(0.8) ? ['BRK', 'BRK.B'] : SYMBOLS,
    sessions: AGES.map((age) => TODAY - age),
    newValue(symbol, session) {
      const id = `${symbol} ${session}`;
      const value = (values.get(id) ?? 0) + 1;
      values.set(id, value);
      return value;
    },
  };
}

/**
 * Once a run has committed, nothing that a run before it has sent replaces a month file any more (I8): each that one may have
 * been writing has another version. Only where there is no file a late one may appear, for the next run to clear away.
 */
function withLatecomersTold(store: ObjectStore, report: (violation: string) => void): ObjectStore {
  return {
    ...store,
    async put(key, body, call) {
      const etag = await store.put(key, body, call);
      const interval = parseSilverInterval(key);
      if (interval === undefined || call?.ifMatch === undefined) return etag;
      const epoch = Number(decodeTable(SILVER_SCHEMA, body, key).metadata.epoch);
      const stored = (await readCheckpoint(store, interval))?.checkpoint;
      if (stored?.state === 'committed' && stored.epoch > epoch) {
        report(`I8 ${key} of epoch ${epoch} arrives after ${stored.epoch} was committed`);
      }
      return etag;
    },
  };
}

/** One or two runs, of all symbols or some, forced, or of the last months. */
function runResample({ jobs, world, random, report }: JobContext): Job {
  const runs = random.chance(0.25) ? 2 : 1;
  const options = {
    ...(random.chance(0.3) ? { symbols: random.some(world.symbols) } : {}),
    ...(random.chance(0.2) ? { lookbackMonths: 1 + random.below(4) } : {}),
    ...(random.chance(0.2) ? { forceFull: true } : {}),
  };
  return async ({ store, clock, signal, suffered }) => {
    for (let i = 0; i < runs; i++) {
      await clock.sleep(random.below(MAX_PAUSE_MS), { signal });
      const { failed } = await jobs.resample(store, { intervals: HARNESS_INTERVALS, signal, ...options });
      for (const { symbol, code, message } of failed) {
        const isDamaged = code === 'CorruptObject' && suffered('truncated', 'flipped');
        // Asked for by name, a symbol may not have been consolidated yet.
        const isUnknown = code === 'NotFound' && options.symbols !== undefined;
        if (code !== 'Unavailable' && !isDamaged && !isUnknown)
          report(`resample: ${symbol} failed with ${code}: ${message}`);
      }
    }
  };
}
