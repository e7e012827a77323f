import { writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { ingestCsv } from '../../../src/ingest/index.ts';
import { planRange } from '../../../src/ingest/ohlcv/ingest-histories.ts';
import { consolidate, memoryStore, type ObjectStore } from '../../../src/lake/index.ts';
import type { Watermark } from '../../../src/lake/watermarks.ts';
import { formatSession, sessionFrom } from '../../../src/session.ts';
import { barsToCsv, type Choice, lakeBars, marketBars } from '../../support/lake-bars.ts';
import { keysOf } from '../../support/lake-reader.ts';
import { type ReplayMarket, syntheticReplayMarket } from '../../support/market/replay-market.ts';
import { afterClose, openMarket, sessionsOf } from '../../support/replay-api.ts';
import { temporaryFolder } from '../../support/temporary.ts';

const SESSIONS = sessionsOf('2026-01-20', '2026-03-13');
const WEEK = SESSIONS.slice(-5);
const [FIRST, LAST, MONDAY] = [SESSIONS[0]!, SESSIONS.at(-1)!, WEEK[0]!];
const FRIDAY = MONDAY - 3;
const CORRECTABLE = `${formatSession(SESSIONS.at(-3)!)} ${formatSession(LAST)}`;
const MARKET = syntheticReplayMarket({ symbols: 30, sessions: SESSIONS, halted: 0.02 });
const ALL = Object.keys(marketBars(MARKET)).sort();

/** A lake filled from CSV files with a part of the market's bars. */
async function lakeWith(choice: Choice, { consolidated = true } = {}): Promise<ObjectStore> {
  const store = memoryStore();
  const path = `${await temporaryFolder()}/bars.csv`;
  await writeFile(path, barsToCsv(marketBars(MARKET, choice)));
  await ingestCsv(store, [path], { consolidated });
  return store;
}

describe('a symbol that comes into a lake with earlier history', () => {
  const NEW = ['AAAC', 'BRK.B'];
  const range = (symbol: string) => `${symbol} ${formatSession(FIRST)} ${formatSession(MONDAY - 1)}`;
  const run = { from: MONDAY };

  test.each([{ consolidated: true }, { consolidated: false }])(
    'gets its own history by one call, once (%j)',
    async (options) => {
      const store = await lakeWith({ to: FRIDAY, without: NEW }, options);
      const { fetch, asked } = await openMarket(MARKET);
      const result = await fetch(store, run);
      expect(result).toMatchObject({ symbolsFetched: 2, listingsPending: 0, missing: [] });
      expect(asked().ranges).toEqual(NEW.map(range));
      expect(await lakeBars(store)).toEqual(marketBars(MARKET));
      expect(await fetch(store, run)).toMatchObject({ symbolsFetched: 0, stored: 0 });
      await consolidate(store);
      await fetch(store, run);
      expect(asked().ranges).toEqual([]);
    },
  );

  test('gets its history also where it comes in a bulk of sessions', async () => {
    const store = await lakeWith({ to: sessionFrom('2026-02-27'), without: NEW });
    const { fetch, asked } = await openMarket(MARKET);
    await fetch(store, { from: sessionFrom('2026-03-02') });
    expect(asked().ranges).toHaveLength(2);
    expect(await lakeBars(store)).toEqual(marketBars(MARKET));
  });

  test('is asked for by the next run where the call fails, and missing until then', async () => {
    const store = await lakeWith({ to: FRIDAY, without: NEW });
    const { fetch, server, asked } = await openMarket(MARKET, {
      traps: { failureRate: 1, failureKinds: ['error-500'], failurePaths: /ticker\/BRK\.B\/range/ },
    });
    const { missing } = await fetch(store, run);
    expect(missing).toMatchObject([{ date: null, symbol: 'BRK.B', code: 'Unavailable' }]);
    const before = FRIDAY;
    const absent = marketBars(MARKET, { symbols: ['BRK.B'], to: before })['BRK.B']!.map(([date]) => `BRK.B ${date}`);
    expect(await lakeBars(store)).toEqual(marketBars(MARKET, { without: absent }));
    server.set({ failureRate: 0 });
    asked();
    expect((await fetch(store, run)).missing).toEqual([]);
    expect(asked().ranges).toEqual([range('BRK.B')]);
    expect(await lakeBars(store)).toEqual(marketBars(MARKET));
  });

  test('that has no earlier bars is not asked for again', async () => {
    const listed: ReplayMarket = {
      ...MARKET,
      rowsOf: (session) => MARKET.rowsOf(session).filter(({ T }) => session >= MONDAY || !NEW.includes(T)),
      rowsOfTicker: (ticker, from, to) => MARKET.rowsOfTicker(ticker, NEW.includes(ticker) ? MONDAY : from, to),
    };
    const store = await lakeWith({ to: FRIDAY, without: NEW });
    const { fetch, asked } = await openMarket(listed);
    const { symbolsWithoutBars, missing } = await fetch(store, run);
    expect({ symbols: symbolsWithoutBars.toSorted(), missing }).toEqual({ symbols: NEW, missing: [] });
    expect(asked().ranges).toHaveLength(2);
    expect(await fetch(store, run)).toMatchObject({ symbolsFetched: 0 });
    expect(asked().ranges).toEqual([]);
    expect(await lakeBars(store)).toEqual(marketBars(listed));
  });

  test('gets what nobody has asked for also where it was asked for by name from a later session on', async () => {
    const store = await lakeWith({ to: FRIDAY, without: NEW });
    const { fetch, asked } = await openMarket(MARKET);
    await fetch(store, { symbols: NEW, from: MONDAY });
    asked();
    await fetch(store, run);
    expect(asked().ranges).toEqual(NEW.map(range));
    expect(await lakeBars(store)).toEqual(marketBars(MARKET));
  });

  test('has no history to ask for in a lake that was filled session by session', async () => {
    const store = memoryStore();
    const { fetch, asked } = await openMarket(
      syntheticReplayMarket({ symbols: 30, sessions: SESSIONS, listedLater: 10 }),
    );
    await fetch(store, { from: SESSIONS.at(-20), to: FRIDAY });
    await fetch(store, { from: MONDAY });
    expect(asked().ranges).toEqual([]);
  });

  test('a first backfill of an empty lake asks for no symbol by itself', async () => {
    const { fetch, asked } = await openMarket(MARKET);
    expect(await fetch(memoryStore())).toMatchObject({ symbolsFetched: 0, listingsPending: 0 });
    expect(asked().ranges).toEqual([]);
  });
});

describe('chosen symbols', () => {
  test('come by a call each, for as long as is asked for, and no session is asked for as a whole', async () => {
    const store = memoryStore();
    const { fetch, asked } = await openMarket(MARKET);
    const symbols = ['AAAA', 'AAAB', 'NULL'];
    const result = await fetch(store, { symbols });
    expect(result).toMatchObject({ symbolsFetched: 3, symbolsKnown: 0, sessionsFetched: 0, corporateActions: null });
    const range = `${formatSession(FIRST)} ${formatSession(LAST)}`;
    expect(asked()).toEqual({ sessions: [], ranges: symbols.map((symbol) => `${symbol} ${range}`) });
    expect(await lakeBars(store)).toEqual(marketBars(MARKET, { symbols }));
  });

  test('are not asked for again but for the last three sessions', async () => {
    const store = memoryStore();
    const { fetch, asked } = await openMarket(MARKET);
    const symbols = ['AAAA', 'AAAB'];
    await fetch(store, { symbols });
    asked();
    expect(await fetch(store, { symbols })).toMatchObject({ symbolsFetched: 2, stored: 0, missing: [] });
    expect(asked().ranges).toEqual(symbols.map((symbol) => `${symbol} ${CORRECTABLE}`));
    // A range in the midst of what is known, before the last three.
    expect(await fetch(store, { symbols, from: FIRST + 7, to: FRIDAY })).toMatchObject({ symbolsKnown: 2 });
    expect(asked().ranges).toEqual([]);
  });

  test('are asked for as a whole again where that is forced', async () => {
    const store = memoryStore();
    const { fetch, asked } = await openMarket(MARKET);
    await fetch(store, { symbols: ['AAAA'] });
    asked();
    await fetch(store, { symbols: ['AAAA'], force: true });
    expect(asked().ranges).toEqual([`AAAA ${formatSession(FIRST)} ${formatSession(LAST)}`]);
  });

  test('are asked for further back where earlier sessions are wanted', async () => {
    const store = memoryStore();
    const { fetch, asked } = await openMarket(MARKET);
    await fetch(store, { symbols: ['AAAA'], from: MONDAY });
    await fetch(store, { symbols: ['AAAA'] });
    expect(asked().ranges).toEqual([
      `AAAA ${formatSession(FIRST)} ${formatSession(LAST)}`,
      `AAAA ${formatSession(MONDAY)} ${formatSession(LAST)}`,
    ]);
    expect(await lakeBars(store)).toEqual(marketBars(MARKET, { symbols: ['AAAA'] }));
  });

  test('what is known of them is still known after some weeks without a run', async () => {
    const store = memoryStore();
    const { fetch, asked } = await openMarket(MARKET);
    const friday = sessionFrom('2026-02-13');
    await fetch(store, { symbols: ['AAAA'], now: () => afterClose(friday) });
    await fetch(store, { symbols: ['AAAA'] });
    // The last three sessions of then could still be corrected.
    expect(asked().ranges).toEqual([
      `AAAA ${formatSession(FIRST)} 2026-02-13`,
      `AAAA 2026-02-11 ${formatSession(LAST)}`,
    ]);
    expect(await lakeBars(store)).toEqual(marketBars(MARKET, { symbols: ['AAAA'] }));
    await fetch(store, { symbols: ['AAAA'] });
    expect(asked().ranges).toEqual([`AAAA ${CORRECTABLE}`]);
  });

  test('one without bars is remembered', async () => {
    const store = memoryStore();
    const { fetch, asked } = await openMarket(MARKET);
    const range = { symbols: ['NONE', 'AAAA'], to: FRIDAY };
    expect(await fetch(store, range)).toMatchObject({ symbolsWithoutBars: ['NONE'], missing: [] });
    // The third shows where the plan's history begins.
    expect(asked().ranges).toHaveLength(3);
    expect(await fetch(store, range)).toMatchObject({ symbolsKnown: 2, symbolsFetched: 0 });
    expect(asked().ranges).toEqual([]);
    expect(await lakeBars(store)).toEqual(marketBars(MARKET, { symbols: ['AAAA'], to: FRIDAY }));
  });

  test('one that fails is missing, the others land, and the next run asks for it alone', async () => {
    const store = memoryStore();
    const { fetch, server, asked } = await openMarket(MARKET, {
      traps: { failureRate: 1, failureKinds: ['unavailable-503'], failurePaths: /ticker\/AAAB\// },
    });
    const call = { symbols: ['AAAA', 'AAAB', 'AAAC'], to: FRIDAY };
    const { missing } = await fetch(store, call);
    expect(missing).toMatchObject([{ date: null, symbol: 'AAAB', code: 'Unavailable' }]);
    expect(await lakeBars(store)).toEqual(marketBars(MARKET, { to: FRIDAY, symbols: ['AAAA', 'AAAC'] }));
    server.set({ failureRate: 0 });
    asked();
    expect((await fetch(store, call)).missing).toEqual([]);
    expect(asked().ranges).toEqual([`AAAB ${formatSession(FIRST)} ${formatSession(FRIDAY)}`]);
    expect(await lakeBars(store)).toEqual(marketBars(MARKET, call));
  });

  test('each is listed when its answer is there: what came meanwhile does not win over it', async () => {
    const store = memoryStore();
    const { fetch } = await openMarket(MARKET);
    await fetch(store, { from: MONDAY });
    const { metrics, symbolsFetched } = await fetch(store, { symbols: ALL });
    expect(symbolsFetched).toBe(30);
    expect(metrics.requests.LIST).toBe(30);
    expect(await lakeBars(store)).toEqual(marketBars(MARKET));
  });

  test('take over daily files: what the API says later wins over them', async () => {
    const store = memoryStore();
    const { fetch, server } = await openMarket(MARKET);
    await fetch(store, { from: LAST });
    const row = { ...MARKET.rowsOf(LAST).find(({ T }) => T === 'AAAA')!, v: 7 };
    server.set({ corrections: [{ session: LAST, rows: [row], fromCall: 1 }] });
    await fetch(store, { symbols: ['AAAA'] });
    expect((await lakeBars(store)).AAAA?.at(-1)?.[5]).toBe(7);
    await consolidate(store);
    expect((await lakeBars(store)).AAAA?.at(-1)?.[5]).toBe(7);
  });

  test('come in pages: the next one begins after the last row, and is asked for with raw prices', async () => {
    const store = memoryStore();
    const split = syntheticReplayMarket({ symbols: 12, sessions: SESSIONS, split: 12 });
    const { fetch, server, asked } = await openMarket(split, { traps: { pageRows: 10 } });
    await fetch(store, { symbols: ['AAPw'] });
    expect(asked().ranges).toHaveLength(Math.ceil(SESSIONS.length / 10));
    expect(server.count('cursor=')).toBe(0);
    expect(await lakeBars(store)).toEqual(marketBars(split, { symbols: ['AAPw'] }));
  });

  test('a page that fails, or leads nowhere, makes the whole symbol missing, and none of it lands', async () => {
    const store = memoryStore();
    const stuck = { status: 'OK', results: [], next_url: 'https://api.polygon.io/v2/aggs?cursor=x' };
    const { market, fetch, server } = await openMarket(MARKET, {
      traps: { pageRows: 10, script: [{ match: /AAAA.*2026-02-/, times: 99, respond: { status: 200, body: stuck } }] },
    });
    const { missing } = await fetch(store, { symbols: ['AAAA'] });
    expect(missing).toMatchObject([{ symbol: 'AAAA', code: 'Unavailable' }]);
    expect(await keysOf(store, 'bronze/')).toEqual([]);
    server.set({ script: [] });
    await fetch(store, { symbols: ['AAAA'] });
    expect(await lakeBars(store)).toEqual(marketBars(market, { symbols: ['AAAA'] }));
  });

  test('a database gets their bars, and its failure is told, not the run’s', async () => {
    const store = memoryStore();
    const got: number[] = [];
    const sink = {
      async upsertBars({ symbols, bars }: { symbols: readonly string[]; bars: { session: Int32Array } }) {
        if (symbols[0] === 'AAAB') throw new Error('the database is full');
        got.push(bars.session.length);
        expect(new Set(symbols)).toEqual(new Set(['AAAA']));
      },
    };
    const { fetch } = await openMarket(MARKET);
    const result = await fetch(store, { symbols: ['AAAA', 'AAAB'], sink });
    expect(got).toEqual([marketBars(MARKET).AAAA!.length]);
    expect(result).toMatchObject({ missing: [], databaseFailures: [{ of: 'AAAB', message: 'the database is full' }] });
    expect(await lakeBars(store)).toEqual(marketBars(MARKET, { symbols: ['AAAA', 'AAAB'] }));
  });
});

describe('planRange', () => {
  const known = (checkedFrom: number, checkedThrough: number): Watermark => {
    return { symbol: 'A', lastSession: checkedThrough, checkedFrom, checkedThrough };
  };
  const plan = (mark: Watermark | undefined, { force = false, window = SESSIONS as readonly number[] } = {}) => {
    const range = planRange('A', window, mark, { force });
    return range && [formatSession(range.from), formatSession(range.to)];
  };
  const [first, last, third] = [FIRST, LAST, SESSIONS.at(-3)!].map(formatSession);

  test.each([
    ['nothing is known', undefined, [first, last]],
    ['sessions were seen, and the symbol never asked for', { ...known(-1, -1), lastSession: LAST }, [first, last]],
    ['all of it is known, but for what may be corrected', known(FIRST, SESSIONS.at(-4)!), [third, last]],
    ['more than it is known', known(FIRST - 365, SESSIONS.at(-4)!), [third, last]],
    ['its beginning is not known', known(FIRST + 1, LAST), [first, last]],
    ['its end is not known', known(FIRST, FRIDAY), [formatSession(MONDAY), last]],
    ['an end long ago is known', known(FIRST - 365, FIRST - 30), [first, last]],
  ])('where %s', (_, mark, expected) => {
    expect(plan(mark)).toEqual(expected);
    expect(plan(mark, { force: true })).toEqual([first, last]);
  });

  test('asks for nothing of a known range that is no longer corrected, and of an empty one', () => {
    const window = SESSIONS.slice(0, 10);
    expect(plan(known(FIRST, LAST), { window })).toBeUndefined();
    expect(plan(undefined, { window: [] })).toBeUndefined();
  });
});
