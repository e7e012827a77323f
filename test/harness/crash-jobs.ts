import { consolidate } from '../../src/lake/consolidate.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { vacuum } from '../../src/lake/vacuum.ts';
import { resample } from '../../src/resample/resample.ts';
import { sessionFrom } from '../../src/session.ts';
import { barsOf } from './bar-values.ts';
import { contentEtags } from './content-etags.ts';
import { fetchDays, valueSource } from './fetch-jobs.ts';
import { HARNESS_INTERVALS, JOBS } from './jobs.ts';
import type { Run } from './runner.ts';
import { RETENTION_DAYS } from './world.ts';

/** A job that is interrupted at each of its requests, and the lake it begins with. */
export interface CrashJob {
  readonly name: string;
  /** Bars may have come in daily files or have been merged at once: both is right. */
  readonly isMerged?: boolean;
  readonly prepare: (store: ObjectStore) => Promise<unknown>;
  readonly run: (run: Pick<Run, 'store'> & Partial<Run>) => Promise<unknown>;
}

export const TODAY = sessionFrom('2024-11-04');
export const NOW = Date.parse('2024-11-04T20:00:00Z');
export const SYMBOLS = ['BRK', 'BRK.B'];
const DAY_MS = 86_400_000;
const options = { now: () => NOW, retentionDays: RETENTION_DAYS };
/** Nothing is old enough to be deleted. */
export const KEEP_ALL = { ...options, retentionDays: 100_000 };
const OLD = [TODAY - 50, TODAY - 40, TODAY - 31];
const RECENT = [TODAY - 30, TODAY - 3, TODAY - 1];

const daily = async (store: ObjectStore, sessions: readonly number[], value: number): Promise<void> => {
  for (const symbol of SYMBOLS) await JOBS.writeDaily(store, symbol, bars(sessions, value), {});
};
const bars = (sessions: readonly number[], value: number) =>
  barsOf(new Map(sessions.map((session) => [session, value])));

/** Bars old and recent, consolidated; of two sessions there is a correction, and one is new. */
async function prepareCorrections(store: ObjectStore): Promise<void> {
  await daily(store, [...OLD, ...RECENT.slice(0, 2)], 1);
  await consolidate(store, KEEP_ALL);
  await daily(store, [OLD[1]!, ...RECENT.slice(1)], 2);
}

/** As before, with silver from before the corrections. */
async function prepareSilver(store: ObjectStore): Promise<void> {
  await daily(store, [...OLD, ...RECENT.slice(0, 2)], 1);
  await consolidate(store, KEEP_ALL);
  await resample(store, { intervals: HARNESS_INTERVALS });
  await daily(store, [OLD[1]!, ...RECENT.slice(1)], 2);
}

export const CRASH_JOBS: readonly CrashJob[] = [
  {
    name: 'ingest',
    prepare: prepareCorrections,
    run: ({ store, signal }) =>
      JOBS.writeDaily(store, 'BRK', bars([OLD[0]!, OLD[1]!, RECENT[2]!, TODAY], 3), { signal }),
  },
  {
    name: 'consolidate incremental',
    prepare: prepareCorrections,
    run: ({ store, signal }) => consolidate(store, { ...KEEP_ALL, signal }),
  },
  {
    name: 'consolidate incremental with cleanup',
    prepare: prepareCorrections,
    run: ({ store, signal }) => consolidate(store, { ...options, signal }),
  },
  {
    name: 'consolidate full',
    prepare: prepareCorrections,
    run: ({ store, signal }) => consolidate(store, { ...KEEP_ALL, mode: 'full', signal }),
  },
  {
    name: 'consolidate full with cleanup',
    prepare: prepareCorrections,
    run: ({ store, signal }) => consolidate(store, { ...options, mode: 'full', signal }),
  },
  {
    name: 'bulk import',
    prepare: prepareCorrections,
    run: ({ store, signal }) =>
      JOBS.importBars(store, 'BRK', bars([OLD[1]!, OLD[2]!, TODAY], 4), { today: TODAY, signal }),
  },
  {
    name: 'vacuum',
    async prepare(store) {
      await prepareCorrections(store);
      await consolidate(store, { ...KEEP_ALL, symbols: ['BRK'] });
    },
    run: ({ store, signal }) => vacuum(store, { ...options, apply: true, signal }),
  },
  {
    name: 'resample',
    async prepare(store) {
      await prepareSilver(store);
      await consolidate(store, KEEP_ALL);
    },
    run: ({ store, signal }) => resample(store, { intervals: HARNESS_INTERVALS, signal }),
  },
  {
    name: 'resample full',
    async prepare(store) {
      await prepareSilver(store);
      await consolidate(store, KEEP_ALL);
    },
    run: ({ store, signal }) => resample(store, { intervals: [3], forceFull: true, signal }),
  },
  {
    // Two sessions are new, and the one before has another bar by now; one symbol was consolidated in between.
    name: 'fetch a day, consolidate',
    isMerged: true,
    async prepare(store) {
      await fetchDays(
        store,
        valueSource(SYMBOLS, () => 1),
        { backfillDays: 6, now: NOW - 4 * DAY_MS },
      );
      await consolidate(store, { ...KEEP_ALL, symbols: ['BRK'] });
    },
    async run({ store, signal }) {
      const source = valueSource(SYMBOLS, (session) => (session < TODAY - 5 ? 1 : 2));
      await fetchDays(store, source, { backfillDays: 6, now: NOW, signal });
      await consolidate(store, { ...KEEP_ALL, signal });
    },
  },
  {
    name: 'fetch many days',
    prepare: prepareCorrections,
    run: ({ store, signal }) =>
      fetchDays(
        store,
        valueSource(SYMBOLS, () => 4),
        { backfillDays: 8, now: NOW, signal },
      ),
  },
  {
    name: 'a day: ingest, consolidate, resample',
    prepare: prepareSilver,
    async run({ store, signal }) {
      await JOBS.writeDaily(store, 'BRK', bars([TODAY], 5), { signal });
      await consolidate(store, { ...options, signal });
      await resample(store, { intervals: HARNESS_INTERVALS, signal });
    },
  },
];

/** The objects a job begins with. */
export type Snapshot = ReadonlyMap<string, Uint8Array>;

export async function takeSnapshot(prepare: CrashJob['prepare']): Promise<Snapshot> {
  const store = contentEtags(memoryStore());
  await prepare(store);
  const objects = new Map<string, Uint8Array>();
  for await (const { key } of store.list('')) objects.set(key, (await store.get(key)).body);
  return objects;
}

/** A store with the objects of a snapshot, under the same etags. */
export async function restore(snapshot: Snapshot): Promise<ObjectStore> {
  const store = contentEtags(memoryStore());
  for (const [key, body] of snapshot) await store.put(key, body);
  return store;
}
