import { createServer, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Clock, systemClock } from '../../src/clock.ts';
import { barSink } from '../../src/database/bar-sink.ts';
import { type Database, openDatabase } from '../../src/database/connection.ts';
import { databaseWatermarks } from '../../src/database/database-watermarks.ts';
import { reconcile } from '../../src/database/reconcile.ts';
import type { IngestOhlcvOptions } from '../../src/ingest/index.ts';
import {
  type BarSink,
  type DatabaseFailure,
  withFailuresTold,
  writeToSink,
} from '../../src/ingest/ohlcv/fetch-call.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { lakeWatermarks } from '../../src/lake/watermarks.ts';
import { formatSession } from '../../src/session.ts';
import { findPromises, lakeBars, marketBars } from '../support/lake-bars.ts';
import { correctedMarket, type ReplayRow, syntheticReplayMarket } from '../support/market/replay-market.ts';
import { withClient } from '../support/postgres/client.ts';
import { startProxy } from '../support/postgres/proxy.ts';
import { afterClose, openMarket, sessionsOf } from '../support/replay-api.ts';
import { barsAt, barsSince, createLakeWorld, type LakeWorld, marksAhead, storedBars } from './lake-world.ts';
import { openTestDatabase, openUntilFinished, versionsOf } from './open-database.ts';

const SESSIONS = sessionsOf('2026-03-04', '2026-03-13');
const DATES = SESSIONS.map(formatSession);
const MARKET = syntheticReplayMarket({ symbols: 12, sessions: SESSIONS, halted: 0.05 });
const NOW = afterClose(SESSIONS.at(-1)!);
const MINUTE_MS = 60_000;
const WAYS = [
  ['daily', SESSIONS.at(-3)!],
  ['bulk', SESSIONS[0]!],
] as const;

/** What makes a fetch write to a database too. */
function into(database: Database, now: () => number = () => NOW): Pick<IngestOhlcvOptions, 'sink' | 'watermarks'> {
  return { sink: barSink(database, { now }), watermarks: databaseWatermarks(database) };
}

const catchUp = (world: Pick<LakeWorld, 'store' | 'database'>) =>
  reconcile(world.store, world.database, { now: () => NOW });

async function expectSame(world: LakeWorld): Promise<void> {
  expect(await storedBars(world)).toEqual(await lakeBars(world.store));
}

/** A database whose transactions are counted. */
function countTransactions(database: Database): Database & { readonly transactions: () => number } {
  let transactions = 0;
  return {
    ...database,
    transaction(work, call) {
      transactions++;
      return database.transaction(work, call);
    },
    transactions: () => transactions,
  };
}

/** Another volume and close for the last two rows of a session. */
function corrected(session: number) {
  const changed = MARKET.rowsOf(session).slice(-2);
  return { session, rows: changed.map((row): ReplayRow => ({ ...row, v: row.v + 0.125, c: row.l })) };
}

describe('a fetch with a database', () => {
  test.each(WAYS)('brings the same bars to both, and watermarks that tell of no others (%s)', async (_, from) => {
    const world = await createLakeWorld();
    const { fetch } = await openMarket(MARKET);
    const result = await fetch(world.store, { from, ...into(world.database) });
    expect(result).toMatchObject({ missing: [], databaseFailures: [] });
    expect(await storedBars(world)).toEqual(marketBars(MARKET, { from }));
    await expectSame(world);
    const without = memoryStore();
    await fetch(without, { from });
    expect(await databaseWatermarks(world.database).read()).toEqual(await lakeWatermarks(without).read());
    expect(await lakeWatermarks(world.store).read()).toEqual(new Map());
    expect(await marksAhead(world)).toEqual([]);
    const before = await versionsOf(world, 'raw_ohlcv');
    expect(await catchUp(world)).toMatchObject({ differing: 0, written: 0, extra: 0, contested: 0 });
    expect(await versionsOf(world, 'raw_ohlcv')).toEqual(before);
  });

  test('run again without news touches no row', async () => {
    const world = await createLakeWorld();
    const { fetch } = await openMarket(MARKET);
    await fetch(world.store, into(world.database));
    const before = [await versionsOf(world, 'raw_ohlcv'), await versionsOf(world, 'watermarks')];
    expect(await fetch(world.store, into(world.database))).toMatchObject({ stored: 0, databaseFailures: [] });
    expect([await versionsOf(world, 'raw_ohlcv'), await versionsOf(world, 'watermarks')]).toEqual(before);
  });

  test('brings late corrections of the last three sessions, and touches no other row', async () => {
    const world = await createLakeWorld();
    const { fetch, server } = await openMarket(MARKET);
    await fetch(world.store, into(world.database));
    const corrections = SESSIONS.slice(-3).map(corrected);
    const others = `(SELECT ctid, xmin, xmax, r::text FROM raw_ohlcv AS r WHERE date < '${DATES.at(-3)}')`;
    const before = await versionsOf(world, others);
    server.set({ corrections: corrections.map((one) => ({ ...one, fromCall: 1 })) });
    const result = await fetch(world.store, into(world.database));
    expect(result).toMatchObject({ stored: 6, databaseFailures: [] });
    expect(await storedBars(world)).toEqual(marketBars(correctedMarket(MARKET, corrections)));
    await expectSame(world);
    expect(await versionsOf(world, others)).toEqual(before);
  });

  test('corrections that came while there was no database are brought by comparing', async () => {
    const world = await createLakeWorld();
    const { fetch, server } = await openMarket(MARKET);
    await fetch(world.store, into(world.database));
    const corrections = SESSIONS.slice(-3).map(corrected);
    server.set({ corrections: corrections.map((one) => ({ ...one, fromCall: 1 })) });
    await fetch(world.store);
    // What is no news any more is not brought by the next fetch.
    await fetch(world.store, into(world.database));
    expect(await storedBars(world)).toEqual(marketBars(MARKET));
    expect(await catchUp(world)).toMatchObject({ written: 6, extra: 0, contested: 0 });
    await expectSame(world);
    expect(await marksAhead(world)).toEqual([]);
  });

  test('of chosen symbols brings their history to bronze, and of that the months it keeps to the database', async () => {
    const sessions = [...sessionsOf('2023-01-30', '2023-02-03'), ...SESSIONS.slice(-2)];
    const market = syntheticReplayMarket({ symbols: 12, sessions });
    const world = await createLakeWorld();
    const { fetch } = await openMarket(market);
    const symbols = ['AAPW', 'AAPw', 'BRK.B'];
    const result = await fetch(world.store, { symbols, ...into(world.database) });
    expect(result).toMatchObject({ databaseFailures: [], stored: symbols.length * sessions.length });
    const bronze = marketBars(market, { symbols });
    expect(await lakeBars(world.store)).toEqual(bronze);
    // Three years and one month before March of 2026.
    expect(await storedBars(world)).toEqual(barsSince(bronze, '2023-02-01'));
    expect(Object.keys(bronze).sort()).toEqual([...(await databaseWatermarks(world.database).read()).keys()].sort());
    expect(await marksAhead(world, market)).toEqual([]);
    expect(await catchUp(world)).toMatchObject({ differing: 0, written: 0, extra: 0 });
  });
});

describe('a database that is down costs bronze nothing, is told, and has all after the next run', () => {
  /** What has to be so after a run with a database that was down for all of it, or part. */
  async function expectCaughtUp(
    world: LakeWorld,
    fetch: (options: IngestOhlcvOptions) => Promise<unknown>,
    from: number,
  ) {
    expect(await lakeBars(world.store)).toEqual(marketBars(MARKET, { from }));
    expect(await findPromises(world.store)).toEqual([]);
    expect(await marksAhead(world)).toEqual([]);
    expect(await fetch({ from, ...into(world.database) })).toMatchObject({ stored: 0, databaseFailures: [] });
    await catchUp(world);
    await expectSame(world);
    expect(await marksAhead(world)).toEqual([]);
    const marks = await databaseWatermarks(world.database).read();
    expect([...marks.keys()].sort()).toEqual(Object.keys(await lakeBars(world.store)).sort());
  }

  test.each(WAYS)('from the start: nothing listens (%s)', async (_, from) => {
    const world = await createLakeWorld();
    const { fetch } = await openMarket(MARKET);
    const proxy = await startProxy(world.url);
    proxy.close();
    const down = countTransactions(openUntilFinished(proxy.url));
    const result = await fetch(world.store, { from, ...into(down) });
    expect(result).toMatchObject({ missing: [], missingCount: 0 });
    const dates = DATES.slice(SESSIONS.indexOf(from));
    expect(result.databaseFailures.map(({ of }) => of)).toEqual([...dates, 'watermarks']);
    for (const { message } of result.databaseFailures)
      expect(message).toMatch(/ECONNREFUSED.*check that the server runs/);
    // Of the sessions the first alone has waited for it.
    expect(down.transactions()).toBe(1 + 1);
    expect(await storedBars(world)).toEqual({});
    await expectCaughtUp(world, (options) => fetch(world.store, options), from);
  });

  test('from the start: it listens, and says nothing', async () => {
    const world = await createLakeWorld();
    const { fetch } = await openMarket(MARKET);
    const sockets: Socket[] = [];
    const server = createServer((socket) => sockets.push(socket.on('error', () => undefined)));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const timeoutMs = 120;
    const silent = countTransactions(
      openDatabase(`postgresql://u:p@127.0.0.1:${port}/x`, { timeoutMs, clock: waitFor(timeoutMs) }),
    );
    onTestFinished(async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await silent.close();
    });
    const result = await fetch(world.store, into(silent));
    expect(result).toMatchObject({ missing: [], missingCount: 0 });
    expect(result.databaseFailures.map(({ of }) => of)).toEqual([...DATES, 'watermarks']);
    for (const { message } of result.databaseFailures) expect(message).toMatch(/no answer in 0.12 s/);
    expect(silent.transactions()).toBe(1 + 1);
    await expectCaughtUp(world, (options) => fetch(world.store, options), SESSIONS[0]!);
  });

  test.each(WAYS)('in the middle: connections are lost and new ones refused (%s)', async (_, from) => {
    const world = await createLakeWorld();
    const { fetch } = await openMarket(MARKET);
    const proxy = await startProxy(world.url);
    const database = countTransactions(openUntilFinished(proxy.url));
    const { sink, watermarks } = into(database);
    let sessions = 0;
    const failing: IngestOhlcvOptions['sink'] = {
      upsertBars(rows, call) {
        if (++sessions === 2) proxy.close();
        return sink!.upsertBars(rows, call);
      },
    };
    const result = await fetch(world.store, { from, sink: failing, watermarks });
    const dates = DATES.slice(SESSIONS.indexOf(from));
    expect(result.databaseFailures.map(({ of }) => of)).toEqual([...dates.slice(1), 'watermarks']);
    expect(database.transactions()).toBe(2 + 1);
    expect(await storedBars(world)).toEqual(marketBars(MARKET, { from, to: from }));
    await expectCaughtUp(world, (options) => fetch(world.store, options), from);
  });

  test('in the middle: it hangs once, and is asked again', async () => {
    const world = await createLakeWorld();
    const from = SESSIONS.at(-2)!;
    const { fetch } = await openMarket(MARKET);
    const proxy = await startProxy(world.url);
    const timeoutMs = 250;
    const database = openDatabase(proxy.url, { timeoutMs, clock: waitFor(timeoutMs) });
    onTestFinished(() => database.close());
    await fetch(memoryStore(), { from, ...into(database) });
    const messages = proxy.messages().length;
    for (const at of [1, 3, Math.floor(messages / 2), Math.floor(messages * 0.8)]) {
      await world.query('TRUNCATE raw_ohlcv, watermarks');
      const store = memoryStore();
      const count = proxy.arm({ kind: 'hang', at, when: at % 2 === 0 ? 'after' : 'before' });
      const result = await fetch(store, { from, ...into(database) });
      expect([count.hits, result.databaseFailures], `message ${at}`).toEqual([1, []]);
      await proxy.disarm();
      expect(await storedBars(world)).toEqual(await lakeBars(store));
    }
  });

  test('after a minute it is asked again, in the same run', async () => {
    const world = await createLakeWorld();
    const { fetch } = await openMarket(MARKET);
    const proxy = await startProxy(world.url);
    proxy.close();
    let now = NOW;
    const database = countTransactions(openUntilFinished(proxy.url));
    const { sink, watermarks } = into(database, () => now);
    let sessions = 0;
    const returning: IngestOhlcvOptions['sink'] = {
      async upsertBars(rows, call) {
        if (++sessions === 4) now += MINUTE_MS - 1;
        if (sessions === 5) {
          now += 1;
          await proxy.disarm();
        }
        return sink!.upsertBars(rows, call);
      },
    };
    const result = await fetch(world.store, { sink: returning, watermarks });
    expect(result.databaseFailures.map(({ of }) => of)).toEqual(DATES.slice(0, 4));
    expect(await storedBars(world)).toEqual(marketBars(MARKET, { from: SESSIONS[4]! }));
    expect(await marksAhead(world)).toEqual([]);
    await expectCaughtUp(world, (options) => fetch(world.store, options), SESSIONS[0]!);
  });

  test('when its rows are locked: of the sessions the first alone waits', async () => {
    const world = await createLakeWorld();
    const { fetch } = await openMarket(MARKET);
    await fetch(world.store, { from: SESSIONS.at(-1)!, ...into(world.database) });
    const database = countTransactions(openUntilFinished(world.url, { lockTimeoutMs: 20 }));
    await withClient(world.url, async (client) => {
      await client.query('BEGIN; LOCK TABLE raw_ohlcv IN SHARE MODE');
      const result = await fetch(world.store, into(database));
      expect(result.databaseFailures.map(({ of }) => of)).toEqual(DATES.slice(0, -1));
      for (const { message } of result.databaseFailures) expect(message).toContain('lock timeout');
      // And watermarks, that nobody has locked, are read and written.
      expect(database.transactions()).toBe(1 + 2);
      await client.query('ROLLBACK');
    });
    await expectCaughtUp(world, (options) => fetch(world.store, options), SESSIONS[0]!);
  });

  test('when it has no tables: every session tells what to do', async () => {
    const { url, query } = await openTestDatabase();
    await query('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
    const store = memoryStore();
    const { fetch } = await openMarket(MARKET);
    const result = await fetch(store, { from: SESSIONS.at(-2)!, ...into(openUntilFinished(url)) });
    expect(result.databaseFailures.map(({ of }) => of)).toEqual([...DATES.slice(-2), 'watermarks']);
    for (const { message } of result.databaseFailures) expect(message).toContain('batch-layer db migrate');
    expect(await lakeBars(store)).toEqual(marketBars(MARKET, { from: SESSIONS.at(-2)! }));
  });

  test('where it takes no bars of one session the others are there', async () => {
    const world = await createLakeWorld();
    const { fetch } = await openMarket(MARKET);
    const refused = DATES[4]!;
    await world.query(`ALTER TABLE raw_ohlcv ADD CONSTRAINT refused CHECK (date <> '${refused}')`);
    const result = await fetch(world.store, into(world.database));
    expect(result.databaseFailures).toEqual([
      { of: refused, message: expect.stringContaining('violates check constraint') },
    ]);
    expect(await storedBars(world)).toEqual(marketBars(MARKET, { without: [refused] }));
    await world.query('ALTER TABLE raw_ohlcv DROP CONSTRAINT refused');
    await expectCaughtUp(world, (options) => fetch(world.store, options), SESSIONS[0]!);
  });

  test('when its watermarks alone cannot be read or written the bars are there', async () => {
    const world = await createLakeWorld();
    const { fetch } = await openMarket(MARKET);
    await world.query('ALTER TABLE watermarks RENAME TO elsewhere');
    const result = await fetch(world.store, into(world.database));
    // Once: they are not asked again in this run.
    expect(result.databaseFailures).toEqual([
      { of: 'watermarks', message: expect.stringContaining('"watermarks" does not exist') },
    ]);
    expect(result).toMatchObject({ missing: [] });
    await expectSame(world);
    await world.query('ALTER TABLE elsewhere RENAME TO watermarks');
    await expectCaughtUp(world, (options) => fetch(world.store, options), SESSIONS[0]!);
  });

  test('a stop while it waits for the database is a stop, and no failure of the database', async () => {
    const world = await createLakeWorld();
    const { fetch } = await openMarket(MARKET);
    const controller = new AbortController();
    const { sink, watermarks } = into(world.database);
    const stopping: IngestOhlcvOptions['sink'] = {
      upsertBars(rows, call) {
        controller.abort(new Error('stopped'));
        return sink!.upsertBars(rows, call);
      },
    };
    const call = { sink: stopping, watermarks, signal: controller.signal };
    await expect(fetch(world.store, call)).rejects.toThrow('stopped');
    await fetch(world.store, into(world.database));
    await catchUp(world);
    await expectSame(world);
  });
});

test('of a database that takes nothing a thousand failures are kept', async () => {
  const databaseFailures: DatabaseFailure[] = [];
  const sink: BarSink = { upsertBars: () => Promise.reject(new Error('the database is full')) };
  const rows = { symbols: ['AAPW'], bars: barsAt({ '2026-03-13': 1 }) };
  for (let i = 0; i < 1_001; i++) await writeToSink({ sink, databaseFailures }, `S${i}`, rows);
  expect(databaseFailures).toHaveLength(1_000);
  expect(databaseFailures.at(-1)).toEqual({ of: 'S999', message: 'the database is full' });
  const fail = () => Promise.reject(new Error('the database is full'));
  const watermarks = withFailuresTold({ read: fail, advance: fail }, databaseFailures);
  expect(await watermarks.read()).toEqual(new Map());
  expect(databaseFailures).toHaveLength(1_000);
});

/** A clock by which nothing is waited for but the end of a transaction's time. */
function waitFor(timeoutMs: number): Clock {
  return { ...systemClock, sleep: (ms, call) => systemClock.sleep(ms === timeoutMs ? ms : 0, call) };
}
