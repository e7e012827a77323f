import type { Bars } from '../../src/bars.ts';
import { hasCode } from '../../src/errors.ts';
import { type DailyWrites, writeDaily } from '../../src/ingest/daily-writer.ts';
import { consolidate } from '../../src/lake/consolidate.ts';
import { consolidateSymbol } from '../../src/lake/consolidate-symbol.ts';
import type { ObjectStore, StoreCall } from '../../src/lake/store.ts';
import { listSymbol } from '../../src/lake/symbol-files.ts';
import { vacuum } from '../../src/lake/vacuum.ts';
import type { FailedSymbol } from '../../src/progress.ts';
import { resample } from '../../src/resample/resample.ts';
import { sessionAt } from '../../src/session.ts';
import { barsOf } from './bar-values.ts';
import type { History } from './history.ts';
import type { Random } from './random.ts';
import type { Run } from './runner.ts';
import { RETENTION_DAYS, type World } from './world.ts';

/** The jobs under test; a planted bug replaces one of them. */
export const JOBS = {
  consolidate,
  vacuum,
  resample,
  writeDaily: (store: ObjectStore, symbol: string, bars: Bars, call: StoreCall): Promise<DailyWrites> =>
    writeDaily(store, symbol, bars, call),
  async importBars(
    store: ObjectStore,
    symbol: string,
    imported: Bars,
    { today, signal }: StoreCall & { readonly today: number },
  ): Promise<void> {
    await consolidateSymbol(store, await listSymbol(store, symbol, { signal }), { imported, today, signal });
  },
};
export type Jobs = typeof JOBS;

export interface JobContext {
  readonly jobs: Jobs;
  readonly world: World;
  readonly history: History;
  readonly random: Random;
  readonly report: (violation: string) => void;
}

export type Job = (run: Run) => Promise<void>;

/** How long a run may wait between two things it does: some grants of others. */
const MAX_PAUSE_MS = 6000;

/** Times go into the manifest: of the same hour, it is the same file more often. */
function wholeHours(ms: number): number {
  return ms - (ms % 3_600_000);
}

export function consolidator({ jobs, random, report }: JobContext): Job {
  const runs = 1 + random.below(2);
  const modes = [0, 1].map(() => (random.chance(0.75) ? 'incremental' : 'full') as 'incremental' | 'full');
  return async ({ store, clock, signal, suffered }) => {
    for (const mode of modes.slice(0, runs)) {
      await clock.sleep(random.below(MAX_PAUSE_MS), { signal });
      const { failed } = await jobs.consolidate(store, {
        mode,
        signal,
        retentionDays: RETENTION_DAYS,
        now: () => wholeHours(clock.now()),
      });
      checkFailed('consolidate', failed, suffered('truncated', 'flipped'), report);
    }
  };
}

export function vacuumer({ jobs, random, report }: JobContext): Job {
  return async ({ store, clock, signal, suffered }) => {
    await clock.sleep(random.below(MAX_PAUSE_MS), { signal });
    const { failed } = await jobs.vacuum(store, {
      apply: true,
      signal,
      retentionDays: RETENTION_DAYS,
      now: () => wholeHours(clock.now()),
    });
    checkFailed('vacuum', failed, suffered('truncated', 'flipped'), report);
  };
}

/** Writes bars that nobody has written before, and now and then again what may not have arrived. */
export function ingester({ jobs, world, history, random, report }: JobContext): Job {
  const calls = 1 + random.below(4);
  return async ({ store, clock, signal, suffered }) => {
    for (let i = 0; i < calls; i++) {
      if (random.chance(0.7)) await clock.sleep(random.below(MAX_PAUSE_MS), { signal });
      const symbol = random.pick(world.symbols);
      const sessions = random.some(world.sessions, random.chance(0.7) ? 1 : 3);
      const values = new Map(sessions.map((session) => [session, world.newValue(symbol, session)]));
      const writes = [...values].map(([session, value]) => history.begin(symbol, session, value));
      for (let attempt = 1; ; attempt++) {
        try {
          const { unchanged } = await jobs.writeDaily(store, symbol, barsOf(values), { signal });
          if (unchanged > 0 && attempt === 1 && !suffered('delayed', 'duplicated')) {
            report(`${symbol} ${sessions}: new bars are told to be unchanged`);
          }
          writes.forEach(history.acknowledge);
          break;
        } catch (error) {
          if (!hasCode(error, 'Unavailable')) throw error;
          if (attempt === 2 || random.chance(0.5)) break;
          if (suffered('delayed')) for (const write of writes) write.mayComeLate = true;
        }
      }
    }
  };
}

export function importer({ jobs, world, history, random }: JobContext): Job {
  const calls = 1 + random.below(2);
  return async ({ store, clock, signal }) => {
    for (let i = 0; i < calls; i++) {
      await clock.sleep(random.below(MAX_PAUSE_MS), { signal });
      const symbol = random.pick(world.symbols);
      const values = new Map(
        random.some(world.sessions, 3).map((session) => [session, world.newValue(symbol, session)]),
      );
      const writes = [...values].map(([session, value]) => history.begin(symbol, session, value));
      try {
        await jobs.importBars(store, symbol, barsOf(values), { today: sessionAt(clock.now()), signal });
        writes.forEach(history.acknowledge);
      } catch (error) {
        if (!hasCode(error, 'Unavailable')) throw error;
      }
    }
  };
}

export const HARNESS_INTERVALS = [2, 3];

export function resampler({ jobs, random, report }: JobContext): Job {
  const forceFull = random.chance(0.2);
  return async ({ store, clock, signal, suffered }) => {
    await clock.sleep(random.below(MAX_PAUSE_MS), { signal });
    const { failed } = await jobs.resample(store, { intervals: HARNESS_INTERVALS, forceFull, signal });
    checkFailed('resample', failed, suffered('truncated', 'flipped'), report);
  };
}

function checkFailed(
  job: string,
  failed: readonly FailedSymbol[],
  mayBeDamaged: boolean,
  report: (violation: string) => void,
): void {
  for (const { symbol, code, message } of failed) {
    if (code === 'Unavailable' || (code === 'CorruptObject' && mayBeDamaged)) continue;
    report(`${job}: ${symbol} failed with ${code}: ${message}`);
  }
}
