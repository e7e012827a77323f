import { describe, expect, test } from 'vitest';
import { hasCode } from '../../../src/errors.ts';
import { ingestMeta, metadataAt, readSplits, readSymbolMetadata } from '../../../src/ingest/index.ts';
import { memoryStore, type ObjectStore } from '../../../src/lake/index.ts';
import { formatSession, sessionFrom } from '../../../src/session.ts';
import { lakeBars, marketBars } from '../../support/lake-bars.ts';
import { keysOf } from '../../support/lake-reader.ts';
import {
  flatRow,
  marketOf,
  type ReplayMarket,
  type ReplayTicker,
  syntheticReplayMarket,
} from '../../support/market/replay-market.ts';
import type { ScriptedAnswer } from '../../support/market/traps.ts';
import { afterClose, fasterClock, openMarket, sessionsOf } from '../../support/replay-api.ts';
import { runCommand } from '../../support/run-command.ts';
import { temporaryFolder } from '../../support/temporary.ts';

// Over the end of winter time, on 2026-03-08, and the first fractional volumes, on 2026-02-23.
const SESSIONS = sessionsOf('2026-02-17', '2026-03-13');
const WEEK = SESSIONS.slice(-5);
const [LAST, SECOND_LAST] = [SESSIONS.at(-1)!, SESSIONS.at(-2)!];
const GROUPED = /\/grouped\//;

const synthetic = (options: { symbols?: number; sessions?: readonly number[] } = {}) =>
  syntheticReplayMarket({ symbols: 20, sessions: WEEK, halted: 0.03, split: 3, ...options });

/** An answer in the place of the next calls for bars of whole sessions. */
const scripted = (status: number, body: unknown, { times = 1, headers = {} } = {}): readonly ScriptedAnswer[] => [
  { match: GROUPED, times, respond: { status, body, headers } },
];

/** How long after the first call of an address the second one came, in milliseconds of the clock that is given. */
function waitBetween(requests: readonly { readonly url: string; readonly atMs: number }[], times: number): number {
  const [first, second] = requests.filter(({ url }) => GROUPED.test(url));
  return (second!.atMs - first!.atMs) * times;
}

describe('trap 1: the time of a row', () => {
  test('trap 1: rows of a whole session belong to the session that was asked for, in winter and in summer', async () => {
    const store = memoryStore();
    const { market, fetch } = await openMarket(synthetic({ sessions: SESSIONS }));
    expect(await fetch(store)).toMatchObject({ quarantined: 0, missing: [], sessionsFetched: SESSIONS.length });
    expect(await lakeBars(store)).toEqual(marketBars(market));
  });

  test('trap 1: a row whose time is of another day is quarantined, and the others land', async () => {
    const store = memoryStore();
    const { market, fetch } = await openMarket(synthetic(), {
      traps: { rowFaults: [{ kind: 'wrong-day', tickers: ['AAAB', 'NULL'], sessions: [SECOND_LAST] }] },
    });
    const { quarantined, quarantine } = await fetch(store);
    expect(quarantined).toBe(2);
    const date = formatSession(SECOND_LAST);
    expect(await lakeBars(store)).toEqual(marketBars(market, { without: [`AAAB ${date}`, `NULL ${date}`] }));
    expect(quarantine).toEqual([expect.stringMatching(`^quarantine/raw_ohlcv/date=${date}/[0-9a-f]{16}\\.json$`)]);
    expect(await readJson(store, quarantine[0]!)).toMatchObject({
      source: 'grouped',
      rows: expect.arrayContaining([
        expect.objectContaining({ date, fault: 'wrong_day', row: expect.objectContaining({ symbol: 'AAAB' }) }),
        expect.objectContaining({ date, fault: 'wrong_day', row: expect.objectContaining({ symbol: 'NULL' }) }),
      ]),
    });
  });

  test('trap 1: a row of one symbol belongs to the session of its own time, in winter and in summer', async () => {
    const store = memoryStore();
    const { market, fetch } = await openMarket(synthetic({ sessions: SESSIONS }));
    const symbols = ['AAAA', 'BRK.B', 'AAPw'];
    expect(await fetch(store, { symbols })).toMatchObject({ symbolsFetched: 3, quarantined: 0, missing: [] });
    expect(await lakeBars(store)).toEqual(marketBars(market, { symbols }));
  });

  test('trap 1: a row of one symbol whose time is of another day replaces no other, and does not land', async () => {
    const store = memoryStore();
    // Thursday's row says that it is Wednesday's.
    const { market, fetch } = await openMarket(synthetic(), {
      traps: { rowFaults: [{ kind: 'wrong-day', tickers: ['AAAA'], sessions: [SECOND_LAST] }] },
    });
    expect((await fetch(store, { symbols: ['AAAA'] })).quarantined).toBe(2);
    const spoilt = [SECOND_LAST - 1, SECOND_LAST].map((session) => `AAAA ${formatSession(session)}`);
    expect(await lakeBars(store)).toEqual(marketBars(market, { symbols: ['AAAA'], without: spoilt }));
  });

  test('trap 1: a row of one symbol whose time is of a day without trading is quarantined', async () => {
    const store = memoryStore();
    const monday = sessionFrom('2026-03-02');
    // Monday's row says that it is Sunday's.
    const { market, fetch } = await openMarket(synthetic({ sessions: SESSIONS }), {
      traps: { rowFaults: [{ kind: 'wrong-day', tickers: ['AAAA'], sessions: [monday] }] },
    });
    const { quarantined } = await fetch(store, { symbols: ['AAAA'] });
    const truth = marketBars(market, { symbols: ['AAAA'], without: ['AAAA 2026-03-02'] });
    expect({ quarantined, bars: await lakeBars(store) }).toEqual({ quarantined: 1, bars: truth });
  });

  test('trap 1: rows of one symbol from before the range that was asked for do not land', async () => {
    const store = memoryStore();
    const { market, fetch } = await openMarket(synthetic({ sessions: SESSIONS }), { traps: { ignoreFrom: true } });
    await fetch(store, { symbols: ['AAAA'], from: WEEK[0] });
    expect(await lakeBars(store)).toEqual(marketBars(market, { symbols: ['AAAA'], from: WEEK[0]! }));
  });
});

describe('trap 2: volume', () => {
  const VOLUMES = [0.1 + 0.2, 1 / 3, 5e-324, 2 ** 53, 12_345_678.000_000_1, Number.MAX_VALUE];
  const rows = (factor: number) => VOLUMES.map((volume, i) => flatRow(`V${i}`, 10 + i, volume * factor));
  const FACTORS = [1, 0.75, 1, 0.5, 1, 0.25];
  const dates = SESSIONS.slice(-FACTORS.length).map(formatSession);
  const market = marketOf({ rows: Object.fromEntries(dates.map((date, i) => [date, rows(FACTORS[i]!)])) });

  test.each([
    ['in files of one session', { from: LAST }, { from: LAST }],
    ['in a bulk of sessions', {}, {}],
    ['asked for by symbol', { symbols: VOLUMES.map((_, i) => `V${i}`) }, {}],
  ])('trap 2: volume is fractional, and kept to the bit %s', async (_, options, choice) => {
    const store = memoryStore();
    const { fetch } = await openMarket(market);
    await fetch(store, options);
    expect(await lakeBars(store)).toEqual(marketBars(market, choice));
  });
});

describe('trap 3: adjusted prices', () => {
  test.each([
    ['sessions', {}],
    ['symbols', { symbols: ['AAAA', 'AAAB'] }],
  ])('trap 3: raw prices are asked for, by %s', async (_, options) => {
    const { fetch, server } = await openMarket(synthetic());
    await fetch(memoryStore(), options);
    const urls = server.requests.map(({ url }) => url).filter((url) => url.startsWith('/v2/aggs/'));
    expect(urls.length).toBeGreaterThan(1);
    for (const url of urls) expect(url).toMatch(/[?&]adjusted=false(&|$)/);
    expect(server.requests.every(({ status }) => status === 200)).toBe(true);
  });

  test.each([
    ['sessions', {}],
    ['symbols', { symbols: ['AAAA', 'AAAB'] }],
  ])('trap 3: an answer with adjusted prices is bad input, and nothing lands, by %s', async (_, options) => {
    const store = memoryStore();
    const { fetch, server } = await openMarket(synthetic(), { traps: { adjustedAlways: true } });
    await expect(fetch(store, options)).rejects.toSatisfy((error) => hasCode(error, 'BadInput'));
    expect(await keysOf(store)).toEqual([]);
    server.set({ adjustedAlways: false });
    await fetch(store, options);
    expect((await keysOf(store, 'bronze/')).length).toBeGreaterThan(0);
  });
});

describe('trap 4: the beginning of what the plan includes', () => {
  const known = SESSIONS[10]!;

  test('trap 4: a ranged answer that begins late is told, and its range is asked for again', async () => {
    const store = memoryStore();
    const { market, fetch, server, asked } = await openMarket(synthetic({ sessions: SESSIONS }), {
      traps: { historyFrom: known },
    });
    const symbols = ['AAAA', 'AAAB'];
    const result = await fetch(store, { symbols });
    const told = `no bars from ${formatSession(SESSIONS[0]!)} to ${formatSession(known - 1)}`;
    expect(result.missing).toEqual(
      symbols.map((symbol) => {
        return { date: null, symbol, code: 'NotEntitled', message: expect.stringContaining(told) };
      }),
    );
    expect(await lakeBars(store)).toEqual(marketBars(market, { symbols, from: known }));

    server.set({ historyFrom: undefined });
    asked();
    expect((await fetch(store, { symbols })).missing).toEqual([]);
    const whole = `${formatSession(SESSIONS[0]!)} ${formatSession(LAST)}`;
    expect(asked().ranges).toEqual(symbols.map((symbol) => `${symbol} ${whole}`));
    expect(await lakeBars(store)).toEqual(marketBars(market, { symbols }));
  });

  test('trap 4: of a range wholly before the plan nothing is remembered', async () => {
    const store = memoryStore();
    const { market, fetch, server } = await openMarket(synthetic({ sessions: SESSIONS }), {
      traps: { historyFrom: known },
    });
    const range = { symbols: ['AAAA'], to: known - 1 };
    const result = await fetch(store, range);
    expect(result).toMatchObject({ symbolsWithoutBars: [], stored: 0, missing: [{ code: 'NotEntitled' }] });
    server.set({ historyFrom: undefined });
    await fetch(store, range);
    expect(await lakeBars(store)).toEqual(marketBars(market, range));
  });

  test('trap 4: a ranged answer that begins late is told also of a ticker that is active no longer', async () => {
    const store = memoryStore();
    const market = syntheticReplayMarket({ symbols: 40, sessions: SESSIONS, delisted: 12 });
    const gone = market.tickers.filter(
      ({ active, delisted_utc = '' }) => !active && delisted_utc > formatSession(known + 1),
    );
    const symbols = gone.map(({ ticker }) => ticker);
    expect(symbols.length).toBeGreaterThan(1);
    const { fetch, server } = await openMarket(market, { traps: { historyFrom: known } });
    const { missing } = await fetch(store, { symbols });
    expect(await lakeBars(store)).toEqual(marketBars(market, { symbols, from: known }));
    expect(missing.map(({ symbol, code }) => `${symbol} ${code}`).sort()).toEqual(
      symbols.map((symbol) => `${symbol} NotEntitled`).sort(),
    );
    server.set({ historyFrom: undefined });
    await fetch(store, { symbols });
    expect(await lakeBars(store)).toEqual(marketBars(market, { symbols }));
  });

  test('trap 4: an answer that begins late since the symbol was listed late is not told, and remembered', async () => {
    const store = memoryStore();
    const whole = synthetic({ sessions: SESSIONS });
    const late: ReplayMarket = {
      ...whole,
      rowsOfTicker: (ticker, from, to) => whole.rowsOfTicker(ticker, Math.max(from, known), to),
      tickers: whole.tickers.map((ticker) => ({ ...ticker, list_date: formatSession(known) })),
    };
    const { fetch, asked } = await openMarket(late);
    const result = await fetch(store, { symbols: ['AAAA'] });
    expect(result).toMatchObject({ missing: [], symbolsFetched: 1 });
    expect(await lakeBars(store)).toEqual(marketBars(whole, { symbols: ['AAAA'], from: known }));
    asked();
    await fetch(store, { symbols: ['AAAA'] });
    const correctable = `${formatSession(SESSIONS.at(-3)!)} ${formatSession(LAST)}`;
    expect(asked().ranges).toEqual([`AAAA ${correctable}`]);
  });

  test('trap 4: sessions before the plan are missing, not empty, and the exit code is 3', async () => {
    const folder = await temporaryFolder();
    const { market, server } = await openMarket(synthetic({ sessions: SESSIONS }), { traps: { historyFrom: known } });
    const env = { POLYGON_API_KEY: server.apiKey, POLYGON_BASE_URL: server.url };
    const dates = ['--from', formatSession(SESSIONS[8]!), '--to', formatSession(SESSIONS[11]!)];
    const ohlcv = ['ingest', 'ohlcv', '--lake', `file:${folder}`, '--json', ...dates];
    const { code, json } = await runCommand(ohlcv, { env });
    expect(code).toBe(3);
    expect(json().missing).toMatchObject([
      { date: formatSession(SESSIONS[8]!), symbol: null, code: 'NotEntitled' },
      { date: formatSession(SESSIONS[9]!), symbol: null, code: 'NotEntitled' },
    ]);
    const chosen = await runCommand([...ohlcv, '--symbols', 'AAAA,AAAB', '--from', '2026-02-17'], { env });
    expect(chosen.code).toBe(3);
    expect(chosen.json().missing).toMatchObject([
      { symbol: 'AAAA', code: 'NotEntitled' },
      { symbol: 'AAAB', code: 'NotEntitled' },
    ]);
    expect(market.sessions).toHaveLength(SESSIONS.length);
  });
});

describe('trap 9: errors', () => {
  test('trap 9: a wrong key is bad input, with what the API says of it, and nothing else is asked', async () => {
    const { server } = await openMarket(synthetic());
    const env = { POLYGON_API_KEY: 'wrong-key', POLYGON_BASE_URL: server.url };
    const { code, stderr } = await runCommand(['ingest', 'ohlcv', '--lake', `file:${await temporaryFolder()}`], {
      env,
    });
    expect(code).toBe(2);
    expect(stderr).toContain('Unknown API Key');
    expect(server.requests).toHaveLength(1);
  });

  test.each([
    ['message', { status: 'NOT_AUTHORIZED', message: 'You are not entitled to this data.' }],
    ['error', { status: 'NOT_AUTHORIZED', error: 'You are not entitled to this data.' }],
  ])('trap 9: what is not entitled is missing, not asked for again, and its %s is told', async (_, body) => {
    const store = memoryStore();
    const { market, fetch, server, asked } = await openMarket(synthetic(), { traps: { script: scripted(403, body) } });
    const { missing } = await fetch(store, { from: LAST });
    expect(missing).toMatchObject([{ date: formatSession(LAST), code: 'NotEntitled' }]);
    expect(missing[0]?.message).toContain('You are not entitled to this data.');
    expect(asked().sessions).toEqual([formatSession(LAST)]);
    await fetch(store, { from: LAST });
    expect(await lakeBars(store)).toEqual(marketBars(market, { from: LAST }));
    expect(server.violations).toEqual([]);
  });

  test('trap 9: a session before the end of its day is asked for once, missing, and had by a later run', async () => {
    const store = memoryStore();
    const { market, fetch, server, asked } = await openMarket(synthetic(), { traps: { beforeEndOfDay: [LAST] } });
    const { missing, sessionsMissing } = await fetch(store);
    expect(missing).toMatchObject([{ date: formatSession(LAST), symbol: null, code: 'Unavailable' }]);
    expect(sessionsMissing).toBe(1);
    expect(asked().sessions).toEqual(WEEK.map(formatSession));
    expect(await lakeBars(store)).toEqual(marketBars(market, { to: LAST - 1 }));
    server.set({ beforeEndOfDay: [] });
    expect((await fetch(store)).missing).toEqual([]);
    expect(await lakeBars(store)).toEqual(marketBars(market));
  });

  test.each<[string, Record<string, string>, unknown, number]>([
    ['after as long as it asks for', { 'retry-after': '60' }, { status: 'ERROR', error: 'too many' }, 60_000],
    ['after two seconds and more where it does not tell', {}, undefined, 2000],
  ])('trap 9: too many calls: the next one comes %s', async (_, headers, body, leastMs) => {
    const store = memoryStore();
    const { market, fetch, server } = await openMarket(synthetic(), {
      traps: { script: scripted(429, body, { headers }) },
      clock: fasterClock(100),
    });
    expect((await fetch(store, { from: LAST })).missing).toEqual([]);
    // A timer may be a millisecond early, which is a hundred here.
    expect(waitBetween(server.requests, 100)).toBeGreaterThan(leastMs - 200);
    expect(await lakeBars(store)).toEqual(marketBars(market, { from: LAST }));
  });
});

describe('trap 10: lists in pages', () => {
  const market = syntheticReplayMarket({ symbols: 20, sessions: SESSIONS, split: 5, dividendPayers: 20 });
  test('trap 10: the cursor alone is followed: no call leads to the origin of next_url', async () => {
    const store = memoryStore();
    const { server: foreign } = await openMarket(market);
    const { fetch, api, server } = await openMarket(market, { traps: { pageRows: 2, nextUrlOrigin: foreign.url } });
    const { corporateActions } = await fetch(store, { from: LAST });
    expect(corporateActions).toMatchObject({ splits: 5, dividends: market.dividends.length });
    expect(await ingestMeta(store, api)).toMatchObject({ listed: 20 });
    expect(foreign.requests).toEqual([]);
    expect(server.count('cursor=')).toBeGreaterThan(10);
    expect(server.violations).toEqual([]);
    expect((await readSplits(store)).size).toBe(5);
  });

  test.each([
    ['that lead back to an earlier one', { kind: 'loop', match: /splits|dividends/ } as const],
    ['one of which fails', { kind: 'failing', page: 2, match: /splits|dividends/ } as const],
    ['the second list of which fails', { kind: 'failing', page: 2, match: /dividends/ } as const],
  ])('trap 10: splits and dividends in pages %s stay as they were, and are missing', async (_, paging) => {
    const store = memoryStore();
    const before = { ...market, splits: market.splits.slice(1), dividends: market.dividends.slice(1) };
    await (await openMarket(before)).fetch(store, { from: LAST });
    const tables = await bytesOf(store, 'reference/');
    expect(Object.keys(tables)).toHaveLength(2);
    const { fetch, server } = await openMarket(market, { traps: { pageRows: 1, paging } });
    const { missing, corporateActions } = await fetch(store, { from: LAST });
    expect(missing).toEqual([
      { date: null, symbol: null, code: 'Unavailable', message: expect.stringMatching(/^splits and dividends: /) },
    ]);
    expect(corporateActions).toBeNull();
    expect(await bytesOf(store, 'reference/')).toEqual(tables);
    expect(await lakeBars(store)).toEqual(marketBars(market, { from: LAST }));
    server.set({ paging: undefined });
    expect((await fetch(store, { from: LAST })).corporateActions).toMatchObject({ splits: 5, written: true });
    expect((await readSplits(store)).size).toBe(5);
  });

  test.each([
    ['that lead back to an earlier one', { kind: 'loop', match: /reference\/tickers\?/ } as const],
    ['one of which fails', { kind: 'failing', page: 3, match: /reference\/tickers\?/ } as const],
  ])('trap 10: a ticker list in pages %s is no list, and delists nobody', async (_, paging) => {
    const store = memoryStore();
    const { api, server } = await openMarket(market, { traps: { pageRows: 4 } });
    const call = { now: () => afterClose(LAST) };
    await ingestMeta(store, api, call);
    const tables = await bytesOf(store, 'reference/');
    server.set({ paging });
    await expect(ingestMeta(store, api, call)).rejects.toSatisfy((error) => hasCode(error, 'Unavailable'));
    expect(await bytesOf(store, 'reference/')).toEqual(tables);
  });
});

describe('trap 12: a ticker is not an identity', () => {
  const ticker = (fields: Pick<ReplayTicker, 'ticker' | 'name' | 'share_class_figi' | 'cik'>): ReplayTicker => ({
    market: 'stocks',
    locale: 'us',
    active: true,
    currency_name: 'usd',
    type: 'CS',
    primary_exchange: 'XNAS',
    composite_figi: fields.share_class_figi!.replace('S', 'C'),
    ...fields,
  });
  const company = { name: 'Meta Platforms, Inc.', share_class_figi: 'BBG0S0COMPANY', cik: '0001326801' };
  const fund = { name: 'Roundhill Ball Metaverse ETF', share_class_figi: 'BBG0S00000FUND', cik: '0001683471' };
  const others = ['AAPL', 'MSFT', 'IBM', 'KO', 'GE', 'T', 'F', 'X', 'V', 'C'].map((symbol, i) =>
    ticker({ ticker: symbol, name: `${symbol} Inc.`, share_class_figi: `BBG0S${i}`, cik: `000000000${i}` }),
  );
  const marketWith = (...tickers: readonly ReplayTicker[]) => marketOf({ rows: {}, tickers: [...others, ...tickers] });

  test('trap 12: FB became META, which was a fund before: each has its range', async () => {
    const store = memoryStore();
    const before = marketWith(ticker({ ticker: 'FB', ...company }), ticker({ ticker: 'META', ...fund }));
    const after = marketWith(ticker({ ticker: 'META', ...company }), ticker({ ticker: 'METV', ...fund }));
    const [then, change] = [sessionFrom('2022-01-31'), sessionFrom('2022-06-09')];
    await ingestMeta(store, (await openMarket(before)).api, { now: () => afterClose(then) });
    const result = await ingestMeta(store, (await openMarket(after)).api, { now: () => afterClose(change) });
    expect(result.failed).toEqual([]);
    const rows = await readSymbolMetadata(store);
    const nameOf = (symbol: string, session: number) => metadataAt(rows, symbol, session)?.name;
    expect(nameOf('FB', then)).toBe(company.name);
    expect(nameOf('META', then)).toBe(fund.name);
    expect(nameOf('META', change)).toBe(company.name);
    expect(nameOf('METV', change)).toBe(fund.name);
    expect(nameOf('FB', change)).toBeUndefined();
    expect(nameOf('METV', then)).toBeUndefined();
    expect(metadataAt(rows, 'META', change)).toMatchObject({ validFrom: change, validTo: undefined, active: true });
    expect(metadataAt(rows, 'META', then)).toMatchObject({ validFrom: undefined, validTo: change, active: false });
  });
});

async function readJson(store: ObjectStore, key: string): Promise<unknown> {
  return JSON.parse(new TextDecoder().decode((await store.get(key)).body));
}

async function bytesOf(store: ObjectStore, prefix: string): Promise<Record<string, string>> {
  const keys = await keysOf(store, prefix);
  const entries = keys.map(async (key) => [key, Buffer.from((await store.get(key)).body).toString('base64')]);
  return Object.fromEntries(await Promise.all(entries));
}
