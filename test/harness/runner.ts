import type { Clock } from '../../src/clock.ts';
import { hasCode } from '../../src/errors.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { type RetryOptions, withRetry } from '../../src/lake/with-retry.ts';
import type { Writer } from './bronze-rules.ts';
import type { Fault, FaultPlan } from './fault.ts';
import type { Random } from './random.ts';
import { scheduledStore } from './scheduled-store.ts';
import type { Scheduler } from './scheduler.ts';
import { withDeadlines } from './with-deadlines.ts';
import { withFaults } from './with-faults.ts';
import type { Witness } from './witness.ts';

/** What a job gets to work with. */
export interface Run {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly random: Random;
  /** Whether a fault of one of these kinds has happened to this run. */
  suffered(...kinds: readonly Fault['kind'][]): boolean;
}

/** A job being run. */
export interface Runner extends Writer {
  isSettled: boolean;
}

export interface RunnerOptions {
  readonly scheduler: Scheduler;
  readonly witness: Witness;
  readonly random: Random;
  readonly plan: FaultPlan;
  readonly pageSize?: number;
  /** How far the runner's clock is off. */
  readonly skewMs?: number;
  readonly retry?: RetryOptions | undefined;
  /** A bug to be found: between the job and its store, or between what tries again and the wire. */
  readonly bug?: ((store: ObjectStore) => ObjectStore) | undefined;
  readonly wireBug?: ((store: ObjectStore) => ObjectStore) | undefined;
  readonly report: (violation: string) => void;
}

const ENDS_AFTER_TERMINATE_MS = 90_000;

/** Starts a job on a store that is composed as that of S3 is, on a wire where things go wrong. */
export function startRunner(
  name: string,
  job: (run: Run) => Promise<void>,
  {
    scheduler,
    witness,
    random,
    plan,
    pageSize = 1000,
    skewMs = 0,
    retry = {},
    bug = (store) => store,
    wireBug = (store) => store,
    report,
  }: RunnerOptions,
): Runner {
  const runner: Runner = { name, isDead: false, isSettled: false, now: () => scheduler.now() + skewMs };
  const clock: Clock = { now: runner.now, sleep: (ms, call) => scheduler.sleep(runner, ms, call?.signal) };
  const termination = new AbortController();
  let terminatedAt = Number.POSITIVE_INFINITY;
  const faults = new Set<Fault['kind']>();
  const target = witness.as(runner);
  const guarded = refuseWrites(target, () => {
    if (termination.signal.aborted) report(`I14 ${name} writes after SIGTERM`);
  });
  const faulty = withFaults(scheduledStore(guarded, { scheduler, actor: runner, pageSize }), {
    plan,
    scheduler,
    target,
    actor: runner,
    terminate() {
      terminatedAt = scheduler.now();
      termination.abort(new Error('SIGTERM'));
    },
    onFault: ({ kind }) => faults.add(kind),
  });
  const retrying = withRetry(wireBug(faulty), { clock, random: random.next, ...retry });
  const store = bug(withDeadlines(retrying, { name, now: scheduler.now, report }));
  const { signal } = termination;
  const settle = (): void => {
    runner.isSettled = true;
    const waiting = scheduler.waiting(runner);
    if (waiting.length > 0) report(`I14 ${name} has ended and waits for ${waiting}`);
    const lateMs = scheduler.now() - terminatedAt;
    if (lateMs > ENDS_AFTER_TERMINATE_MS) report(`I14 ${name} has ended ${lateMs} ms after SIGTERM`);
  };
  const suffered: Run['suffered'] = (...kinds) => kinds.some((kind) => faults.has(kind));
  job({ store, clock, signal, random, suffered }).then(settle, (error) => {
    settle();
    const isExpected =
      (signal.aborted && error === signal.reason) ||
      hasCode(error, 'Unavailable') ||
      (hasCode(error, 'CorruptObject') && suffered('truncated', 'flipped')) ||
      (hasCode(error, 'Fenced') && witness.isFenced(runner));
    if (!isExpected) report(`${name} ended with ${error instanceof Error ? error.stack : error}`);
  });
  return runner;
}

function refuseWrites(store: ObjectStore, refuse: () => void): ObjectStore {
  return {
    ...store,
    put(key, body, call) {
      refuse();
      return store.put(key, body, call);
    },
    delete(key, call) {
      refuse();
      return store.delete(key, call);
    },
    deleteAll(deletions, call) {
      refuse();
      return store.deleteAll(deletions, call);
    },
  };
}
