import { setImmediate } from 'node:timers/promises';
import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import type { Calendar } from '../../src/calendar.ts';
import { archiveBars } from '../../src/database/archive-bars.ts';
import { barSink } from '../../src/database/bar-sink.ts';
import { databaseWatermarks } from '../../src/database/database-watermarks.ts';
import { reconcile } from '../../src/database/reconcile.ts';
import { upsertBars } from '../../src/database/upsert-bars.ts';
import { hasCode } from '../../src/errors.ts';
import type { DatabaseFailure } from '../../src/ingest/ohlcv/fetch-call.ts';
import { ingestSessions } from '../../src/ingest/ohlcv/ingest-sessions.ts';
import { createMissingLog } from '../../src/ingest/ohlcv/missing-bars.ts';
import { consolidate } from '../../src/lake/consolidate.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { formatSession, monthOf, sessionFrom } from '../../src/session.ts';
import { barsOf } from '../harness/bar-values.ts';
import { valueSource } from '../harness/fetch-jobs.ts';
import { type Random, seededRandom } from '../harness/random.ts';
import { IS_SOAK } from '../harness/seeds.ts';
import { findPromises, lakeBars } from '../support/lake-bars.ts';
import { barsSince, barsWhere, createLakeWorld, type LakeWorld, marksAhead, storedBars } from './lake-world.ts';

const NOW = Date.parse('2025-11-19T22:00:00Z');
/** The first day that is kept: retention archives what is before it. */
const CUTOFF = '2022-10-01';
const SYMBOLS = ['BRK', 'BRK.B', 'aapl'];
const OLD = ['2022-08-30', '2022-08-31', '2022-09-01', '2022-09-30'];
const DATES = [...OLD, '2022-10-03', '2025-10-31', '2025-11-17', '2025-11-18', '2025-11-19'];
const SESSIONS = DATES.map(sessionFrom);
const CALENDAR: Calendar = {
  isSession: (day) => SESSIONS.includes(day),
  sessionsBetween: (from, to) => SESSIONS.filter((session) => from <= session && session <= to),
  closeOf: (session) => session * 86_400_000 + 20 * 3_600_000,
  lastClosedSession: () => SESSIONS.at(-1)!,
};
const ROUNDS = 3;

interface Storm extends LakeWorld {
  readonly random: Random;
  /** What the source says of a session by now. */
  readonly truth: Map<number, number>;
  /** All that it has ever said: dates and values. */
  readonly said: Set<string>;
  readonly violations: string[];
}

/** Lets others go on, for as long as chance has it. */
async function pause(random: Random, most: number): Promise<void> {
  for (let n = random.below(most); n > 0; n--) await setImmediate();
}

/** A store each call of which takes a while. */
function unhurried(store: ObjectStore, random: Random): ObjectStore {
  const after = async <T>(work: () => Promise<T>): Promise<T> => {
    await pause(random, 12);
    const result = await work();
    await pause(random, 12);
    return result;
  };
  return {
    get: (key, call) => after(() => store.get(key, call)),
    getRange: (key, call) => after(() => store.getRange(key, call)),
    head: (key, call) => after(() => store.head(key, call)),
    put: (key, body, call) => after(() => store.put(key, body, call)),
    putStream: (key, chunks, call) => after(() => store.putStream(key, chunks, call)),
    delete: (key, call) => after(() => store.delete(key, call)),
    deleteAll: (deletions, call) => after(() => store.deleteAll(deletions, call)),
    async *list(prefix, call) {
      for await (const info of store.list(prefix, call)) {
        await pause(random, 4);
        yield info;
      }
    },
  };
}

async function fetchAll({ store, database, truth }: Storm) {
  const missing = createMissingLog();
  const databaseFailures: DatabaseFailure[] = [];
  // A minute goes by from look to look: a database that did not answer is asked again.
  let looks = 0;
  const { stored } = await ingestSessions(
    store,
    valueSource(SYMBOLS, (session) => truth.get(session)!),
    {
      calendar: CALENDAR,
      watermarks: databaseWatermarks(database),
      sink: barSink(database, { now: () => NOW + 60_000 * looks++ }),
      missing,
      databaseFailures,
      from: SESSIONS[0]!,
      force: true,
      now: () => NOW,
    },
  );
  return { stored, missing: missing.first, databaseFailures };
}

/** A lake and a database that have the same bars, also of months that retention is to archive. */
async function startStorm(seed: number): Promise<Storm> {
  const world = await createLakeWorld();
  const truth = new Map(SESSIONS.map((session) => [session, 1]));
  const said = new Set(DATES.map((date) => `${date} 1`));
  const storm = { ...world, truth, said, random: seededRandom(seed), violations: [] };
  const bars = barsOf(truth);
  for (const symbol of SYMBOLS) {
    const symbols = SESSIONS.map(() => symbol);
    await upsertBars(world.database, { symbols, bars }, { keepFrom: monthOf(SESSIONS[0]!) });
  }
  await fetchAll(storm);
  expect(await storedBars(world)).toEqual(await lakeBars(world.store));
  return storm;
}

/** What may come of work that others are in the way of, or whose connection is lost. */
async function orBusy<T>({ violations }: Storm, name: string, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!hasCode(error, 'Conflict', 'Unavailable')) violations.push(`${name}: ${error}`);
    return undefined;
  }
}

const ACTORS: Readonly<Record<string, (storm: Storm) => Promise<void>>> = {
  fetcher: fetchRounds,
  'another fetcher': fetchRounds,
  async consolidator({ random, store, violations }) {
    for (let round = 0; round < ROUNDS; round++) {
      await pause(random, 600);
      const { failed } = await consolidate(store, { retentionDays: random.pick([0, 30, 100_000]), now: () => NOW });
      for (const { code, message } of failed) if (code !== 'Conflict') violations.push(`consolidate: ${message}`);
    }
  },
  async reconciler(storm) {
    const { random, store, database, violations } = storm;
    for (let round = 0; round < ROUNDS; round++) {
      await pause(random, 600);
      const options = { archive: random.pick([false, true]), now: () => NOW };
      const result = await orBusy(storm, 'reconcile', () => reconcile(store, database, options));
      if (result && (result.extra > 0 || result.failed.length > 0)) violations.push(`reconcile: ${inspect(result)}`);
    }
  },
  async retention(storm) {
    const { random, database, violations } = storm;
    await pause(random, 2000);
    const result = await orBusy(storm, 'retention', () => archiveBars(database, { apply: true, now: () => NOW }));
    for (const { code, message } of result?.failed ?? []) {
      if (!['Conflict', 'Unavailable'].includes(code)) violations.push(`retention: ${message}`);
    }
  },
  async 'somebody who ends connections'({ random, query }) {
    for (let times = random.below(3); times > 0; times--) {
      await pause(random, 1000);
      await query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'batch-layer' AND state <> 'idle' ORDER BY pid LIMIT 1`);
    }
  },
  async 'somebody who looks'({ random, query, violations }) {
    for (let round = 0; round < 2 * ROUNDS; round++) {
      await pause(random, 400);
      const [seen] = await query<{ bars: number; both: number }>(BARS_SEEN);
      if (seen!.both > 0) violations.push(`I11 ${seen!.both} bars are in both tables`);
      if (seen!.bars !== SYMBOLS.length * SESSIONS.length) violations.push(`I3 there are ${seen!.bars} bars`);
    }
  },
};

const BARS_SEEN = `SELECT count(*)::int AS bars, count(*)::int - count(DISTINCT (symbol, date))::int AS both
  FROM (SELECT symbol, date FROM raw_ohlcv UNION ALL SELECT symbol, date FROM raw_ohlcv_archive) AS b`;

async function fetchRounds(storm: Storm): Promise<void> {
  const { random, truth, said, violations } = storm;
  for (let round = 0; round < ROUNDS; round++) {
    await pause(random, 300);
    for (const session of random.some(SESSIONS, 4)) {
      truth.set(session, truth.get(session)! + 1);
      said.add(`${formatSession(session)} ${truth.get(session)}`);
    }
    const { missing } = await fetchAll(storm);
    for (const { code, message } of missing) if (code !== 'Conflict') violations.push(`fetch: ${code}: ${message}`);
    for (const mark of (await orBusy(storm, 'watermarks', () => marksAhead(storm))) ?? [])
      violations.push(`I7 ${mark}`);
  }
}

/** When all is quiet: what has to be so after one more run of each. */
async function expectQuiet(storm: Storm): Promise<void> {
  const { store, database, truth, query } = storm;
  expect(await fetchAll(storm)).toMatchObject({ missing: [], databaseFailures: [] });
  await consolidate(store, { retentionDays: 0, now: () => NOW });
  const run = () => reconcile(store, database, { archive: true, now: () => NOW });
  expect(await run()).toMatchObject({ extra: 0, contested: 0, failed: [] });
  expect(await run()).toMatchObject({ differing: 0, written: 0, extra: 0, contested: 0 });

  const bronze = await lakeBars(store);
  const values = new Map([...truth].map(([session, value]) => [formatSession(session), value]));
  expect(Object.keys(bronze).sort()).toEqual(SYMBOLS);
  for (const rows of Object.values(bronze)) expect(new Map(rows.map((row) => [row[0], row[3]]))).toEqual(values);
  expect([await findPromises(store), await marksAhead(storm)]).toEqual([[], []]);

  const months = await query<{ month: string }>(
    `SELECT to_char(month, 'YYYY-MM') AS month FROM ohlcv_months WHERE archived_at IS NOT NULL ORDER BY month`,
  );
  const isArchived = (date: string) => months.some(({ month }) => date.startsWith(month));
  expect(await storedBars(storm)).toEqual(barsWhere(bronze, (date) => !isArchived(date)));
  expect(await storedBars(storm, 'raw_ohlcv_archive')).toEqual(barsWhere(bronze, isArchived));
  const audit = await query(`SELECT to_char(month, 'YYYY-MM') AS month, rows::int FROM data_retention_log
    WHERE status = 'archived' ORDER BY month`);
  expect(audit).toEqual(
    months.map(({ month }) => {
      return { month, rows: SYMBOLS.length * OLD.filter((date) => date.startsWith(month)).length };
    }),
  );

  expect(await archiveBars(database, { apply: true, now: () => NOW })).toMatchObject({ failed: [] });
  expect(await storedBars(storm)).toEqual(barsSince(bronze, CUTOFF));
  expect(await storedBars(storm, 'raw_ohlcv_archive')).toEqual(barsWhere(bronze, (date) => date < CUTOFF));
  expect(await run()).toMatchObject({ differing: 0, written: 0, extra: 0, contested: 0 });
}

test.each(Array.from({ length: IS_SOAK ? 300 : 4 }, (_, i) => i + 1))(
  'fetchers, consolidator, reconciler and retention at the same time lose nothing: database and bronze are the same in the end (seed %i)',
  async (seed) => {
    const storm = await startStorm(seed);
    const lake = unhurried(storm.store, storm.random);
    await Promise.all(Object.values(ACTORS).map((act) => act({ ...storm, store: lake })));
    expect(storm.violations).toEqual([]);
    await expectQuiet(storm);
  },
);
