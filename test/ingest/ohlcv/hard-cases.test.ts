import { describe, expect, test } from 'vitest';
import { BatchLayerError } from '../../../src/errors.ts';
import type { MarketApi } from '../../../src/ingest/api/market-api.ts';
import { type BarSource, type IngestOhlcvOptions, ingestFrom, ingestOhlcv } from '../../../src/ingest/index.ts';
import {
  BRONZE_PREFIX,
  consolidate,
  dailyKey,
  dataKey,
  fileStore,
  memoryStore,
  type ObjectStore,
} from '../../../src/lake/index.ts';
import { SESSION_LEDGER_KEY } from '../../../src/lake/keys.ts';
import { readSessionFile } from '../../../src/lake/session-file.ts';
import { isLanded, readSessionLedger } from '../../../src/lake/session-ledger.ts';
import { lakeWatermarks } from '../../../src/lake/watermarks.ts';
import { formatSession, sessionFrom } from '../../../src/session.ts';
import { dyingStore } from '../../support/dying-store.ts';
import { findPromises, lakeBars, marketBars } from '../../support/lake-bars.ts';
import { keysOf } from '../../support/lake-reader.ts';
import { newYorkTime } from '../../support/market/new-york.ts';
import {
  correctedMarket,
  flatRow,
  marketOf,
  type ReplayMarket,
  type ReplayRow,
  syntheticReplayMarket,
} from '../../support/market/replay-market.ts';
import type { Traps } from '../../support/market/traps.ts';
import { afterClose, openMarket, sessionsOf } from '../../support/replay-api.ts';
import { runCommand } from '../../support/run-command.ts';
import { temporaryFolder } from '../../support/temporary.ts';

const SESSIONS = sessionsOf('2026-03-02', '2026-03-13');
const WEEK = SESSIONS.slice(-5);
const [LAST, THIRD_LAST, OLD] = [SESSIONS.at(-1)!, SESSIONS.at(-3)!, SESSIONS.at(-4)!];
const [LAST_DATE, OLD_DATE] = [formatSession(LAST), formatSession(OLD)];
const LAST_THREE = SESSIONS.slice(-3).map(formatSession);
const MARKET = syntheticReplayMarket({ symbols: 16, sessions: WEEK });
const LONG_MARKET = syntheticReplayMarket({ symbols: 16, sessions: SESSIONS });
const SESSION_FILES = 'processing_metadata/sessions/';

/** A minute after the close of a session. */
const atClose = (session: number) => afterClose(session) - 7_200_000 + 60_000;

/** Another volume for some rows of a session. */
const corrected = (session: number, ...tickers: readonly string[]) => ({
  session,
  rows: MARKET.rowsOf(session)
    .filter(({ T }) => tickers.includes(T))
    .map((row): ReplayRow => ({ ...row, v: row.v + 1 })),
});

const entryOf = async (store: ObjectStore, session: number) => (await readSessionLedger(store)).get(session);

/** A store that does something else at some of its calls. */
const changedStore = (store: ObjectStore, changes: Partial<ObjectStore>): ObjectStore => ({ ...store, ...changes });

describe('an answer without bars', () => {
  test.each<[string, { status: number; body?: unknown; hangUp?: 'before' }]>([
    ['an answer of 503', { status: 503 }],
    ['an answer of 500', { status: 500, body: { status: 'ERROR' } }],
    ['no answer', { status: 200, hangUp: 'before' }],
    ['an answer that is no JSON', { status: 200, body: '{"status":"OK","results":[' }],
    ['half an answer', { status: 200, body: { status: 'OK', resultsCount: 2, results: [flatRow('AAAA', 5)] } }],
  ])('that is followed by %s until the tries are used up makes a session missing, not empty', async (_, respond) => {
    const store = memoryStore();
    const none = { status: 'OK', adjusted: false, resultsCount: 0, results: null };
    const match = new RegExp(OLD_DATE);
    const { fetch, server, asked } = await openMarket(MARKET, {
      traps: {
        script: [
          { match, times: 1, respond: { status: 200, body: none } },
          { match, times: 99, respond },
        ],
      },
    });
    const result = await fetch(store);
    expect(asked().sessions.filter((date) => date === OLD_DATE).length).toBeGreaterThan(2);
    expect(result).toMatchObject({ sessionsEmpty: [], sessionsMissing: 1, missingCount: 1 });
    expect(result.missing).toMatchObject([{ date: OLD_DATE, symbol: null, code: 'Unavailable' }]);
    server.set({ script: [] });
    expect((await fetch(store)).missing).toEqual([]);
    expect(await lakeBars(store)).toEqual(marketBars(MARKET));
  });

  test.each<[string, Partial<Traps>, IngestOhlcvOptions]>([
    ['with a missing symbol', { rowFaults: [{ kind: 'null-price', tickers: ['AAAB'], sessions: [OLD] }] }, {}],
    ['that is asked for by force', {}, { force: true }],
  ])('does not replace a session that has landed, %s: it is missing', async (_, traps, call) => {
    const store = memoryStore();
    const { fetch, server } = await openMarket(MARKET, { traps, maxAttempts: 2 });
    await fetch(store);
    const [bars, entry] = [await lakeBars(store), await entryOf(store, OLD)];
    expect(entry!.rows).toBeGreaterThan(5);
    server.set({ nullResults: new Map([[OLD, 99]]) });
    const result = await fetch(store, { ...call, from: OLD, to: OLD });
    expect(result).toMatchObject({ sessionsEmpty: [], sessionsMissing: 1, sessionsFetched: 0 });
    expect(result.missing).toMatchObject([{ date: OLD_DATE, symbol: null, code: 'Unavailable' }]);
    expect(await entryOf(store, OLD)).toEqual(entry);
    expect(await lakeBars(store)).toEqual(bars);
    expect(await findPromises(store)).toEqual([]);
    server.set({ nullResults: new Map(), rowFaults: [] });
    expect(await fetch(store, call)).toMatchObject({ missing: [] });
    expect(await entryOf(store, OLD)).toMatchObject({ rows: MARKET.rowsOf(OLD).length, missing: [] });
    expect(await lakeBars(store)).toEqual(marketBars(MARKET));
  });

  test('is not believed of a session that bronze has bars of, though the ledger is lost', async () => {
    const store = memoryStore();
    const { fetch } = await openMarket(MARKET, { traps: { nullResults: new Map() }, maxAttempts: 2 });
    await fetch(store);
    for (const key of [SESSION_LEDGER_KEY, ...(await keysOf(store, SESSION_FILES))]) await store.delete(key);
    const empty = await openMarket(MARKET, { traps: { nullResults: new Map([[OLD, 99]]) }, maxAttempts: 2 });
    const { missing, sessionsEmpty } = await empty.fetch(store);
    expect(missing).toMatchObject([{ date: OLD_DATE, symbol: null, code: 'Unavailable' }]);
    expect(sessionsEmpty).toEqual([]);
    expect(await entryOf(store, OLD)).toBeUndefined();
    expect(await lakeBars(store)).toEqual(marketBars(MARKET));
  });

  test('makes sessions missing where there are more than four of it, neither empty nor fetched', async () => {
    const store = memoryStore();
    const times = new Map(SESSIONS.slice(0, 5).map((session) => [session, 99]));
    const { fetch } = await openMarket(LONG_MARKET, { traps: { nullResults: times }, maxAttempts: 2 });
    const result = await fetch(store);
    expect(result).toMatchObject({
      sessions: 10,
      sessionsFetched: 5,
      sessionsMissing: 5,
      sessionsEmpty: [],
      sessionsKnown: 0,
      missingCount: 5,
    });
    expect(result.missing.map(({ date }) => date)).toEqual(SESSIONS.slice(0, 5).map(formatSession));
    expect(await keysOf(store, SESSION_FILES)).toHaveLength(5);
    expect((await readSessionLedger(store)).size).toBe(5);
  });

  test('of interest, but of test symbols, makes a session missing', async () => {
    const store = memoryStore();
    const rows = WEEK.map((session) => [
      formatSession(session),
      [session === OLD ? flatRow('ZVZZT', 10) : flatRow('AAPL', 10), flatRow('ZTEST', 10)],
    ]);
    const { market, fetch } = await openMarket(marketOf({ rows: Object.fromEntries(rows) }));
    const result = await fetch(store);
    expect(result).toMatchObject({ sessionsEmpty: [], sessionsMissing: 1, sessionsFetched: 4 });
    expect(result.missing).toMatchObject([{ date: OLD_DATE, symbol: null, code: 'Unavailable' }]);
    expect(await entryOf(store, OLD)).toBeUndefined();
    expect(await lakeBars(store)).toEqual(marketBars(market, { symbols: ['AAPL'] }));
  });
});

describe('what was asked for early', () => {
  test.each([
    ['and was corrected', WEEK[0]!, [corrected(WEEK[0]!, 'AAAA')]],
    ['and stayed as it was', WEEK[0]!, []],
    ['and was corrected, the last but three', OLD, [corrected(OLD, 'AAAA')]],
    ['and stayed as it was, the last but three', OLD, []],
  ])('is asked for once more days later, and then no more: a session %s', async (_, session, corrections) => {
    const store = memoryStore();
    const { fetch, server, asked } = await openMarket(MARKET);
    await fetch(store, { from: session, to: session, now: () => atClose(session) });
    expect(isLanded(await entryOf(store, session))).toBe(true);
    server.set({ corrections: corrections.map((correction) => ({ ...correction, fromCall: 1 })) });
    asked();
    const truth = marketBars(correctedMarket(MARKET, corrections), { from: session });
    expect(await fetch(store, { from: session, to: LAST })).toMatchObject({ missing: [] });
    expect(asked().sessions).toContain(formatSession(session));
    expect(await lakeBars(store)).toEqual(truth);
    await consolidate(store);
    expect(await lakeBars(store)).toEqual(truth);
    await fetch(store, { from: session });
    expect(asked().sessions).toEqual(LAST_THREE);
  });

  test('is not restored from what a crashed run kept, but asked for again', async () => {
    const store = memoryStore();
    const { fetch, server, asked } = await openMarket(MARKET);
    const early = { from: OLD, to: OLD, now: () => atClose(OLD) };
    await expect(fetch(dyingStore(store, { at: 2, death: 'before' }).store, early)).rejects.toThrow('died at write 2');
    expect(await keysOf(store, SESSION_FILES)).toHaveLength(1);
    const correction = corrected(OLD, 'AAAA');
    server.set({ corrections: [{ ...correction, fromCall: 1 }] });
    asked();
    expect(await fetch(store, { from: OLD })).toMatchObject({ sessionsRestored: 0, sessionsFetched: 4, missing: [] });
    expect(asked().sessions).toEqual([OLD_DATE, ...LAST_THREE]);
    expect(await lakeBars(store)).toEqual(marketBars(correctedMarket(MARKET, [correction]), { from: OLD }));
    await fetch(store, { from: OLD });
    expect(asked().sessions).toEqual(LAST_THREE);
  });

  test('of chosen symbols: a bar that was not published at the first run comes a week later', async () => {
    const store = memoryStore();
    const early = SESSIONS.at(-6)!;
    const { fetch, server, asked } = await openMarket(LONG_MARKET, { traps: { beforeEndOfDay: [early] } });
    const symbols = ['AAAA'];
    await fetch(store, { symbols, now: () => atClose(early) });
    expect(await lakeBars(store)).toEqual(marketBars(LONG_MARKET, { symbols, to: early - 1 }));
    server.set({ beforeEndOfDay: [] });
    expect((await fetch(store, { symbols })).missing).toEqual([]);
    expect(await lakeBars(store)).toEqual(marketBars(LONG_MARKET, { symbols }));
    asked();
    await fetch(store, { symbols });
    expect(asked().ranges).toEqual([`AAAA ${formatSession(THIRD_LAST)} ${LAST_DATE}`]);
  });
});

describe('a ledger that a read damages', () => {
  /** A store whose nth read of the ledger, or every one, has a byte that is another. */
  const flipped = (store: ObjectStore, isFlipped: (read: number) => boolean): ObjectStore => {
    let reads = 0;
    return changedStore(store, {
      async get(key, call) {
        const object = await store.get(key, call);
        if (key !== SESSION_LEDGER_KEY || !isFlipped(++reads)) return object;
        return { ...object, body: object.body.map((byte, i) => (i === 40 ? byte ^ 1 : byte)) };
      },
    });
  };

  test.each([1, 2, 3])('loses nothing where it was one read (read %i)', async (n) => {
    const store = memoryStore();
    const { fetch, server, asked } = await openMarket(MARKET);
    await fetch(store);
    // It is damaged indeed: for good, it is empty.
    expect((await readSessionLedger(flipped(store, () => true))).size).toBe(0);
    const before = await readSessionLedger(store);
    expect(await readSessionLedger(flipped(store, (read) => read === 1))).toEqual(before);
    const correction = corrected(LAST, 'AAAA');
    server.set({ corrections: [{ ...correction, fromCall: 1 }] });
    asked();
    let reads = 0;
    expect(await fetch(flipped(store, () => ++reads === n))).toMatchObject({ stored: 1, missing: [] });
    // Its survey, its claim, its commit, and the one that was repeated.
    expect(reads).toBe(4);
    expect(asked().sessions).toEqual(LAST_THREE);
    const after = await readSessionLedger(store);
    expect([...after.values()].filter(isLanded).map(({ session }) => session)).toEqual(WEEK);
    expect(after.get(OLD)).toEqual(before.get(OLD));
    expect(await lakeBars(store)).toEqual(marketBars(correctedMarket(MARKET, [correction])));
  });
});

describe('chosen symbols', () => {
  test('of a date that is not over: it is missing, and nothing counts as known', async () => {
    const store = memoryStore();
    const { fetch, asked } = await openMarket(MARKET);
    const call = { symbols: ['AAAA', 'AAAB'], from: LAST, to: LAST };
    const result = await fetch(store, { ...call, now: () => atClose(LAST) - 120_000 });
    expect(result).toMatchObject({ symbolsKnown: 0, symbolsFetched: 0, missingCount: 1 });
    expect(result.missing).toMatchObject([{ date: LAST_DATE, symbol: null, code: 'Unavailable' }]);
    expect(asked().ranges).toEqual([]);
    expect(await fetch(store, call)).toMatchObject({ symbolsKnown: 0, symbolsFetched: 2, missing: [] });
    expect(await lakeBars(store)).toEqual(marketBars(MARKET, { symbols: call.symbols, from: LAST }));
  });

  const sessions = sessionsOf('2026-01-20', '2026-03-13');
  const first = sessionFrom('2026-02-17');
  const firstDate = formatSession(first);
  const wholeRange = `META ${formatSession(sessions[0]!)} ${LAST_DATE}`;
  const lastRange = `META ${formatSession(THIRD_LAST)} ${LAST_DATE}`;
  /** A market with META from a session on, listed long before or on the day, and SPY for ever, or not at all. */
  const metaMarket = ({ from = sessions[0]!, spy = true, listed = '2012-05-18' }): ReplayMarket => {
    const rows = sessions.map((session): [string, ReplayRow[]] => [
      formatSession(session),
      [flatRow('AAPL', 10), ...(session < from ? [] : [flatRow('META', 20)]), ...(spy ? [flatRow('SPY', 30)] : [])],
    ]);
    const market = marketOf({ rows: Object.fromEntries(rows) });
    const tickers = market.tickers.map((row) => (row.ticker === 'META' ? { ...row, list_date: listed } : row));
    return { ...market, tickers };
  };
  const symbols = ['META'];

  test.each<[string, number, Partial<Traps>]>([
    ['long after that', first, {}],
    ['three sessions after that', sessions[3]!, {}],
    ['well after the beginning of the plan’s history', first, { historyFrom: sessions[5]! }],
  ])('from a date before a ticker was taken over, %s: nothing is missing, and that is remembered', async (...args) => {
    const [, from, traps] = args;
    const store = memoryStore();
    const { market, fetch, asked } = await openMarket(metaMarket({ from }), { traps });
    expect(await fetch(store, { symbols })).toMatchObject({ missing: [], symbolsFetched: 1 });
    expect(await lakeBars(store)).toEqual(marketBars(market, { symbols }));
    asked();
    expect(await fetch(store, { symbols })).toMatchObject({ missing: [], stored: 0 });
    expect(asked().ranges).toEqual([lastRange]);
  });

  test('from a date before the plan’s history: that is told, and not remembered', async () => {
    const store = memoryStore();
    const { market, fetch, server, asked } = await openMarket(metaMarket({}), { traps: { historyFrom: first } });
    for (let run = 1; run <= 2; run++) {
      const { missing } = await fetch(store, { symbols });
      expect(missing).toMatchObject([{ date: null, symbol: 'META', code: 'NotEntitled' }]);
      expect(asked().ranges).toContain(wholeRange);
      expect(await lakeBars(store)).toEqual(marketBars(market, { symbols, from: first }));
    }
    server.set({ historyFrom: undefined });
    expect((await fetch(store, { symbols })).missing).toEqual([]);
    expect(asked().ranges).toContain(wholeRange);
    expect(await lakeBars(store)).toEqual(marketBars(market, { symbols }));
    await fetch(store, { symbols });
    expect(asked().ranges).toEqual([lastRange]);
  });

  test.each<[string, Partial<Traps>, { spy: boolean }]>([
    ['the details are not in the plan', { notEntitled: [/\/reference\/tickers\/META/] }, { spy: false }],
    ['the details fail', { failureRate: 1, failurePaths: /\/reference\/tickers\/META/ }, { spy: false }],
    ['the probe is not in the plan', { notEntitled: [/\/ticker\/SPY\//] }, { spy: true }],
    ['the probe fails', { failureRate: 1, failurePaths: /\/ticker\/SPY\// }, { spy: true }],
  ])('are stored also where it cannot be found out why they begin late: %s', async (_, traps, { spy }) => {
    const store = memoryStore();
    const failureKinds = ['error-500', 'unavailable-503'] as const;
    const { market, fetch, server, asked } = await openMarket(metaMarket({ from: first, spy, listed: firstDate }), {
      traps: { failureKinds, ...traps },
      maxAttempts: 2,
    });
    const result = await fetch(store, { symbols });
    expect(result.stored).toBe(marketBars(market, { symbols }).META!.length);
    expect(result.missing).toMatchObject([{ date: null, symbol: 'META', code: 'NotEntitled' }]);
    expect(await lakeBars(store)).toEqual(marketBars(market, { symbols }));
    expect((await lakeWatermarks(store).read()).get('META')).toMatchObject({ lastSession: LAST, checkedFrom: first });
    server.set({ failureRate: 0, notEntitled: [] });
    asked();
    expect((await fetch(store, { symbols })).missing).toEqual([]);
    expect(asked().ranges).toContain(wholeRange);
    await fetch(store, { symbols });
    expect(asked().ranges).toEqual([lastRange]);
  });

  test('an answer wins over a daily file that another run wrote after the run began, of many symbols', async () => {
    const store = memoryStore();
    const market = syntheticReplayMarket({ symbols: 25, sessions: WEEK });
    const { api, server, fetch } = await openMarket(market);
    const rows = market.rowsOf(LAST).map((row): ReplayRow => ({ ...row, v: row.v + 1 }));
    const runBetween = async (): Promise<void> => {
      await fetch(store, { from: LAST });
      expect(await keysOf(store, BRONZE_PREFIX)).toContain(dailyKey('AAAA', LAST));
      server.set({ corrections: [{ session: LAST, rows, fromCall: 1 }] });
    };
    let between: Promise<void> | undefined;
    const waiting: MarketApi = {
      ...api,
      async get(path, query, read, call) {
        between ??= path.includes('/range/') ? runBetween() : undefined;
        await between;
        return api.get(path, query, read, call);
      },
    };
    const all = Object.keys(marketBars(market));
    const call = { symbols: all, from: WEEK[0], now: () => afterClose(LAST) };
    expect(await ingestOhlcv(store, waiting, call)).toMatchObject({ symbolsFetched: 25, missing: [] });
    const truth = marketBars(correctedMarket(market, [{ session: LAST, rows }]));
    expect(await lakeBars(store)).toEqual(truth);
    await consolidate(store);
    expect(await lakeBars(store)).toEqual(truth);
  });

  test('are asked for again where an answer has fewer rows than it counts', async () => {
    const store = memoryStore();
    const results = MARKET.rowsOfTicker('AAAA', WEEK[0]!, LAST).map(({ session, row: { T: _, ...row } }) => {
      return { ...row, t: newYorkTime(session, 0) };
    });
    const body = { status: 'OK', adjusted: false, resultsCount: 5, results: results.slice(0, 2) };
    const { fetch, asked } = await openMarket(MARKET, {
      traps: { script: [{ match: /\/ticker\/AAAA\/range\//, times: 2, respond: { status: 200, body } }] },
    });
    expect((await fetch(store, { symbols: ['AAAA'] })).missing).toEqual([]);
    expect(asked().ranges).toHaveLength(3);
    expect(await lakeBars(store)).toEqual(marketBars(MARKET, { symbols: ['AAAA'] }));
  });
});

describe('the ledger', () => {
  test.each([
    ['a session of the last three', LAST],
    ['an earlier session', OLD],
  ])('has the missing symbols of the last answer, also where its bars are the same: %s', async (_, session) => {
    const store = memoryStore();
    const fault = (kind: 'dropped' | 'null-price') => ({ kind, tickers: ['AAAB'], sessions: [session] });
    const { fetch, server } = await openMarket(MARKET, { traps: { rowFaults: [fault('dropped')] } });
    const call = { from: session, to: session, now: () => afterClose(session) };
    await fetch(store, call);
    const truth = marketBars(MARKET, { from: session, to: session, without: ['AAAB'] });
    const { digest } = (await entryOf(store, session))!;
    for (const kind of ['null-price', 'dropped', 'null-price', 'null-price', 'dropped'] as const) {
      server.set({ rowFaults: [fault(kind)] });
      const symbols = kind === 'dropped' ? [] : ['AAAB'];
      expect((await fetch(store, call)).missing.map(({ symbol }) => symbol)).toEqual(symbols);
      expect(await entryOf(store, session)).toMatchObject({ digest, missing: symbols });
      expect(await readSessionFile(store, session, digest)).toMatchObject({ missing: symbols });
      expect(await lakeBars(store)).toEqual(truth);
    }
    // Long after, the symbol is there.
    server.set({ rowFaults: [fault('null-price')] });
    await fetch(store);
    expect(await entryOf(store, session)).toMatchObject({ digest, missing: ['AAAB'] });
    server.set({ rowFaults: [] });
    expect((await fetch(store)).missing).toEqual([]);
    expect(await entryOf(store, session)).toMatchObject({ missing: [], rows: MARKET.rowsOf(session).length });
    expect(await lakeBars(store)).toEqual(marketBars(MARKET));
  });

  test.each([
    ['where bars were deleted', async (store: ObjectStore) => store.delete(dailyKey('AAAA', OLD))],
    [
      'where nothing but the answer is left',
      async (store: ObjectStore) => {
        for (const key of [SESSION_LEDGER_KEY, ...(await keysOf(store, BRONZE_PREFIX))]) await store.delete(key);
      },
    ],
  ])('keeps whose a session is when the run of another source restores it: %s', async (_, lose) => {
    const store = memoryStore();
    const { fetch, asked } = await openMarket(MARKET);
    await fetch(store, { from: OLD, to: OLD });
    const before = (await entryOf(store, OLD))!;
    await lose(store);
    const other: BarSource = { name: 'flatfiles', fetchSession: () => Promise.reject(new Error('was asked')) };
    const call = { from: OLD, to: OLD, now: () => afterClose(LAST) + 1 };
    expect(await ingestFrom(store, other, call)).toMatchObject({ sessionsRestored: 1, missing: [] });
    const { source, askedAt, digest } = before;
    expect(source).toBe('grouped');
    expect(await entryOf(store, OLD)).toMatchObject({ source, askedAt, digest });
    expect(await lakeBars(store)).toEqual(marketBars(MARKET, { from: OLD, to: OLD }));
    asked();
    expect(await fetch(store, { from: OLD, to: OLD })).toMatchObject({ sessionsKnown: 1 });
    expect(asked().sessions).toEqual([]);
  });

  test('two runs that keep the same answer at once do not fail', async () => {
    const store = memoryStore();
    const { fetch } = await openMarket(MARKET);
    await expect(fetch(dyingStore(store, { at: 2, death: 'before' }).store, { from: LAST })).rejects.toThrow('died');
    const [key] = await keysOf(store, SESSION_FILES);
    // Both find the answer of the run that died before either of them replaces it.
    const both = Promise.withResolvers<void>();
    let reads = 0;
    const meeting = changedStore(store, {
      async get(name, call) {
        const object = await store.get(name, call);
        if (name === key && ++reads === 2) both.resolve();
        if (name === key) await both.promise;
        return object;
      },
    });
    const runs = [1, 2].map((ms) => fetch(meeting, { from: LAST, now: () => afterClose(LAST) + ms }));
    for (const { missing } of await Promise.all(runs)) {
      expect(missing.every(({ code }) => code === 'Conflict')).toBe(true);
    }
    expect(reads).toBeGreaterThan(1);
    expect((await fetch(store, { from: LAST })).missing).toEqual([]);
    expect(await lakeBars(store)).toEqual(marketBars(MARKET, { from: LAST }));
  });
});

test('a lake that cannot be listed is brought the last session of what is asked for up to a date', async () => {
  const store = memoryStore();
  const { fetch, asked } = await openMarket(LONG_MARKET);
  const unlisted = changedStore(store, {
    // biome-ignore lint/correctness/useYield: it fails before
    async *list() {
      throw new Error('the listing was lost');
    },
  });
  // A Sunday.
  const to = sessionFrom('2026-03-08');
  const result = await fetch(unlisted, { from: undefined, to });
  expect(result).toMatchObject({ fallback: 'the listing was lost', sessions: 1, lastDate: '2026-03-06' });
  expect(asked().sessions).toEqual(['2026-03-06']);
});

test.each<[string, { skipped: number; symbols?: readonly string[] }]>([
  ['', { skipped: 2 }],
  ['  ', { skipped: 2 }],
  [' AAAB , ZTEST', { skipped: 2, symbols: ['AAAA', 'ZVZZT'] }],
])('EXCLUDED_SYMBOLS "%s" is read as it is meant', async (list, { skipped, symbols = ['AAAA', 'AAAB'] }) => {
  const folder = await temporaryFolder();
  const rows = ['AAAA', 'AAAB', 'ZTEST', 'ZVZZT'].map((ticker) => flatRow(ticker, 10));
  const { server } = await openMarket(marketOf({ rows: { [LAST_DATE]: rows } }));
  const env = { POLYGON_API_KEY: server.apiKey, POLYGON_BASE_URL: server.url, EXCLUDED_SYMBOLS: list };
  const args = ['ingest', 'ohlcv', '--date', LAST_DATE, '--lake', `file:${folder}`, '--json'];
  const { code, stderr, json } = await runCommand(args, { env });
  expect({ code, stderr }).toMatchObject({ code: 0 });
  expect(json()).toMatchObject({ skipped, missingCount: 0 });
  expect(Object.keys(await lakeBars(fileStore(folder))).sort()).toEqual(symbols);
});

describe('a database', () => {
  test.each<[string, IngestOhlcvOptions, readonly string[]]>([
    ['daily', { from: THIRD_LAST }, [dailyKey('AAAB', LAST)]],
    ['bulk', { from: WEEK[0] }, [dataKey('AAAB')]],
    ['chosen symbols', { from: WEEK[0], symbols: ['AAAA', 'AAAB'] }, [dataKey('AAAB')]],
  ])('does not get bars that bronze did not take (%s)', async (_, call, keys) => {
    const store = memoryStore();
    const check = (key: string): void => {
      if (keys.includes(key)) throw new BatchLayerError('Unavailable', `${key}: the disk is full`);
    };
    const failing = changedStore(store, {
      async put(key, ...rest) {
        check(key);
        return store.put(key, ...rest);
      },
      async putStream(key, ...rest) {
        check(key);
        return store.putStream(key, ...rest);
      },
    });
    const got: string[] = [];
    const sink = {
      async upsertBars({ symbols, bars }: { symbols: readonly string[]; bars: { session: Int32Array } }) {
        got.push(...symbols.map((symbol, i) => `${symbol} ${formatSession(bars.session[i]!)}`));
      },
    };
    const result = await fetchWith(failing, { ...call, sink });
    expect(result.missing).toMatchObject([{ symbol: 'AAAB', code: 'Unavailable' }]);
    const taken = Object.entries(await lakeBars(store)).flatMap(([symbol, rows]) => {
      return rows.map(([date]) => `${symbol} ${date}`);
    });
    expect(got.sort()).toEqual(taken.sort());
    expect(got).not.toContain(`AAAB ${LAST_DATE}`);
    got.length = 0;
    expect((await fetchWith(store, { ...call, sink })).missing).toEqual([]);
    expect(got).toContain(`AAAB ${LAST_DATE}`);
  });

  const fetchWith = async (store: ObjectStore, call: IngestOhlcvOptions) => {
    return (await openMarket(MARKET)).fetch(store, call);
  };
});
