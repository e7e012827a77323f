import { expect, test } from 'vitest';
import { barSink } from '../../src/database/bar-sink.ts';
import { bindLake } from '../../src/database/bind-lake.ts';
import type { Database } from '../../src/database/connection.ts';
import { databaseWatermarks } from '../../src/database/database-watermarks.ts';
import { reconcile } from '../../src/database/reconcile.ts';
import type { IngestOhlcvOptions } from '../../src/ingest/index.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { copyStore, findPromises, lakeBars, marketBars } from '../support/lake-bars.ts';
import { correctedMarket, type ReplayRow, syntheticReplayMarket } from '../support/market/replay-market.ts';
import { startProxy } from '../support/postgres/proxy.ts';
import { afterClose, openMarket, sessionsOf } from '../support/replay-api.ts';
import { createLakeWorld, type LakeWorld, marksAhead, storedBars } from './lake-world.ts';
import { openUntilFinished } from './open-database.ts';

const SESSIONS = sessionsOf('2026-03-09', '2026-03-13');
const NOW = afterClose(SESSIONS.at(-1)!);
const BEFORE = syntheticReplayMarket({ symbols: 2, sessions: SESSIONS });
/** A bar of the session before the last is another one by now. */
const CORRECTION = {
  session: SESSIONS.at(-2)!,
  rows: BEFORE.rowsOf(SESSIONS.at(-2)!)
    .slice(-1)
    .map((row): ReplayRow => ({ ...row, v: row.v + 0.125, c: row.l })),
};
const AFTER = correctedMarket(BEFORE, [CORRECTION]);
const symbols = Object.keys(marketBars(BEFORE));
const DATABASE_IS_DEAD = /nothing is done after death|died at step/;

interface Job {
  /** What both have before. */
  readonly prepare: IngestOhlcvOptions | undefined;
  readonly run: IngestOhlcvOptions;
}

const JOBS: Readonly<Record<string, Job>> = {
  'daily: a new session and corrections': {
    prepare: { from: SESSIONS.at(-2)!, now: () => afterClose(SESSIONS.at(-2)!) },
    run: { from: SESSIONS.at(-2)! },
  },
  'bulk: five sessions': { prepare: undefined, run: {} },
  'chosen symbols': { prepare: undefined, run: { symbols } },
};

function into(database: Database): Pick<IngestOhlcvOptions, 'sink' | 'watermarks'> {
  return { sink: barSink(database, { now: () => NOW }), watermarks: databaseWatermarks(database) };
}

const catchUp = ({ store, database }: Pick<LakeWorld, 'store' | 'database'>) =>
  reconcile(store, database, { now: () => NOW });

/** The process dies at its nth step, a write of the lake or a transaction: before it, or when it is done. */
function dyingAt(at: number, death: 'before' | 'after', world: Pick<LakeWorld, 'store' | 'database'>) {
  let steps = 0;
  let isDead = false;
  const alive = () => {
    if (isDead) throw new Error('nothing is done after death');
  };
  const step = async <T>(work: () => Promise<T>): Promise<T> => {
    alive();
    if (++steps !== at) return work();
    isDead = true;
    if (death === 'after') await work();
    throw new Error(`died at step ${at}`);
  };
  const { store: lake, database: base } = world;
  const read = async <T>(work: () => Promise<T>): Promise<T> => {
    alive();
    return work();
  };
  const store: ObjectStore = {
    get: (key, call) => read(() => lake.get(key, call)),
    getRange: (key, call) => read(() => lake.getRange(key, call)),
    head: (key, call) => read(() => lake.head(key, call)),
    list(prefix, call) {
      alive();
      return lake.list(prefix, call);
    },
    put: (key, body, call) => step(() => lake.put(key, body, call)),
    putStream: (key, chunks, call) => step(() => lake.putStream(key, chunks, call)),
    delete: (key, call) => step(() => lake.delete(key, call)),
    deleteAll: (deletions, call) => step(() => lake.deleteAll(deletions, call)),
  };
  const database: Database = {
    ...base,
    transaction: (work, call) => step(() => base.transaction(work, call)),
  };
  return { store, database, steps: () => steps, isDead: () => isDead };
}

/** Keeps what the database has, to be put back as often as is wanted. */
async function keepState({ query }: LakeWorld): Promise<() => Promise<unknown>> {
  await query('CREATE TABLE kept_bars AS TABLE raw_ohlcv; CREATE TABLE kept_marks AS TABLE watermarks');
  return () =>
    query(`TRUNCATE raw_ohlcv, watermarks; INSERT INTO raw_ohlcv TABLE kept_bars;
      INSERT INTO watermarks TABLE kept_marks`);
}

test.each(Object.entries(JOBS))(
  'killed at any write of lake or database it promises nothing that bronze has not, and the next run makes both the same: %s',
  async (_, { prepare, run }) => {
    const world = await createLakeWorld();
    const base = world.store;
    // Copies of a lake are the same lake to the database.
    await bindLake(base, world.database);
    if (prepare) await (await openMarket(BEFORE)).fetch(base, { ...prepare, ...into(world.database) });
    const putBack = await keepState(world);
    const { fetch } = await openMarket(AFTER);
    const truth = marketBars(AFTER, run.from === undefined ? {} : { from: run.from });

    const clean = { ...world, store: await copyStore(base, memoryStore()) };
    const counted = dyingAt(Number.POSITIVE_INFINITY, 'before', clean);
    expect(await fetch(counted.store, { ...run, ...into(counted.database) })).toMatchObject({ databaseFailures: [] });
    expect(await lakeBars(clean.store)).toEqual(truth);
    expect(await storedBars(world)).toEqual(truth);
    const marks = await databaseWatermarks(world.database).read();
    expect(counted.steps()).toBeGreaterThan(7);

    for (let at = 1; at <= counted.steps(); at++) {
      // After one step and before the next one is the same, but where steps are taken at the same time.
      const death = at % 2 === 0 ? 'before' : 'after';
      const place = `${death} step ${at} of ${counted.steps()}`;
      await putBack();
      const now = { ...world, store: await copyStore(base, memoryStore()) };
      const dying = dyingAt(at, death, now);
      const outcome = await fetch(dying.store, { ...run, ...into(dying.database) }).catch((error: Error) => error);
      expect(dying.isDead(), place).toBe(true);
      // At the last steps there is nothing left to do but for the database.
      const failures = outcome instanceof Error ? [outcome] : outcome.databaseFailures;
      expect(failures.map(({ message }) => message).join(), place).toMatch(DATABASE_IS_DEAD);
      expect(await findPromises(now.store, AFTER), place).toEqual([]);
      expect(await marksAhead(now, AFTER), place).toEqual([]);

      const next = await fetch(now.store, { ...run, ...into(world.database) });
      expect(next, place).toMatchObject({ missing: [], databaseFailures: [] });
      expect(await catchUp(now), place).toMatchObject({ extra: 0, contested: 0, failed: [] });
      expect(await lakeBars(now.store), place).toEqual(truth);
      expect(await storedBars(world), place).toEqual(truth);
      expect(await databaseWatermarks(world.database).read(), place).toEqual(marks);
      expect(await marksAhead(now, AFTER), place).toEqual([]);
    }
  },
);

test('stopped before or after any write to the database, the next run makes both the same', async () => {
  const world = await createLakeWorld();
  const { fetch } = await openMarket(AFTER);
  await bindLake(world.store, world.database);
  for (let at = 1; at <= SESSIONS.length; at++) {
    for (const when of ['before', 'after']) {
      await world.query('TRUNCATE raw_ohlcv, watermarks');
      const now = { ...world, store: await copyStore(world.store, memoryStore()) };
      const controller = new AbortController();
      const { sink, watermarks } = into(world.database);
      let writes = 0;
      const stopping: IngestOhlcvOptions['sink'] = {
        async upsertBars(rows, call) {
          const isTime = ++writes === at;
          if (isTime && when === 'before') controller.abort(new Error('stopped'));
          await sink!.upsertBars(rows, call);
          if (isTime) controller.abort(new Error('stopped'));
        },
      };
      const call = { sink: stopping, watermarks, signal: controller.signal };
      await expect(fetch(now.store, call), `${when} ${at}`).rejects.toThrow('stopped');
      expect(await marksAhead(now), `${when} ${at}`).toEqual([]);
      await fetch(now.store, into(world.database));
      await catchUp(now);
      expect(await lakeBars(now.store), `${when} ${at}`).toEqual(marketBars(AFTER));
      expect(await storedBars(world), `${when} ${at}`).toEqual(marketBars(AFTER));
    }
  }
});

test('a backend that is killed at any statement of a fetch, or a connection lost at any message, costs no bar and is no failure', async () => {
  const { prepare, run } = JOBS['daily: a new session and corrections']!;
  const world = await createLakeWorld();
  const proxy = await startProxy(world.url);
  const database = openUntilFinished(proxy.url);
  await (await openMarket(BEFORE)).fetch(world.store, { ...prepare, ...into(world.database) });
  const putBack = await keepState(world);
  const { fetch } = await openMarket(AFTER);
  const truth = marketBars(AFTER, { from: run.from! });

  const runOnce = async () => {
    await putBack();
    const now = { ...world, store: await copyStore(world.store, memoryStore()) };
    const { databaseFailures } = await fetch(now.store, { ...run, ...into(database) });
    return { databaseFailures, ahead: await marksAhead(now), bars: await storedBars(world) };
  };
  // The second time it has the connection of the first, as those after a fault have not: theirs are the later messages.
  for (let i = 0; i < 2; i++) {
    proxy.disarm();
    proxy.killAt(Number.POSITIVE_INFINITY);
    expect(await runOnce()).toEqual({ databaseFailures: [], ahead: [], bars: truth });
  }
  const [statements, messages] = [proxy.statements().length, proxy.messages().length];
  expect(statements).toBeGreaterThan(20);
  const faults = [
    ...Array.from({ length: statements }, (_, i) => ({ kind: 'kill', at: i + 1 }) as const),
    ...Array.from({ length: messages }, (_, i) => ({ kind: 'cut', at: i + 1, when: 'after' }) as const).filter(
      ({ at }) => at % 4 === 0,
    ),
  ];
  for (const fault of faults) {
    const count = proxy.arm(fault);
    expect([fault, await runOnce(), count.hits]).toEqual([fault, { databaseFailures: [], ahead: [], bars: truth }, 1]);
  }
});
