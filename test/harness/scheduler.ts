import type { Random } from './random.ts';

/** Whoever asks the store for something: a run of a job. */
export interface Actor {
  readonly name: string;
  /** Its process is gone: nothing it asks for happens any more. */
  isDead: boolean;
}

/** Grants one step at a time, and keeps the time that nobody waits for. */
export interface Scheduler {
  /** Virtual milliseconds since 1970-01-01. */
  now(): number;
  /** Does `work` when its turn comes; rejects with the signal's reason where it is aborted before. */
  step<T>(actor: Actor, what: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T>;
  sleep(actor: Actor, ms: number, signal?: AbortSignal): Promise<void>;
  /** Waits for the signal, and for nothing else. */
  hang(actor: Actor, what: string, signal?: AbortSignal): Promise<never>;
  /** Has `work` done some grants later, whatever has become of its actor. */
  later(grants: number, actor: Actor, what: string, work: () => Promise<unknown>): void;
  kill(actor: Actor): void;
  /** Steps and sleeps an actor waits for. */
  waiting(actor: Actor): readonly string[];
  /** Grants steps until `isDone` and nothing is left to land, or something is wrong. */
  run(isDone: () => boolean): Promise<void>;
  /** Adds to the trace. */
  note(line: string): void;
  /** What happened, in order. */
  readonly trace: readonly string[];
}

export interface SchedulerOptions {
  readonly random: Random;
  readonly now: number;
  /** How often an actor goes on that went last. */
  readonly stickiness?: number;
  /** Steps are granted in the order they were asked for. */
  readonly inOrder?: boolean;
  /** Looked at between grants; stops the run. */
  readonly isWrong?: () => boolean;
  /** Told when nothing can happen any more though the run is not done, and when it does not come to an end. */
  readonly onStuck: (why: string) => void;
}

interface Step {
  readonly actor: Actor;
  readonly what: string;
  readonly signal: AbortSignal | undefined;
  readonly work: (() => Promise<unknown>) | undefined;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

interface Sleeper {
  readonly actor: Actor;
  readonly until: number;
  readonly wake: () => void;
}

interface Landing {
  readonly from: number;
  readonly actor: Actor;
  readonly what: string;
  readonly work: () => Promise<unknown>;
}

/** What is in the names of cleanup manifests. */
const RANDOM_NAME = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;
const GRANT_MS = 200;
const MAX_TURNS = 20_000;
const LANDS_WHILE_ALL_SLEEP = 0.3;

/** A scheduler whose every choice is by `random`. Time passes a little with each grant, and leaps when all wait for it. */
export function createScheduler({
  random,
  now: start,
  stickiness = 0,
  inOrder = false,
  isWrong = () => false,
  onStuck,
}: SchedulerOptions): Scheduler {
  let [now, grants] = [start, 0];
  let steps: Step[] = [];
  let sleepers: Sleeper[] = [];
  const landings: Landing[] = [];
  const trace: string[] = [];
  let last: Actor | undefined;

  const note = (line: string): void => {
    trace.push(line.replace(RANDOM_NAME, '…'));
  };
  const choose = (): number => {
    const ready = steps.flatMap(({ work }, i) => (work ? [i] : []));
    if (ready.length <= 1 || inOrder) return ready[0] ?? -1;
    const same = random.chance(stickiness) ? ready.filter((i) => steps[i]!.actor === last) : [];
    return random.pick(same.length > 0 ? same : ready);
  };
  const grant = async (actor: Actor, what: string, work: () => Promise<unknown>): Promise<void> => {
    grants++;
    now += random.below(GRANT_MS);
    last = actor;
    const line = `${actor.name} ${what}`;
    try {
      note(`${line} → ${versionOf(await work())}`);
    } catch (error) {
      note(`${line} → ${codeOf(error)}`);
      throw error;
    }
  };
  const grantStep = (i: number): void => {
    const [{ actor, what, work, resolve, reject }] = steps.splice(i, 1) as [Step];
    let result: unknown;
    const keep = async () => {
      result = await work!();
      return result;
    };
    grant(actor, what, keep).then(() => resolve(result), reject);
  };
  const land = (i: number): void => {
    const [{ actor, what, work }] = landings.splice(i, 1) as [Landing];
    // Nobody waits for its answer.
    grant(actor, what, work).catch(() => undefined);
  };
  /** @returns whether there were any, so that what they do is waited for */
  const wakeDue = (): boolean => {
    if (sleepers.every(({ until }) => until > now)) return false;
    const due = sleepers.filter(({ until }) => until <= now).sort((a, b) => a.until - b.until);
    sleepers = sleepers.filter(({ until }) => until > now);
    for (const { wake } of due) wake();
    return true;
  };
  const rejectAborted = (): boolean => {
    if (!steps.some(({ signal }) => signal?.aborted)) return false;
    const aborted = steps.filter(({ signal }) => signal?.aborted);
    steps = steps.filter(({ signal }) => !signal?.aborted);
    for (const { signal, reject } of aborted) reject(signal!.reason);
    return true;
  };
  /** @returns whether anything happened */
  const turn = (): boolean => {
    const due = landings.findIndex(({ from }) => from <= grants);
    if (due >= 0 && random.chance(0.5)) {
      land(due);
      return true;
    }
    const i = choose();
    if (i >= 0) {
      grantStep(i);
      return true;
    }
    if (landings.length > 0 && (sleepers.length === 0 || random.chance(LANDS_WHILE_ALL_SLEEP))) {
      land(random.below(landings.length));
      return true;
    }
    if (sleepers.length === 0) return false;
    now = Math.max(now, Math.min(...sleepers.map(({ until }) => until)));
    return true;
  };

  return {
    trace,
    note,
    now: () => now,
    step<T>(actor: Actor, what: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
      if (actor.isDead) return never();
      if (signal?.aborted) return Promise.reject(signal.reason);
      return new Promise<T>((resolve, reject) => {
        steps.push({ actor, what, work, signal, resolve: resolve as Step['resolve'], reject });
      });
    },
    hang(actor, what, signal) {
      if (actor.isDead) return never();
      if (signal?.aborted) return Promise.reject(signal.reason);
      return new Promise((resolve, reject) => {
        steps.push({
          actor,
          what: `${what} hangs`,
          work: undefined,
          signal,
          resolve: resolve as Step['resolve'],
          reject,
        });
      });
    },
    sleep(actor, ms, signal) {
      if (actor.isDead) return never();
      if (signal?.aborted) return Promise.reject(signal.reason);
      return new Promise((resolve, reject) => {
        const stop = (): void => {
          sleepers = sleepers.filter((other) => other !== sleeper);
          reject(signal!.reason);
        };
        const wake = (): void => {
          signal?.removeEventListener('abort', stop);
          resolve();
        };
        const sleeper: Sleeper = { actor, until: now + Math.ceil(ms), wake };
        sleepers.push(sleeper);
        signal?.addEventListener('abort', stop, { once: true });
      });
    },
    later(after, actor, what, work) {
      landings.push({ from: grants + after, actor, what: `${what} lands late`, work });
    },
    kill(actor) {
      actor.isDead = true;
      note(`${actor.name} dies`);
      steps = steps.filter((step) => step.actor !== actor);
      sleepers = sleepers.filter((sleeper) => sleeper.actor !== actor);
    },
    waiting: (actor) => [
      ...steps.filter((step) => step.actor === actor).map(({ what }) => what),
      ...sleepers.filter((sleeper) => sleeper.actor === actor).map(({ until }) => `sleep until ${until}`),
    ],
    async run(isDone) {
      for (let turns = 0; !isWrong(); turns++) {
        // Promises settle before a new turn of the event loop: from here on everybody waits for the scheduler.
        await new Promise(setImmediate);
        if (isDone() && landings.length === 0) return;
        if (turns > MAX_TURNS) return onStuck(`no end after ${MAX_TURNS} turns`);
        if (rejectAborted() || wakeDue()) continue;
        if (!turn()) return onStuck('all wait, and nothing is left to happen');
      }
    },
  };
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}

function versionOf(result: unknown): string {
  if (typeof result === 'object' && result !== null && 'etag' in result) return String(result.etag);
  return typeof result === 'string' ? result : 'done';
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
