import type { Calendar } from '../../src/calendar.ts';
import { ingestSessions } from '../../src/ingest/ohlcv/ingest-sessions.ts';
import { createMissingLog } from '../../src/ingest/ohlcv/missing-bars.ts';
import { consolidate } from '../../src/lake/consolidate.ts';
import { readConsolidated } from '../../src/lake/consolidated.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import type { ObjectStore, StoreCall } from '../../src/lake/store.ts';
import { lakeWatermarks } from '../../src/lake/watermarks.ts';
import { sessionFrom } from '../../src/session.ts';
import { valuesOf } from './bar-values.ts';
import { contentEtags } from './content-etags.ts';
import { randomFaults } from './fault.ts';
import { valueSource } from './fetch-jobs.ts';
import { createHistory } from './history.ts';
import type { Interleaving } from './interleaving.ts';
import { consolidator, JOBS, type Job, type JobContext } from './jobs.ts';
import { forgetNames } from './memoise.ts';
import { type Random, seededRandom } from './random.ts';
import { type Runner, startRunner } from './runner.ts';
import { createScheduler } from './scheduler.ts';
import { createWitness } from './witness.ts';
import { RETENTION_DAYS } from './world.ts';

const TODAY = sessionFrom('2024-06-14');
const NOW = TODAY * 86_400_000 + 21 * 3_600_000;
/** Some are older than the retention, and the last three may be corrected. */
const AGES = [45, 40, 31, 30, 9, 3, 2, 1];
const SYMBOLS = ['BRK', 'BRK.B'];
const HOUR_MS = 3_600_000;
const MAX_PAUSE_MS = 6000;
const MAX_VALUE = 9;

/** What is different in a planted bug. */
export interface FetchVariant {
  readonly beforeFetch?: (store: ObjectStore, lastSession: number, call: StoreCall) => Promise<void>;
  readonly afterFetch?: (store: ObjectStore, call: StoreCall) => Promise<void>;
}

/**
 * Runs the schedule of a seed: three fetchers meet a consolidator, while the source corrects its last sessions, with faults; then
 * one clean run has to bring the lake to what the source says by then, and later ones find nothing to do.
 */
export async function stormOfFetchers(seed: number, variant: FetchVariant = {}): Promise<Interleaving> {
  forgetNames();
  const random = seededRandom(seed);
  const violations: string[] = [];
  const report = (violation: string): void => {
    violations.push(violation);
  };
  const truth = createTruth(random);
  const storage = random.chance(0.8) ? contentEtags(memoryStore()) : memoryStore();
  const history = anyValue();
  const scheduler = createScheduler({
    random,
    now: NOW,
    stickiness: random.pick([0, 0, 0.5, 0.9]),
    isWrong: () => violations.length > 0,
    onStuck: (why) => report(`I14 ${why}`),
  });
  const witness = createWitness(storage, { history, retentionDays: RETENTION_DAYS, report });
  if (random.chance(0.6)) await truth.fetch(storage, { now: () => NOW, to: random.chance(0.5) ? TODAY - 2 : TODAY });
  const rate = random.pick([0, 0.02, 0.05, 0.1]);
  const world = { now: NOW, symbols: SYMBOLS, sessions: truth.sessions, newValue: () => 0 };
  const consolidating = consolidator({ jobs: JOBS, world, history, random, report });
  const jobs: readonly (readonly [string, Job])[] = [
    ['fetch-1', fetcher(truth, variant, { random, report })],
    ['fetch-2', fetcher(truth, variant, { random, report })],
    ['fetch-3', fetcher(truth, variant, { random, report })],
    ['consolidate', consolidating],
    ['corrections', corrector(truth, random)],
  ];
  const runners = jobs.map(([name, job]): Runner => {
    const faults = { plan: randomFaults(random, name === 'corrections' ? 0 : rate), pageSize: 1000 };
    return startRunner(name, job, { scheduler, witness, random, report, ...faults });
  });
  await scheduler.run(() => runners.every(({ isDead, isSettled }) => isDead || isSettled));
  if (violations.length === 0) await checkEnd(storage, truth, scheduler.now(), report);
  return { violations, trace: scheduler.trace };
}

interface Truth {
  readonly sessions: readonly number[];
  readonly values: Map<number, number>;
  correct(): void;
  fetch(
    store: ObjectStore,
    options: {
      readonly now: () => number;
      readonly to?: number;
      readonly force?: boolean;
      readonly signal?: AbortSignal;
    },
  ): Promise<{
    readonly stored: number;
    readonly missing: readonly { readonly code: string; readonly message: string }[];
  }>;
}

function createTruth(random: Random): Truth {
  const sessions = AGES.slice(random.below(4)).map((age) => TODAY - age);
  const values = new Map(sessions.map((session) => [session, 1]));
  const correctable = sessions.slice(-3);
  return {
    sessions,
    values,
    correct() {
      const session = random.pick(correctable);
      values.set(session, Math.min(MAX_VALUE, values.get(session)! + 1));
    },
    async fetch(store, options) {
      const missing = createMissingLog();
      const { stored } = await ingestSessions(
        store,
        valueSource(SYMBOLS, (session) => values.get(session)!),
        {
          calendar: calendarOf(sessions),
          watermarks: lakeWatermarks(store),
          missing,
          databaseFailures: [],
          from: TODAY - 60,
          ...options,
        },
      );
      return { stored, missing: missing.first };
    },
  };
}

function fetcher(
  truth: Truth,
  { beforeFetch, afterFetch }: FetchVariant,
  { random, report }: Pick<JobContext, 'random' | 'report'>,
): Job {
  const runs = 1 + random.below(2);
  const force = random.chance(0.2);
  return async ({ store, clock, signal, suffered }) => {
    for (let i = 0; i < runs; i++) {
      await clock.sleep(random.below(MAX_PAUSE_MS), { signal });
      await beforeFetch?.(store, truth.sessions.at(-1)!, { signal });
      const { missing } = await truth.fetch(store, { now: clock.now, force, signal });
      await afterFetch?.(store, { signal });
      for (const { code, message } of missing) {
        const isExpected =
          code === 'Unavailable' ||
          code === 'Conflict' ||
          (code === 'CorruptObject' && suffered('truncated', 'flipped'));
        if (!isExpected) report(`fetch: missing with ${code}: ${message}`);
      }
    }
  };
}

function corrector(truth: Truth, random: Random): Job {
  const times = random.below(4);
  return async ({ clock, signal }) => {
    for (let i = 0; i < times; i++) {
      await clock.sleep(random.below(MAX_PAUSE_MS), { signal });
      truth.correct();
    }
  };
}

async function checkEnd(
  storage: ObjectStore,
  truth: Truth,
  now: number,
  report: (violation: string) => void,
): Promise<void> {
  const { missing } = await truth.fetch(storage, { now: () => now });
  if (missing.length > 0) report(`the last run misses ${JSON.stringify(missing)}`);
  await consolidate(storage, { retentionDays: RETENTION_DAYS, now: () => now });
  for (const symbol of SYMBOLS) {
    const found = await readConsolidated(storage, symbol);
    const values = found ? valuesOf(found.bars) : new Map();
    for (const [session, value] of truth.values) {
      if (values.get(session) !== value) {
        report(`I3 ${symbol} has ${values.get(session)} for ${session}: the source says ${value}`);
      }
    }
  }
  // By then whoever died over a session has been given up.
  const later = () => now + 2 * HOUR_MS;
  await truth.fetch(storage, { now: later });
  const again = await truth.fetch(storage, { now: later });
  if (again.stored > 0 || again.missing.length > 0) report(`I2 a run after the last one has something to do`);
}

/** All values there can be, never acknowledged: whose write is whose only the end can tell. */
function anyValue() {
  const history = createHistory();
  for (const symbol of SYMBOLS) {
    for (const age of AGES) {
      for (let value = 1; value <= MAX_VALUE; value++) history.begin(symbol, TODAY - age, value);
    }
  }
  return history;
}

function calendarOf(sessions: readonly number[]): Calendar {
  return {
    isSession: (day) => sessions.includes(day),
    sessionsBetween: (from, to) => sessions.filter((session) => from <= session && session <= to),
    closeOf: (session) => session * 86_400_000 + 20 * 3_600_000,
    lastClosedSession: () => sessions.at(-1)!,
  };
}
