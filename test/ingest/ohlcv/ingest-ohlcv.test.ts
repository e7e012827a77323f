import { writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { type BarSink, type IngestOhlcvOptions, ingestCsv } from '../../../src/ingest/index.ts';
import {
  BRONZE_PREFIX,
  consolidate,
  dailyKey,
  dataKey,
  memoryStore,
  type ObjectStore,
} from '../../../src/lake/index.ts';
import { SESSION_LEDGER_KEY, WATERMARKS_KEY } from '../../../src/lake/keys.ts';
import { isLanded, readSessionLedger } from '../../../src/lake/session-ledger.ts';
import { lakeWatermarks } from '../../../src/lake/watermarks.ts';
import { formatSession } from '../../../src/session.ts';
import { type Death, dyingStore, waitingStore } from '../../support/dying-store.ts';
import { barsToCsv, copyStore, findPromises, lakeBars, marketBars } from '../../support/lake-bars.ts';
import { keysOf } from '../../support/lake-reader.ts';
import { correctedMarket, type ReplayRow, syntheticReplayMarket } from '../../support/market/replay-market.ts';
import { afterClose, openMarket, sessionsOf } from '../../support/replay-api.ts';
import { temporaryFolder } from '../../support/temporary.ts';

const SESSIONS = sessionsOf('2026-02-23', '2026-03-13');
const [LAST, SECOND_LAST, THIRD_LAST, OLD] = [-1, -2, -3, -4].map((at) => SESSIONS.at(at)!) as [
  ...[number, number, number, number],
];
const WEEK = SESSIONS.slice(-5);
const MARKET = syntheticReplayMarket({ symbols: 40, sessions: SESSIONS, halted: 0.02, split: 3, dividendPayers: 12 });
const SMALL = syntheticReplayMarket({ symbols: 12, sessions: SESSIONS, halted: 0.03 });
const HOUR_MS = 3_600_000;

/** Another volume and close for some rows of a session. */
function corrected(market: typeof MARKET, session: number, rows = 2) {
  const changed = market.rowsOf(session).slice(-rows);
  return { session, rows: changed.map((row): ReplayRow => ({ ...row, v: row.v + 0.125, c: row.l })) };
}

describe('an API that fails now and then', () => {
  test.each([1, 2, 3])('a backfill is complete after one run, or two more at most (seed %i)', async (seed) => {
    const store = memoryStore();
    const { fetch } = await openMarket(MARKET, { traps: { failureRate: 0.1, seed } });
    let missing = Number.POSITIVE_INFINITY;
    for (let run = 1; run <= 3 && missing > 0; run++) missing = (await fetch(store)).missingCount;
    expect(missing).toBe(0);
    expect(await lakeBars(store)).toEqual(marketBars(MARKET));
    expect(await findPromises(store)).toEqual([]);
  });

  test('where most calls fail every run brings something, no bar is wrong, and in the end all are there', async () => {
    const store = memoryStore();
    const { fetch } = await openMarket(SMALL, { traps: { failureRate: 0.6 }, maxAttempts: 3 });
    const truth = marketBars(SMALL);
    let [runs, missing] = [0, 1];
    for (; missing > 0 && runs < 12; runs++) {
      missing = (await fetch(store)).missingCount;
      for (const [symbol, rows] of Object.entries(await lakeBars(store))) {
        expect(truth[symbol]).toEqual(expect.arrayContaining([...rows]));
      }
      expect(await findPromises(store)).toEqual([]);
    }
    expect(runs).toBeGreaterThan(1);
    expect(missing).toBe(0);
    expect(await lakeBars(store)).toEqual(truth);
  });

  test('a session that fails for good is missing by name, and the next run asks for it and the last three alone', async () => {
    const store = memoryStore();
    const { fetch, server, asked } = await openMarket(MARKET, {
      traps: { failureRate: 1, failureKinds: ['error-500'], failurePaths: new RegExp(formatSession(OLD)) },
    });
    const first = await fetch(store);
    expect(first).toMatchObject({ sessionsMissing: 1, sessionsFetched: SESSIONS.length - 1, missingCount: 1 });
    expect(first.missing).toMatchObject([{ date: formatSession(OLD), symbol: null, code: 'Unavailable' }]);
    expect(await lakeBars(store)).toEqual(marketBars(MARKET, { without: [formatSession(OLD)] }));
    server.set({ failureRate: 0 });
    asked();
    expect(await fetch(store)).toMatchObject({ missing: [], sessionsKnown: SESSIONS.length - 4 });
    expect(asked().sessions).toEqual([OLD, ...SESSIONS.slice(-3)].map(formatSession));
    expect(await lakeBars(store)).toEqual(marketBars(MARKET));
  });

  test('a run without news writes nothing', async () => {
    const store = memoryStore();
    const { fetch } = await openMarket(MARKET);
    await fetch(store);
    const result = await fetch(store);
    expect(result).toMatchObject({ stored: 0, quarantined: 0, metrics: { requests: { PUT: 0, DELETE: 0 } } });
    expect(result.unchanged).toBe(WEEK.slice(-3).reduce((sum, session) => sum + MARKET.rowsOf(session).length, 0));
  });

  test('an abort ends the run at once with its reason, and the next run completes the lake', async () => {
    const store = memoryStore();
    const controller = new AbortController();
    const { fetch, server } = await openMarket(MARKET, { traps: { latencyMs: 20 } });
    const onProgress = ({ done }: { done: number }) => {
      if (done === 6) controller.abort(new Error('stopped'));
    };
    await expect(fetch(store, { signal: controller.signal, onProgress })).rejects.toThrow('stopped');
    expect(await findPromises(store)).toEqual([]);
    server.set({ latencyMs: 0 });
    await fetch(store);
    expect(await lakeBars(store)).toEqual(marketBars(MARKET));
  });
});

describe('a lake that cannot be listed', () => {
  /** A store whose first listing of bronze fails. */
  const unlisted = (store: ObjectStore): ObjectStore => {
    let failures = 1;
    return {
      ...store,
      async *list(prefix, call) {
        if (prefix === BRONZE_PREFIX && failures-- > 0) throw new Error('the listing was lost');
        yield* store.list(prefix, call);
      },
    };
  };

  test('is brought the last closed session only, and the run says why', async () => {
    const store = memoryStore();
    const { fetch, asked } = await openMarket(MARKET);
    const call = { from: undefined, backfillDays: 7 };
    const result = await fetch(unlisted(store), call);
    expect(result).toMatchObject({ fallback: 'the listing was lost', sessions: 1, missing: [] });
    expect(asked().sessions).toEqual([formatSession(LAST)]);
    expect(await lakeBars(store)).toEqual(marketBars(MARKET, { from: LAST }));
    expect(await findPromises(store)).toEqual([]);
    expect(await fetch(store, call)).toMatchObject({ fallback: null, sessions: 6 });
    expect(await lakeBars(store)).toEqual(marketBars(MARKET, { from: SESSIONS.at(-6)! }));
  });

  test('is brought all that was asked for by name, and what is asked for wins over daily files that nobody listed', async () => {
    const store = memoryStore();
    const { fetch, server } = await openMarket(SMALL);
    for (const session of SESSIONS) await fetch(store, { from: session, to: session });
    const corrections = SESSIONS.map((session) => corrected(SMALL, session));
    server.set({ corrections: corrections.map((correction) => ({ ...correction, fromCall: 1 })) });
    expect(await fetch(unlisted(store), { force: true })).toMatchObject({
      fallback: 'the listing was lost',
      missing: [],
    });
    const truth = marketBars(correctedMarket(SMALL, corrections));
    expect(await lakeBars(store)).toEqual(truth);
    await consolidate(store);
    expect(await lakeBars(store)).toEqual(truth);
  });
});

describe('a database beside the lake', () => {
  test.each([
    ['daily', THIRD_LAST],
    ['bulk', SESSIONS[0]],
  ])('gets the bars when bronze has them, and before ledger and watermarks tell of them (%s)', async (_, from) => {
    const store = memoryStore();
    const got: string[] = [];
    const sink: BarSink = {
      async upsertBars({ symbols, bars }) {
        const [bronze, ledger] = [await lakeBars(store), await readSessionLedger(store)];
        const marks = await lakeWatermarks(store).read();
        for (const [i, symbol] of symbols.entries()) {
          const [session, date] = [bars.session[i]!, formatSession(bars.session[i]!)];
          got.push(`${symbol} ${date} ${bars.close[i]}`);
          expect(bronze[symbol]?.find((row) => row[0] === date)?.[4]).toBe(bars.close[i]);
          expect(isLanded(ledger.get(session))).toBe(false);
          expect(marks.get(symbol)?.lastSession ?? -1).toBeLessThan(session);
        }
      },
    };
    const { fetch } = await openMarket(SMALL);
    expect((await fetch(store, { from, sink })).databaseFailures).toEqual([]);
    const bars = Object.entries(marketBars(SMALL, { from: from! }));
    expect(got.sort()).toEqual(
      bars.flatMap(([symbol, rows]) => rows.map((row) => `${symbol} ${row[0]} ${row[4]}`)).sort(),
    );
    expect(await findUnlanded(store)).toEqual([]);
    for (const [symbol, rows] of bars) {
      const { lastSession } = (await lakeWatermarks(store).read()).get(symbol)!;
      expect(formatSession(lastSession)).toBe(rows.at(-1)?.[0]);
    }
  });

  test.each([
    ['daily', THIRD_LAST],
    ['bulk', SESSIONS[0]],
  ])('whose every write fails costs the lake nothing, and is told (%s)', async (_, from) => {
    const store = memoryStore();
    const { fetch, asked } = await openMarket(SMALL);
    const sink = { upsertBars: () => Promise.reject(new Error('the database is full')) };
    const result = await fetch(store, { from, sink });
    const dates = SESSIONS.filter((session) => session >= from!).map(formatSession);
    expect(result.databaseFailures).toEqual(dates.map((date) => ({ of: date, message: 'the database is full' })));
    expect(result).toMatchObject({ missing: [], missingCount: 0 });
    expect(await lakeBars(store)).toEqual(marketBars(SMALL, { from: from! }));
    expect(await findUnlanded(store)).toEqual([]);
    expect((await lakeWatermarks(store).read()).get('AAAA')).toMatchObject({ lastSession: LAST });
    asked();
    await fetch(store, { from });
    expect(asked().sessions).toEqual(dates.slice(-3));
  });

  test('gets what is news, and not what was there', async () => {
    const store = memoryStore();
    const { fetch, server } = await openMarket(SMALL);
    await fetch(store);
    const correction = corrected(SMALL, LAST);
    server.set({ corrections: [{ ...correction, fromCall: 1 }] });
    const got: string[] = [];
    await fetch(store, { sink: { upsertBars: async ({ symbols }) => void got.push(...symbols) } });
    expect(got).toEqual(correction.rows.map(({ T }) => T));
  });
});

describe('a run that dies at any of its writes', () => {
  const before = syntheticReplayMarket({ symbols: 5, sessions: SESSIONS, halted: 0.03 });
  const after = correctedMarket(before, [corrected(before, THIRD_LAST)]);
  const symbols = Object.keys(marketBars(before));
  const jobs: Record<string, { prepare: IngestOhlcvOptions | null; run: IngestOhlcvOptions }> = {
    'daily: two sessions and corrections': {
      prepare: { from: WEEK[0], now: () => afterClose(THIRD_LAST) },
      run: { from: WEEK[0] },
    },
    'bulk: six sessions': { prepare: null, run: { from: SESSIONS.at(-6) } },
    'chosen symbols': { prepare: { from: SECOND_LAST }, run: { symbols, from: SESSIONS.at(-6) } },
  };

  test.each(Object.entries(jobs))(
    'promises nothing that is not in bronze, and the next run makes it good: %s',
    async (_, { prepare, run }) => {
      const base = memoryStore();
      if (prepare) await (await openMarket(before)).fetch(base, prepare);
      const { fetch } = await openMarket(after);
      const truth = marketBars(after, { from: run.from! });
      const marksOf = async (store: ObjectStore) => await lakeWatermarks(store).read();

      const clean = await copyStore(base, memoryStore());
      const counted = dyingStore(clean, { at: Number.POSITIVE_INFINITY, death: 'before' });
      await fetch(counted.store, run);
      expect(await lakeBars(clean)).toEqual(truth);
      const marks = await marksOf(clean);
      expect(counted.writes()).toBeGreaterThan(5);

      for (let at = 1; at <= counted.writes(); at++) {
        for (const death of ['before', 'after', 'failure'] satisfies Death[]) {
          const place = `${death} write ${at}`;
          const store = await copyStore(base, memoryStore());
          const outcome = await fetch(dyingStore(store, { at, death }).store, run).catch((error: Error) => error);
          if (death !== 'failure') expect(outcome, place).toBeInstanceOf(Error);
          expect(await findPromises(store, after), place).toEqual([]);
          const { missing } = await fetch(store, run);
          expect(missing, place).toEqual([]);
          expect(await lakeBars(store), place).toEqual(truth);
          expect(await findPromises(store, after), place).toEqual([]);
          expect(await marksOf(store), place).toEqual(marks);
        }
      }
    },
  );

  test('an hour later all sessions are landed again', async () => {
    const { fetch } = await openMarket(after);
    const { from } = jobs['bulk: six sessions']!.run;
    for (const at of [5, 7, 9, 12]) {
      const store = memoryStore();
      await expect(fetch(dyingStore(store, { at, death: 'after' }).store, { from })).rejects.toThrow(/died|death/);
      const later = { from, now: () => afterClose(LAST) + 2 * HOUR_MS };
      await fetch(store, later);
      expect(await findUnlanded(store)).toEqual([]);
      expect(await fetch(store, later)).toMatchObject({ sessionsKnown: 3, metrics: { requests: { PUT: 0 } } });
    }
  });

  test('sessions that have come, and are no longer corrected, are not asked for again', async () => {
    const { fetch, asked } = await openMarket(SMALL);
    const store = memoryStore();
    // The third answer is kept, and nothing after it.
    await expect(fetch(dyingStore(store, { at: 4, death: 'before' }).store)).rejects.toThrow('died at write 4');
    const kept = (await keysOf(store, 'processing_metadata/sessions/')).map((key) => /\d{4}-\d{2}-\d{2}/.exec(key)![0]);
    expect(kept).toHaveLength(3);
    asked();
    expect(await fetch(store)).toMatchObject({ sessionsRestored: 3, missing: [] });
    expect(asked().sessions).toEqual(SESSIONS.map(formatSession).filter((date) => !kept.includes(date)));
    expect(await lakeBars(store)).toEqual(marketBars(SMALL));
  });
});

describe('two runs at the same time', () => {
  const windows = [
    ['daily', THIRD_LAST],
    ['bulk', SESSIONS[0]!],
  ] as const;
  const corrections = [LAST, THIRD_LAST].map((session) => corrected(SMALL, session, 4));
  const truth = (from: number) => marketBars(correctedMarket(SMALL, corrections), { from });

  test.each(windows)(
    'that get different answers: after a third one the lake is the corrected market (%s)',
    async (_, from) => {
      for (let round = 1; round <= 4; round++) {
        const store = memoryStore();
        // The second call of a session gets its corrections, whoever makes it.
        const { fetch } = await openMarket(SMALL, {
          traps: { jitterMs: 15, seed: round, corrections: corrections.map((one) => ({ ...one, fromCall: 2 })) },
        });
        const both = await Promise.all([fetch(store, { from }), fetch(store, { from })]);
        for (const { missing } of both) expect(missing.every(({ code }) => code === 'Conflict')).toBe(true);
        expect(await findPromises(store)).toEqual([]);
        await fetch(store, { from });
        expect(await lakeBars(store)).toEqual(truth(from));
        await consolidate(store);
        expect(await lakeBars(store)).toEqual(truth(from));
      }
    },
  );

  const isBronze = (key: string) => key.startsWith(BRONZE_PREFIX);
  const isLedger = (key: string) => key === SESSION_LEDGER_KEY;
  /** The nth write of these keys. */
  const nth = (n: number, isMeant: (key: string) => boolean) => {
    let count = 0;
    return (key: string) => isMeant(key) && ++count === n;
  };
  const places: Record<string, () => (key: string) => boolean> = {
    'before its answer is kept': () => nth(1, (key) => key.includes(formatSession(LAST))),
    'before its first claim': () => nth(1, isLedger),
    'after its first claim': () => nth(1, isBronze),
    'among its bars': () => nth(5, isBronze),
    'before its first commit': () => nth(2, isLedger),
    'before its watermarks': () => nth(1, (key) => key === WATERMARKS_KEY),
  };
  const slow = windows.flatMap(([name, from]) => Object.keys(places).map((place) => [place, name, from] as const));

  test.each(slow)(
    'one with an older answer that stops %s while the other runs does no lasting harm (%s)',
    async (place, _, from) => {
      const store = memoryStore();
      const { fetch, server } = await openMarket(SMALL);
      const waiting = waitingStore(store, places[place]!());
      const older = fetch(waiting.store, { from });
      await waiting.reached;
      server.set({ corrections: corrections.map((one) => ({ ...one, fromCall: 1 })) });
      await fetch(store, { from });
      // Whoever looks now may see either, and must not be told that it is whole where it is not.
      expect(await findPromises(store)).toEqual([]);
      waiting.release();
      await older;
      expect(await findPromises(store)).toEqual([]);
      await fetch(store, { from });
      expect(await lakeBars(store)).toEqual(truth(from));
      await consolidate(store);
      expect(await lakeBars(store)).toEqual(truth(from));
    },
  );

  test.each(windows)(
    'one with an older answer that brings its bars late, and dies over them, does no lasting harm (%s)',
    async (_, from) => {
      const store = memoryStore();
      const { fetch, server } = await openMarket(SMALL);
      const waiting = waitingStore(store, nth(1, isBronze));
      let isLate = false;
      const dying: ObjectStore = {
        ...waiting.store,
        async put(key, body, call) {
          if (isLate && isLedger(key)) throw new Error('died');
          return waiting.store.put(key, body, call);
        },
      };
      const older = fetch(dying, { from });
      await waiting.reached;
      server.set({ corrections: corrections.map((one) => ({ ...one, fromCall: 1 })) });
      await fetch(store, { from });
      isLate = true;
      waiting.release();
      await expect(older).rejects.toThrow('died');
      expect(await findPromises(store)).toEqual([]);
      await fetch(store, { from });
      expect(await lakeBars(store)).toEqual(truth(from));
    },
  );
});

describe('bronze is the truth', () => {
  test('bars that were deleted come back, without a call where they are no longer corrected', async () => {
    const store = memoryStore();
    const { fetch, asked } = await openMarket(MARKET);
    for (const session of WEEK) await fetch(store, { from: session, to: session });
    const gone = [dailyKey('AAAA', OLD), dailyKey('BRK.B', WEEK[0]!), dailyKey('AAAB', LAST)];
    expect(await keysOf(store, BRONZE_PREFIX)).toEqual(expect.arrayContaining(gone));
    for (const key of gone) await store.delete(key);
    asked();
    const result = await fetch(store, { from: WEEK[0] });
    expect(result).toMatchObject({ stored: 3, sessionsRestored: 2, sessionsFetched: 3, missing: [] });
    expect(asked().sessions).toEqual(WEEK.slice(-3).map(formatSession));
    expect(await lakeBars(store)).toEqual(marketBars(MARKET, { from: WEEK[0]! }));
  });

  test('a symbol whose every bar was deleted comes back, without a call where they are no longer corrected', async () => {
    const store = memoryStore();
    const { fetch, asked } = await openMarket(MARKET);
    await fetch(store);
    await store.delete(dataKey('AAAA'));
    asked();
    await fetch(store);
    expect(asked().sessions).toEqual(WEEK.slice(-3).map(formatSession));
    expect(await lakeBars(store)).toEqual(marketBars(MARKET));
  });

  test('daily files that were merged and deleted are not gone', async () => {
    const store = memoryStore();
    const { fetch, asked } = await openMarket(MARKET);
    for (const session of WEEK) await fetch(store, { from: session, to: session });
    const now = () => afterClose(LAST) + 24 * HOUR_MS;
    const { dailyFilesDeleted } = await consolidate(store, { retentionDays: 0, now });
    expect(dailyFilesDeleted).toBeGreaterThan(150);
    asked();
    expect(await fetch(store, { from: WEEK[0] })).toMatchObject({ stored: 0, sessionsKnown: 2, sessionsRestored: 0 });
    expect(asked().sessions).toEqual(WEEK.slice(-3).map(formatSession));
    expect((await keysOf(store, BRONZE_PREFIX)).filter((key) => key.includes('/date='))).toEqual([]);
  });

  test.each([
    ['ledger', SESSION_LEDGER_KEY],
    ['watermarks', WATERMARKS_KEY],
    ['session files', 'processing_metadata/sessions/'],
    ['manifest and recent bars', 'processing_metadata/'],
  ])('without %s a run finds out anew what there is, and stores nothing', async (_, prefix) => {
    const store = memoryStore();
    const { fetch } = await openMarket(MARKET);
    await fetch(store);
    const marks = await lakeWatermarks(store).read();
    for (const key of await keysOf(store, prefix)) await store.delete(key);
    const { stored, missing } = await fetch(store);
    expect({ stored, missing }).toEqual({ stored: 0, missing: [] });
    expect(await lakeBars(store)).toEqual(marketBars(MARKET));
    expect(await lakeWatermarks(store).read()).toEqual(marks);
    expect(await findPromises(store)).toEqual([]);
  });

  test('answers that are damaged are asked for again, and no bar is lost', async () => {
    const store = memoryStore();
    const { fetch, asked } = await openMarket(MARKET);
    await fetch(store);
    const damaged = SESSIONS.slice(2, 5).map(formatSession);
    for (const date of damaged) {
      const [key] = await keysOf(store, `processing_metadata/sessions/date=${date}/`);
      await store.put(key!, (await store.get(key!)).body.slice(0, -9));
    }
    asked();
    expect(await fetch(store)).toMatchObject({ stored: 0, missing: [] });
    expect(asked().sessions).toEqual([...damaged, ...WEEK.slice(-3).map(formatSession)]);
    expect(await findPromises(store)).toEqual([]);
    await fetch(store);
    expect(asked().sessions).toEqual(WEEK.slice(-3).map(formatSession));
    // Nothing is known but the answers, and one of them is damaged.
    for (const key of [SESSION_LEDGER_KEY, ...(await keysOf(store, BRONZE_PREFIX))]) await store.delete(key);
    const [key] = await keysOf(store, `processing_metadata/sessions/date=${damaged[0]}/`);
    await store.put(key!, new Uint8Array(100));
    expect(await fetch(store)).toMatchObject({
      sessionsFetched: 4,
      sessionsRestored: SESSIONS.length - 4,
      missing: [],
    });
    expect(asked().sessions).toEqual([damaged[0], ...WEEK.slice(-3).map(formatSession)]);
    expect(await lakeBars(store)).toEqual(marketBars(MARKET));
  });

  test.each([
    ['a bulk of sessions', SESSIONS[0]!],
    ['a few sessions', THIRD_LAST],
  ])('in a lake filled from CSV files with the same bars %s stores nothing new', async (_, from) => {
    const store = memoryStore();
    const path = `${await temporaryFolder()}/bars.csv`;
    await writeFile(path, barsToCsv(marketBars(MARKET)));
    await ingestCsv(store, [path], { consolidated: true });
    const files = (await keysOf(store, BRONZE_PREFIX)).length;
    const { fetch } = await openMarket(MARKET);
    const { stored, unchanged } = await fetch(store, { from });
    expect(await lakeBars(store)).toEqual(marketBars(MARKET));
    const rows = SESSIONS.filter((session) => session >= from).flatMap((session) => MARKET.rowsOf(session));
    const found = { stored, unchanged, files: (await keysOf(store, BRONZE_PREFIX)).length };
    expect(found).toEqual({ stored: 0, unchanged: rows.length, files });
  });
});

/** Sessions that the ledger knows, and does not take for complete. */
async function findUnlanded(store: ObjectStore): Promise<string[]> {
  const entries = [...(await readSessionLedger(store)).values()];
  return entries.filter((entry) => !isLanded(entry)).map(({ session }) => formatSession(session));
}
