import { readdir } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { TEST_SYMBOLS } from '../../../src/ingest/index.ts';
import {
  BRONZE_PREFIX,
  consolidate,
  dailyKey,
  fileStore,
  memoryStore,
  type ObjectStore,
} from '../../../src/lake/index.ts';
import { formatSession, sessionFrom } from '../../../src/session.ts';
import { queryDuckDB } from '../../support/duckdb.ts';
import { barRow, lakeBars, marketBars } from '../../support/lake-bars.ts';
import { keysOf } from '../../support/lake-reader.ts';
import {
  correctedMarket,
  flatRow,
  marketOf,
  type ReplayRow,
  syntheticReplayMarket,
} from '../../support/market/replay-market.ts';
import type { RowFault } from '../../support/market/row-faults.ts';
import type { ScriptedAnswer } from '../../support/market/traps.ts';
import { afterClose, openMarket, sessionsOf } from '../../support/replay-api.ts';
import { runCommand } from '../../support/run-command.ts';
import { temporaryFolder } from '../../support/temporary.ts';

const SESSIONS = sessionsOf('2026-03-02', '2026-03-13');
const WEEK = SESSIONS.slice(-5);
const [LAST, OLD] = [SESSIONS.at(-1)!, SESSIONS.at(-4)!];
const [LAST_DATE, OLD_DATE] = [formatSession(LAST), formatSession(OLD)];
const GROUPED = /\/grouped\//;

const synthetic = (sessions: readonly number[] = WEEK) =>
  syntheticReplayMarket({ symbols: 20, sessions, halted: 0.03 });
const WEEK_MARKET = synthetic();

/** Opens the market of the last week with rows spoilt on one session. */
const openSpoilt = (...faults: readonly RowFault[]) => {
  return openMarket(WEEK_MARKET, { traps: { rowFaults: faults.map((fault) => ({ sessions: [LAST], ...fault })) } });
};

describe('trap 5: symbols', () => {
  test('trap 5: those that differ in case, and odd but real ones, each have a folder and read back', async () => {
    const folder = await temporaryFolder();
    const { market, fetch } = await openMarket(synthetic(SESSIONS));
    await fetch(fileStore(folder));
    // Some sessions are in daily files, some in data.parquet.
    await fetch(fileStore(folder), { from: LAST, force: true });
    await consolidate(fileStore(folder), { retentionDays: 100_000 });
    const symbols = Object.keys(marketBars(market)).sort();
    expect(symbols).toEqual(
      expect.arrayContaining(['AAPW', 'AAPw', 'TRUE', 'NAN', 'NULL', 'CON', 'BRK.B', 'BAC.WS.A']),
    );
    expect((await readdir(`${folder}/${BRONZE_PREFIX}`)).sort()).toEqual(symbols.map((symbol) => `symbol=${symbol}`));
    const rows = await queryDuckDB(`
      SELECT symbol, strftime(date, '%Y-%m-%d') AS date, open, high, low, close, volume, vwap, trades
      FROM read_parquet('${folder}/${BRONZE_PREFIX}*/data.parquet', hive_partitioning = false) ORDER BY symbol, date`);
    const bars = symbols.flatMap((symbol) => {
      return marketBars(market)[symbol]!.map((row) => [
        symbol,
        ...row.map((v) => (v === -1 || Number.isNaN(v) ? null : v)),
      ]);
    });
    expect(rows.map((row) => Object.values(row))).toEqual(bars);
  });

  test('trap 5: what is no symbol is quarantined, and no path is made of it', async () => {
    const store = memoryStore();
    const { market, fetch } = await openSpoilt({ kind: 'bad-symbol' });
    const result = await fetch(store);
    expect(result).toMatchObject({ quarantined: 4, missing: [] });
    expect(await faultsIn(store, result.quarantine)).toEqual([
      ' bad_symbol',
      '../x bad_symbol',
      'A B bad_symbol',
      'A/B bad_symbol',
    ]);
    expect(await lakeBars(store)).toEqual(marketBars(market));
    const folders = (await keysOf(store, BRONZE_PREFIX)).map((key) => key.split('/')[2]);
    expect([...new Set(folders)]).toEqual(
      Object.keys(marketBars(market))
        .sort()
        .map((symbol) => `symbol=${symbol}`),
    );
  });

  test('trap 5: one symbol is asked for as it is written', async () => {
    const store = memoryStore();
    const { market, fetch, asked } = await openMarket(synthetic());
    await fetch(store, { symbols: ['AAPw', 'BAC.WS.A', 'NULL'] });
    const range = `${formatSession(WEEK[0]!)} ${LAST_DATE}`;
    expect(asked().ranges).toEqual([`AAPw ${range}`, `BAC.WS.A ${range}`, `NULL ${range}`]);
    expect(await lakeBars(store)).toEqual(marketBars(market, { symbols: ['AAPw', 'BAC.WS.A', 'NULL'] }));
  });
});

describe('trap 6: the status, and answers without bars', () => {
  const script = (body: unknown): readonly ScriptedAnswer[] => [
    { match: GROUPED, times: 1, respond: { status: 200, body } },
  ];

  test.each([
    ['an error', { status: 'ERROR', error: 'Something went wrong' }],
    ['an error, with bars', { status: 'ERROR', resultsCount: 1, results: [flatRow('AAAA', 5)] }],
    ['a status nobody knows', { status: 'LATER', results: [flatRow('AAAA', 5)] }],
    ['an array', [flatRow('AAAA', 5)]],
    ['results that are no array', { status: 'OK', results: { AAAA: 5 } }],
  ])('trap 6: %s in an answer with 200 is no answer: it is asked again', async (_, body) => {
    const store = memoryStore();
    const { market, fetch, asked } = await openMarket(synthetic(), { traps: { script: script(body) } });
    expect((await fetch(store, { from: LAST })).missing).toEqual([]);
    expect(asked().sessions).toEqual([LAST_DATE, LAST_DATE]);
    expect(await lakeBars(store)).toEqual(marketBars(market, { from: LAST }));
  });

  test('trap 6: DELAYED is success', async () => {
    const store = memoryStore();
    const { market, fetch, asked } = await openMarket(synthetic(), { traps: { delayed: true } });
    expect((await fetch(store)).missing).toEqual([]);
    expect(asked().sessions).toEqual(WEEK.map(formatSession));
    await fetch(store, { symbols: ['AAAA'], from: SESSIONS[0] });
    expect(await lakeBars(store)).toEqual(marketBars(market));
  });

  test.each(['nullResults', 'halfResults'] as const)(
    'trap 6: a session is asked for again while its answer is not whole (%s), and then lands',
    async (trap) => {
      const store = memoryStore();
      const times = new Map([
        [LAST, 5],
        [OLD, 3],
      ]);
      const { market, fetch, asked } = await openMarket(synthetic(), { traps: { [trap]: times } });
      expect(await fetch(store)).toMatchObject({ missing: [], sessionsEmpty: [] });
      const { sessions } = asked();
      expect(sessions.filter((date) => date === LAST_DATE)).toHaveLength(6);
      expect(sessions.filter((date) => date === OLD_DATE)).toHaveLength(4);
      expect(await lakeBars(store)).toEqual(marketBars(market));
    },
  );

  test.each(['nullResults', 'halfResults'] as const)(
    'trap 6: where the answer never gets whole (%s) the session is missing, and had by the next run',
    async (trap) => {
      const store = memoryStore();
      const { market, fetch, server } = await openMarket(synthetic(), { traps: { [trap]: new Map([[LAST, 99]]) } });
      expect((await fetch(store)).missing).toMatchObject([{ date: LAST_DATE, symbol: null, code: 'Unavailable' }]);
      expect(await lakeBars(store)).toEqual(marketBars(market, { to: LAST - 1 }));
      server.set({ [trap]: new Map() });
      expect((await fetch(store)).missing).toEqual([]);
      expect(await lakeBars(store)).toEqual(marketBars(market));
    },
  );

  test('trap 6: an old session without bars is empty, remembered, and not asked for again', async () => {
    const store = memoryStore();
    const dates = WEEK.map(formatSession);
    const rows = Object.fromEntries(dates.map((date) => [date, date === OLD_DATE ? [] : [flatRow('AAPL', 10)]]));
    const { market, fetch, asked } = await openMarket(marketOf({ rows }));
    const first = await fetch(store);
    expect(first).toMatchObject({ sessionsEmpty: [OLD_DATE], missing: [], sessionsMissing: 0 });
    expect(asked().sessions.filter((date) => date === OLD_DATE).length).toBeGreaterThan(1);
    expect(await keysOf(store, `processing_metadata/sessions/date=${OLD_DATE}/`)).toHaveLength(1);
    expect(await lakeBars(store)).toEqual(marketBars(market));
    expect(await fetch(store)).toMatchObject({ sessionsFetched: 3, sessionsKnown: 2 });
    expect(asked().sessions).toEqual(dates.slice(-3));
  });

  test('trap 6: where many old sessions have no bars at once it is not believed: they are missing', async () => {
    const store = memoryStore();
    const whole = synthetic(SESSIONS);
    const emptyUpTo = (count: number) =>
      marketOf({
        rows: Object.fromEntries(
          SESSIONS.map((session, i) => [formatSession(session), i < count ? [] : whole.rowsOf(session)]),
        ),
      });
    const dates = SESSIONS.map(formatSession);
    const { missing } = await (await openMarket(emptyUpTo(5))).fetch(store);
    expect(missing.map(({ date, code }) => `${date} ${code}`)).toEqual(
      dates.slice(0, 5).map((date) => `${date} Unavailable`),
    );
    expect(await lakeBars(store)).toEqual(marketBars(whole, { from: SESSIONS[5]! }));
    const { fetch, asked } = await openMarket(whole);
    expect((await fetch(store)).missing).toEqual([]);
    expect(asked().sessions).toEqual([...dates.slice(0, 5), ...dates.slice(-3)]);
    expect(await lakeBars(store)).toEqual(marketBars(whole));

    const few = await (await openMarket(emptyUpTo(4))).fetch(memoryStore());
    expect(few).toMatchObject({ missing: [], sessionsEmpty: dates.slice(0, 4) });
  });

  test('trap 6: a session that is hardly over and has no bars is missing, not empty', async () => {
    const store = memoryStore();
    const rows = { [OLD_DATE]: [flatRow('AAPL', 10)], [LAST_DATE]: [] };
    const { fetch } = await openMarket(marketOf({ rows }));
    const { missing, sessionsEmpty } = await fetch(store, { from: LAST });
    expect(missing).toMatchObject([{ date: LAST_DATE, code: 'Unavailable' }]);
    expect(sessionsEmpty).toEqual([]);
    expect(await keysOf(store, 'processing_metadata/sessions/')).toEqual([]);
  });

  test.each<[string, (row: ReplayRow) => object]>([
    ['the name of the ticker has changed', ({ T, ...row }) => ({ ticker: T, ...row, t: afterClose(OLD) })],
    ['all are of another day', (row) => ({ ...row, t: afterClose(OLD - 1) })],
    ['times are in seconds', (row) => ({ ...row, t: afterClose(OLD) / 1000 })],
    ['nothing was traded', (row) => ({ ...row, v: 0, t: afterClose(OLD) })],
  ])('trap 6: an answer of rows none of which is a bar makes no session empty: %s', async (_, change) => {
    const store = memoryStore();
    const results = WEEK_MARKET.rowsOf(OLD).map(change);
    const body = { status: 'OK', adjusted: false, resultsCount: results.length, results };
    const { market, fetch, server } = await openMarket(WEEK_MARKET, {
      traps: { script: [{ match: new RegExp(OLD_DATE), times: 99, respond: { status: 200, body } }] },
    });
    const { missing } = await fetch(store);
    expect(missing).toMatchObject([{ date: OLD_DATE, symbol: null }]);
    server.set({ script: [] });
    await fetch(store);
    expect(await lakeBars(store)).toEqual(marketBars(market));
  });

  test('trap 6: a day without trading is not asked for', async () => {
    const store = memoryStore();
    const sessions = sessionsOf('2026-02-12', '2026-02-18');
    const { market, fetch, asked } = await openMarket(synthetic(sessions));
    await fetch(store);
    // Without the weekend, and Presidents' Day on the 16th.
    expect(asked().sessions).toEqual(['2026-02-12', '2026-02-13', '2026-02-17', '2026-02-18']);
    expect(await lakeBars(store)).toEqual(marketBars(market));
    const holiday = sessionFrom('2026-02-16');
    expect(await fetch(store, { from: holiday, to: holiday })).toMatchObject({ sessions: 0, missing: [] });
    expect(await fetch(store, { from: holiday, to: holiday, symbols: ['AAAA'] })).toMatchObject({ symbolsFetched: 0 });
    expect(asked()).toEqual({ sessions: [], ranges: [] });
  });
});

describe('trap 7: rows that are no bars, and rows that come twice', () => {
  test('trap 7: of identical rows one lands', async () => {
    const store = memoryStore();
    const { market, fetch } = await openSpoilt({ kind: 'identical-duplicate', tickers: ['AAAB', 'BRK.B'] });
    expect(await fetch(store)).toMatchObject({ skipped: 2, quarantined: 0, missing: [] });
    expect(await lakeBars(store)).toEqual(marketBars(market));
  });

  test('trap 7: of rows that contradict each other none lands: quarantined, missing, and asked for again', async () => {
    const store = memoryStore();
    const { market, fetch, server, asked } = await openMarket(WEEK_MARKET, {
      traps: { rowFaults: [{ kind: 'conflicting-duplicate', tickers: ['AAAB'], sessions: [OLD] }] },
    });
    const result = await fetch(store);
    expect(result).toMatchObject({ quarantined: 2, missingCount: 1 });
    expect(result.missing).toMatchObject([{ date: OLD_DATE, symbol: 'AAAB', code: 'conflicting' }]);
    expect(await faultsIn(store, result.quarantine)).toEqual(['AAAB conflicting', 'AAAB conflicting']);
    expect(await lakeBars(store)).toEqual(marketBars(market, { without: [`AAAB ${OLD_DATE}`] }));
    server.set({ rowFaults: [] });
    asked();
    expect((await fetch(store)).missing).toEqual([]);
    expect(asked().sessions).toContain(OLD_DATE);
    expect(await lakeBars(store)).toEqual(marketBars(market));
    await fetch(store);
    expect(asked().sessions).not.toContain(OLD_DATE);
  });

  test('trap 7: of one symbol likewise: identical rows land once, contradicting ones are named missing', async () => {
    const store = memoryStore();
    const { market, fetch, server } = await openMarket(WEEK_MARKET, {
      traps: {
        rowFaults: [
          { kind: 'identical-duplicate', tickers: ['AAAB'], sessions: [LAST] },
          { kind: 'conflicting-duplicate', tickers: ['AAAB'], sessions: [OLD] },
        ],
      },
    });
    const symbols = ['AAAB'];
    const { skipped, quarantined, missing } = await fetch(store, { symbols });
    expect(await lakeBars(store)).toEqual(marketBars(market, { symbols, without: [`AAAB ${OLD_DATE}`] }));
    expect({ skipped, quarantined }).toEqual({ skipped: 1, quarantined: 2 });
    expect(missing).toMatchObject([{ date: OLD_DATE, symbol: 'AAAB', code: 'conflicting' }]);
    server.set({ rowFaults: [] });
    await fetch(store, { symbols });
    expect(await lakeBars(store)).toEqual(marketBars(market, { symbols }));
  });

  test('trap 7: a row without volume is quarantined, and misses no bar', async () => {
    const store = memoryStore();
    const { market, fetch, asked } = await openMarket(WEEK_MARKET, {
      traps: { rowFaults: [{ kind: 'zero-volume', tickers: ['AAAB'], sessions: [OLD] }] },
    });
    const result = await fetch(store);
    expect(result).toMatchObject({ quarantined: 1, missing: [] });
    expect(await faultsIn(store, result.quarantine)).toEqual(['AAAB no_volume']);
    expect(await lakeBars(store)).toEqual(marketBars(market, { without: [`AAAB ${OLD_DATE}`] }));
    asked();
    await fetch(store);
    expect(asked().sessions).not.toContain(OLD_DATE);
  });

  test.each([
    ['negative-volume', 'not_positive'],
    ['infinite-price', 'not_a_number'],
    ['missing-price', 'not_a_number'],
    ['null-price', 'not_a_number'],
    ['text-price', 'not_a_number'],
    ['zero-price', 'not_positive'],
    ['negative-price', 'not_positive'],
    ['inconsistent-price', 'inconsistent'],
  ] as const)(
    'trap 7: a row that is no bar (%s) is quarantined and missing, and had when it is one',
    async (kind, fault) => {
      const store = memoryStore();
      const { market, fetch, server } = await openSpoilt({ kind, tickers: ['AAAB'] });
      const result = await fetch(store, { from: OLD });
      expect(result.missing).toMatchObject([{ date: LAST_DATE, symbol: 'AAAB', code: fault }]);
      expect(await faultsIn(store, result.quarantine)).toEqual([`AAAB ${fault}`]);
      expect(await lakeBars(store)).toEqual(marketBars(market, { from: OLD, without: [`AAAB ${LAST_DATE}`] }));
      server.set({ rowFaults: [] });
      expect((await fetch(store, { from: OLD })).missing).toEqual([]);
      expect(await lakeBars(store)).toEqual(marketBars(market, { from: OLD }));
    },
  );

  test('trap 7: a session is not asked for again when a row that was no bar has gone from its answer', async () => {
    const store = memoryStore();
    const { fetch, server, asked } = await openMarket(WEEK_MARKET, {
      traps: { rowFaults: [{ kind: 'null-price', tickers: ['AAAB'], sessions: [OLD] }] },
    });
    expect((await fetch(store)).missingCount).toBe(1);
    server.set({ rowFaults: [{ kind: 'dropped', tickers: ['AAAB'], sessions: [OLD] }] });
    asked();
    expect((await fetch(store)).missing).toEqual([]);
    expect(asked().sessions).toContain(OLD_DATE);
    await fetch(store);
    expect(asked().sessions).not.toContain(OLD_DATE);
  });

  test('trap 7: the same rows again are quarantined in the same object', async () => {
    const store = memoryStore();
    const { fetch } = await openSpoilt({ kind: 'inconsistent-price', tickers: ['AAAB'] });
    const [first, second] = [await fetch(store), await fetch(store)];
    expect(second.quarantine).toEqual(first.quarantine);
    expect(await keysOf(store, 'quarantine/')).toEqual(first.quarantine);
  });

  test('trap 7: the exit code is 3 where a bar is missing, 0 where rows are quarantined that are none', async () => {
    const { server } = await openSpoilt({ kind: 'zero-volume', tickers: ['AAAB'] });
    const env = { POLYGON_API_KEY: server.apiKey, POLYGON_BASE_URL: server.url };
    const ohlcv = ['ingest', 'ohlcv', '--from', formatSession(WEEK[0]!), '--to', LAST_DATE, '--lake'];
    const none = await runCommand([...ohlcv, `file:${await temporaryFolder()}`], { env });
    expect(none.code).toBe(0);
    expect(none.stdout).toContain('1 quarantined');
    server.set({ rowFaults: [{ kind: 'null-price', tickers: ['AAAB'], sessions: [LAST] }] });
    const some = await runCommand([...ohlcv, `file:${await temporaryFolder()}`], { env });
    expect(some.code).toBe(3);
    expect(some.stdout).toContain(`${LAST_DATE} AAAB not_a_number: c`);
  });
});

describe('trap 8: bars are corrected after the close', () => {
  const corrected = (session: number, ...tickers: readonly string[]) => {
    const rows = WEEK_MARKET.rowsOf(session).filter(({ T }) => tickers.includes(T));
    expect(rows).toHaveLength(tickers.length);
    return { session, rows: rows.map((row): ReplayRow => ({ ...row, v: row.v + 1, c: row.h })) };
  };

  test('trap 8: corrections of the last three sessions land, and no other bar is written', async () => {
    const store = memoryStore();
    const { fetch, server, asked } = await openMarket(WEEK_MARKET);
    await fetch(store);
    await fetch(store, { force: true, from: WEEK.at(-3) });
    const corrections = [corrected(LAST, 'AAAA', 'NULL'), corrected(WEEK.at(-3)!, 'AAAB')];
    server.set({ corrections: corrections.map((correction) => ({ ...correction, fromCall: 1 })) });
    asked();
    const before = await etagsOf(store);
    const result = await fetch(store);
    expect(asked().sessions).toEqual(WEEK.slice(-3).map(formatSession));
    expect(result).toMatchObject({ stored: 3, sessionsFetched: 3, sessionsKnown: 2, missing: [] });
    expect(await lakeBars(store)).toEqual(marketBars(correctedMarket(WEEK_MARKET, corrections)));
    expect(changedKeys(before, await etagsOf(store), BRONZE_PREFIX)).toEqual(
      [dailyKey('AAAA', LAST), dailyKey('AAAB', WEEK.at(-3)!), dailyKey('NULL', LAST)].sort(),
    );
    // Of each session with news: its file and the ledger, twice; of each corrected bar a create that fails, and a replace.
    expect(result.metrics.requests.PUT).toBeLessThanOrEqual(2 * 3 + 2 * 3);

    const again = await fetch(store);
    expect(again).toMatchObject({ stored: 0, metrics: { requests: { PUT: 0 } } });
  });

  test('trap 8: a bar that is new within the last three sessions lands', async () => {
    const store = memoryStore();
    const { fetch, server } = await openMarket(WEEK_MARKET, {
      traps: { rowFaults: [{ kind: 'dropped', tickers: ['AAAB'], sessions: [LAST] }] },
    });
    await fetch(store);
    expect(await lakeBars(store)).toEqual(marketBars(WEEK_MARKET, { without: [`AAAB ${LAST_DATE}`] }));
    server.set({ rowFaults: [] });
    expect(await fetch(store)).toMatchObject({ stored: 1 });
    expect(await lakeBars(store)).toEqual(marketBars(WEEK_MARKET));
  });

  test('trap 8: earlier sessions are not asked for again, unless that is forced', async () => {
    const store = memoryStore();
    const { fetch, server, asked } = await openMarket(WEEK_MARKET);
    await fetch(store);
    const correction = corrected(OLD, 'AAAA');
    server.set({ corrections: [{ ...correction, fromCall: 1 }] });
    asked();
    expect((await fetch(store)).stored).toBe(0);
    expect(asked().sessions).not.toContain(OLD_DATE);
    expect(await lakeBars(store)).toEqual(marketBars(WEEK_MARKET));
    await fetch(store, { force: true, from: OLD, to: OLD });
    expect(asked().sessions).toEqual([OLD_DATE]);
    expect(await lakeBars(store)).toEqual(marketBars(correctedMarket(WEEK_MARKET, [correction])));
  });

  test('trap 8: a forced bulk finds every correction, also where daily files have the earlier bars', async () => {
    const store = memoryStore();
    const { fetch, server } = await openMarket(WEEK_MARKET);
    for (const session of WEEK) await fetch(store, { from: session, to: session });
    expect((await keysOf(store, BRONZE_PREFIX)).filter((key) => key.endsWith('data.parquet'))).toEqual([]);
    const corrections = WEEK.map((session) => corrected(session, 'AAAA'));
    server.set({ corrections: corrections.map((correction) => ({ ...correction, fromCall: 1 })) });
    await fetch(store, { force: true });
    const truth = marketBars(correctedMarket(WEEK_MARKET, corrections));
    expect(await lakeBars(store)).toEqual(truth);
    await consolidate(store);
    expect(await lakeBars(store)).toEqual(truth);
  });

  test('trap 8: of one symbol the last three sessions are asked for again', async () => {
    const store = memoryStore();
    const { fetch, server, asked } = await openMarket(WEEK_MARKET);
    await fetch(store, { symbols: ['AAAA'] });
    const correction = corrected(LAST, 'AAAA');
    server.set({ corrections: [{ ...correction, fromCall: 1 }] });
    asked();
    await fetch(store, { symbols: ['AAAA'] });
    expect(asked().ranges).toEqual([`AAAA ${formatSession(WEEK.at(-3)!)} ${LAST_DATE}`]);
    const rows = (await lakeBars(store)).AAAA;
    expect(rows).toHaveLength(5);
    expect(rows?.at(-1)).toEqual(barRow(LAST_DATE, correction.rows[0]!));
  });
});

describe('trap 11: test symbols', () => {
  test('trap 11: the test symbols of the exchanges are passed over', async () => {
    const store = memoryStore();
    const { market, fetch } = await openSpoilt({ kind: 'test-symbol' });
    expect(await fetch(store)).toMatchObject({ skipped: TEST_SYMBOLS.length, quarantined: 0, missing: [] });
    expect(await lakeBars(store)).toEqual(marketBars(market));
  });

  test('trap 11: another list takes their place', async () => {
    const store = memoryStore();
    const { market, fetch } = await openSpoilt({ kind: 'test-symbol', tickers: ['ZVZZT', 'ZTEST'] });
    await fetch(store, { exclude: ['AAAB', 'ZTEST'] });
    const { ZVZZT, ...others } = await lakeBars(store);
    expect(ZVZZT).toHaveLength(1);
    expect(others).toEqual(marketBars(market, { without: ['AAAB'] }));
  });

  test('trap 11: EXCLUDED_SYMBOLS is that list', async () => {
    const folder = await temporaryFolder();
    const { market, server } = await openSpoilt({ kind: 'test-symbol', tickers: ['ZVZZT', 'ZTEST'] });
    const env = { POLYGON_API_KEY: server.apiKey, POLYGON_BASE_URL: server.url, EXCLUDED_SYMBOLS: 'AAAB,ZTEST' };
    const { code } = await runCommand(['ingest', 'ohlcv', '--date', LAST_DATE, '--lake', `file:${folder}`], { env });
    expect(code).toBe(0);
    const { ZVZZT, ...others } = await lakeBars(fileStore(folder));
    expect(ZVZZT).toHaveLength(1);
    expect(others).toEqual(marketBars(market, { from: LAST, without: ['AAAB'] }));
  });

  test('rows of over-the-counter markets are passed over, though they were not asked for', async () => {
    const store = memoryStore();
    const otc = { ...flatRow('OTCXF', 3), otc: true };
    const body = {
      status: 'OK',
      adjusted: false,
      resultsCount: 2,
      results: [flatRow('AAPL', 10), otc].map((row) => ({ ...row, t: afterClose(LAST) })),
    };
    const { fetch, server } = await openMarket(WEEK_MARKET, {
      traps: { script: [{ match: GROUPED, times: 1, respond: { status: 200, body } }] },
    });
    expect(await fetch(store, { from: LAST })).toMatchObject({ fetched: 2, skipped: 1, stored: 1 });
    expect(Object.keys(await lakeBars(store))).toEqual(['AAPL']);
    expect(
      server.requests.filter(({ url }) => GROUPED.test(url)).every(({ url }) => url.includes('include_otc=false')),
    ).toBe(true);
  });
});

/** `symbol fault` of every row that is quarantined, sorted. */
async function faultsIn(store: ObjectStore, keys: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const key of keys) {
    const { rows } = JSON.parse(new TextDecoder().decode((await store.get(key)).body));
    for (const { fault, row } of rows) found.push(`${row.symbol} ${fault}`);
  }
  return found.sort();
}

async function etagsOf(store: ObjectStore): Promise<Map<string, string>> {
  return new Map((await Array.fromAsync(store.list(''))).map(({ key, etag }) => [key, etag]));
}

function changedKeys(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
  prefix: string,
): string[] {
  return [...after].filter(([key, etag]) => key.startsWith(prefix) && before.get(key) !== etag).map(([key]) => key);
}
