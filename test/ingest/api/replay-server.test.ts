import { request } from 'node:http';
import { gunzipSync } from 'node:zlib';
import { expect, onTestFinished, test } from 'vitest';
import { sessionAt, sessionFrom } from '../../../src/session.ts';
import { isSymbol } from '../../../src/symbol.ts';
import {
  correctedMarket,
  flatRow,
  marketOf,
  type ReplayMarket,
  type ReplayRow,
  syntheticReplayMarket,
} from '../../support/market/replay-market.ts';
import { startReplayServer } from '../../support/market/replay-server.ts';
import { busiestWindow } from '../../support/market/rolling-window.ts';
import { ROW_FAULT_KINDS, type RowFaultKind } from '../../support/market/row-faults.ts';
import { FAILURE_KINDS, type FailureKind, type Traps } from '../../support/market/traps.ts';

const GROUPED = '/v2/aggs/grouped/locale/us/market/stocks';
const HOUR_MS = 3_600_000;
const SESSIONS = ['2024-03-07', '2024-03-08', '2024-03-11', '2024-03-12'].map(sessionFrom);
const MONDAY = sessionFrom('2024-03-11');
const MARKET = syntheticReplayMarket({ symbols: 30, sessions: SESSIONS });
const ROWS = MARKET.rowsOf(MONDAY);

// biome-ignore lint/suspicious/noExplicitAny: answers are whatever the server says, which the tests look at
type Json = any;

interface Got {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Json;
}

async function start(market: ReplayMarket = MARKET, traps: Partial<Traps> = {}) {
  const server = await startReplayServer({ market, traps });
  onTestFinished(() => server.close());
  const get = async (path: string, headers: Record<string, string> = {}): Promise<Got> => {
    const response = await fetch(server.url + path, {
      headers: { authorization: `Bearer ${server.apiKey}`, ...headers },
      redirect: 'manual',
    });
    const text = await response.text();
    const isJson = text !== '' && /^[[{n]/.test(text);
    return {
      status: response.status,
      headers: response.headers,
      text,
      get body() {
        return isJson ? JSON.parse(text) : undefined;
      },
    };
  };
  /** All pages of a list, by the cursor alone. */
  const getAll = async (path: string): Promise<Json[]> => {
    const rows: Json[] = [];
    for (let next: string | undefined = path; next; ) {
      const { status, body } = await get(next);
      expect(status).toBe(200);
      rows.push(...(body.results ?? []));
      next = body.next_url?.replace('https://api.polygon.io', '');
    }
    return rows;
  };
  return { server, get, getAll };
}

function grouped(date = '2024-03-11'): string {
  return `${GROUPED}/${date}?adjusted=false&include_otc=false`;
}

function range(ticker: string, more = ''): string {
  return `/v2/aggs/ticker/${ticker}/range/1/day/2024-03-01/2024-03-31?adjusted=false&sort=asc&limit=50000${more}`;
}

const bySymbol = (a: Json, b: Json) => (a.T < b.T ? -1 : 1);
const withoutTime = ({ t: _, ...row }: Json) => row;

test('a grouped answer has the rows of the session, in no order, at 16:00 in New York', async () => {
  const { get } = await start();
  const { status, body } = await get(grouped());
  expect(status).toBe(200);
  expect(body).toMatchObject({ status: 'OK', queryCount: 30, resultsCount: 30, adjusted: false });
  expect(body.request_id).toMatch(/^[0-9a-f]{32}$/);
  expect(body.results.toSorted(bySymbol).map(withoutTime)).toEqual(ROWS);
  expect(body.results).not.toEqual(body.results.toSorted(bySymbol));
  expect(new Set(body.results.map((row: Json) => row.t))).toEqual(new Set([Date.UTC(2024, 2, 11, 20)]));
  // Clocks were changed on the Sunday before.
  expect((await get(grouped('2024-03-08'))).body.results[0].t).toBe(Date.UTC(2024, 2, 8, 21));
});

test('a day without bars has no results, and over-the-counter rows come only when asked for', async () => {
  const otc = { ...flatRow('OTCX', 1), otc: true };
  const { get } = await start(marketOf({ rows: { '2024-03-11': [flatRow('AAPL', 170), otc], '2024-03-12': [] } }));
  for (const day of ['2024-03-10', '2024-03-12']) {
    const { body } = await get(grouped(day));
    expect(body).toEqual({
      status: 'OK',
      queryCount: 0,
      resultsCount: 0,
      adjusted: false,
      request_id: body.request_id,
    });
  }
  expect((await get(grouped())).body.results).toHaveLength(1);
  expect((await get(`${GROUPED}/2024-03-11?include_otc=true`)).body.results).toHaveLength(2);
});

test('a range has the rows of its sessions at midnight in New York, and never tells the ticker in a row', async () => {
  const { get } = await start();
  const { body } = await get(range('BRK.B'));
  expect(body).toMatchObject({ ticker: 'BRK.B', status: 'OK', queryCount: 4, resultsCount: 4, adjusted: false });
  const expected = MARKET.rowsOfTicker('BRK.B', SESSIONS[0]!, SESSIONS[3]!).map(({ row: { T: _, ...row } }) => row);
  expect(body.results.map(withoutTime)).toEqual(expected);
  expect(body.results.map((row: Json) => sessionAt(row.t))).toEqual(SESSIONS);
  expect(body.results.map((row: Json) => (row.t / HOUR_MS) % 24)).toEqual([5, 5, 4, 4]);
  expect((await get(range('brk.b'))).body).not.toHaveProperty('results');
});

test('next_url of a range starts elsewhere, at the vendor, without key, and has forgotten adjusted=false', async () => {
  const { get } = await start();
  const { body } = await get(range('AAPw').replace('50000', '3'));
  const next = new URL(body.next_url);
  expect(next.origin).toBe('https://api.polygon.io');
  expect(next.pathname).toBe(`/v2/aggs/ticker/AAPw/range/1/day/${Date.UTC(2024, 2, 12, 4)}/2024-03-31`);
  expect([...next.searchParams.keys()]).toEqual(['cursor']);
  expect(Buffer.from(next.searchParams.get('cursor')!, 'base64').toString()).toBe('limit=3&sort=asc');
  const second = (await get(next.pathname + next.search)).body;
  expect(second).toMatchObject({ resultsCount: 1, adjusted: true });
  expect(second).not.toHaveProperty('next_url');
});

test.each([
  ['asc', SESSIONS],
  ['desc', SESSIONS.toReversed()],
])('the pages of a range sorted %s have each row once', async (sort, sessions) => {
  const { getAll } = await start();
  const rows = await getAll(range('TRUE').replace('sort=asc', `sort=${sort}`).replace('50000', '1'));
  expect(rows.map((row) => sessionAt(row.t))).toEqual(sessions);
});

test('prices are split-adjusted unless adjusted=false is asked for', async () => {
  const market = syntheticReplayMarket({ symbols: 20, sessions: SESSIONS, split: 20 });
  const { get, server } = await start(market);
  const { ticker, split_from, split_to } = market.splits.find((split) => split.execution_date === '2024-03-11')!;
  const [raw, adjusted] = await Promise.all(
    [range(ticker), range(ticker).replace('false', 'true')].map((path) => get(path)),
  );
  const factors = raw!.body.results.map((row: Json, i: number) => adjusted!.body.results[i].c / row.c);
  const factor = split_from / split_to;
  expect(factors).toEqual([factor, factor, 1, 1].map((each) => expect.closeTo(each, 4)));
  server.set({ adjustedAlways: true });
  expect((await get(range(ticker))).body).toMatchObject({ adjusted: true, results: adjusted!.body.results });
  expect((await get(grouped('2024-03-08'))).body.adjusted).toBe(true);
});

test('the ticker list has pages, filters and no details', async () => {
  const market = syntheticReplayMarket({ symbols: 30, sessions: SESSIONS, delisted: 4 });
  const { get, getAll } = await start(market);
  const path = '/v3/reference/tickers?market=stocks&active=true&limit=10';
  const first = (await get(path)).body;
  expect(first).toMatchObject({ status: 'OK', count: 10 });
  const next = new URL(first.next_url);
  expect([next.origin, ...next.searchParams.keys()]).toEqual(['https://api.polygon.io', 'cursor']);
  const active = await getAll(path);
  const inactive = await getAll(path.replace('true', 'false'));
  const named = (rows: readonly Json[]) => rows.map(({ ticker }) => ticker);
  expect(named(active)).toEqual(named(market.tickers.filter((row) => row.active)));
  expect(named(inactive)).toEqual(named(market.tickers.filter((row) => !row.active)));
  expect(inactive).toHaveLength(4);
  for (const row of active) expect(Object.keys(row)).not.toContain('list_date');
  for (const row of inactive) expect(row.delisted_utc).toMatch(/^2024-03-\d\dT04:00:00Z$/);
  expect(await getAll('/v3/reference/tickers?ticker=AAPw')).toMatchObject([{ ticker: 'AAPw', type: 'WARRANT' }]);
  expect(named(await getAll('/v3/reference/tickers?ticker.gte=TRUE'))).toEqual(['TRUE']);
});

test('details are of the security that has the ticker on the day', async () => {
  const before = { name: 'A fund', list_date: '2021-06-30', delisted_utc: '2022-01-28T05:00:00Z', active: false };
  const after = {
    name: 'Meta Platforms',
    list_date: '2022-06-09',
    active: true,
    market_cap: 4e11,
    last_updated_utc: 'x',
  };
  const ticker = { ticker: 'META', market: 'stocks', locale: 'us', currency_name: 'usd' };
  const rows = { '2024-03-11': [flatRow('META', 480)] };
  const { get } = await start(
    marketOf({
      rows,
      tickers: [
        { ...ticker, ...before },
        { ...ticker, ...after },
      ],
    }),
  );
  const path = '/v3/reference/tickers/META';
  const { last_updated_utc: _, ...now } = after;
  expect((await get(path)).body).toEqual({
    status: 'OK',
    request_id: expect.any(String),
    results: { ...ticker, ...now },
  });
  expect((await get(`${path}?date=2022-01-28`)).body.results.name).toBe('A fund');
  for (const unknown of [`${path}?date=2022-01-29`, '/v3/reference/tickers/FB']) {
    expect(await get(unknown)).toMatchObject({
      status: 404,
      body: { status: 'NOT_FOUND', message: 'Ticker not found.' },
    });
  }
});

test('holidays are a bare array; splits and dividends have pages and an order', async () => {
  const holidays = [{ date: '2024-03-29', exchange: 'NYSE', name: 'Good Friday', status: 'closed' as const }];
  const options = { symbols: 30, sessions: Array.from({ length: 200 }, (_, i) => MONDAY + i), holidays };
  const market = syntheticReplayMarket({ ...options, split: 7, dividendPayers: 5 });
  const { get, getAll } = await start(market);
  expect((await get('/v1/marketstatus/upcoming')).body).toEqual(holidays);
  const splits = await getAll('/stocks/v1/splits?limit=3&sort=ticker.asc');
  expect(splits).toEqual(market.splits);
  expect(splits).toHaveLength(7);
  const byDate = (await getAll('/stocks/v1/splits?limit=5000')).map((split) => split.execution_date);
  expect(byDate).toEqual(byDate.toSorted().reverse());
  const dividends = await getAll('/stocks/v1/dividends?limit=4&ex_dividend_date.gte=2024-07-01');
  const later = market.dividends.filter((dividend) => dividend.ex_dividend_date! >= '2024-07-01');
  expect(dividends.length).toBeGreaterThan(4);
  expect(dividends.toSorted((a, b) => (a.id < b.id ? -1 : 1))).toEqual(
    later.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
  );
});

test('the key is a header, and never a parameter', async () => {
  const { server, get } = await start();
  for (const authorization of ['', 'Bearer other', 'test-key']) {
    expect(await get(grouped(), { authorization })).toMatchObject({
      status: 401,
      body: { status: 'ERROR', error: 'Unknown API Key' },
    });
  }
  expect((await get(`${grouped()}&apiKey=test-key`)).status).toBe(400);
  expect(server.violations).toMatchObject([{ kind: 'key-in-query', url: `${grouped()}&apiKey=test-key` }]);
  expect(server.requests.map(({ status }) => status)).toEqual([401, 401, 401, 400]);
  expect(server.requests[0]).toMatchObject({
    method: 'GET',
    url: grouped(),
    headers: { host: new URL(server.url).host },
  });
  expect(server.count('2024-03-11')).toBe(4);
});

test.each([
  `${GROUPED}/2024-02-30?adjusted=false`,
  `${GROUPED}/2024-03-11?adjusted=no`,
  `${GROUPED}/2024-03-11?adjustd=false`,
  range('AAPW').replace('50000', '50001'),
  range('AAPW').replace('2024-03-31', '2024-02-01'),
  '/v3/reference/tickers?limit=1001',
  '/v3/reference/tickers?cursor=abc',
  '/stocks/v1/splits?limit=5001',
  '/stocks/v1/splits?sort=colour.asc',
])('a call that asks wrongly is refused: %s', async (path) => {
  const { get } = await start();
  expect(await get(path)).toMatchObject({ status: 400, body: { status: 'ERROR', error: expect.any(String) } });
});

test('bodies are compressed for those who ask, and the same', async () => {
  const { get, server } = await start();
  const raw = await new Promise<{ encoding: string | undefined; bytes: Buffer }>((resolve) => {
    const headers = { authorization: 'Bearer test-key', 'accept-encoding': 'gzip' };
    request(server.url + grouped(), { headers }, async (response) => {
      resolve({ encoding: response.headers['content-encoding'], bytes: Buffer.concat(await response.toArray()) });
    }).end();
  });
  expect(raw.encoding).toBe('gzip');
  const plain = await get(grouped(), { 'accept-encoding': 'identity' });
  expect(plain.headers.get('content-encoding')).toBeNull();
  expect(JSON.parse(gunzipSync(raw.bytes).toString()).results).toEqual(plain.body.results);
});

test.each<[FailureKind, (got: Got) => void]>([
  [
    'error-500',
    ({ status, body }) => expect({ status, body }).toMatchObject({ status: 500, body: { status: 'ERROR' } }),
  ],
  ['unavailable-503', ({ status, text }) => expect([status, text.slice(0, 6)]).toEqual([503, '<html>'])],
  ['limit-429', ({ status, headers }) => expect([status, headers.get('retry-after')]).toEqual([429, '7'])],
  [
    'empty-429',
    ({ status, headers, text }) => expect([status, headers.get('retry-after'), text]).toEqual([429, null, '']),
  ],
  ['truncated-json', (got) => expect(got.status === 200 && (() => got.body)).toThrow(SyntaxError)],
  ['null-results', ({ status, body }) => expect([status, body.status, body.results]).toEqual([200, 'OK', null])],
  ['error-status', ({ status, body }) => expect([status, body.status]).toEqual([200, 'ERROR'])],
])('a call may fail with %s', async (kind, check) => {
  const { get } = await start(MARKET, { failureRate: 1, failureKinds: [kind], retryAfter: '7' });
  check(await get(grouped()));
});

test.each(['hang-up', 'hang-up-in-body'] as const)('a call may end with %s', async (kind) => {
  const { get, server } = await start(MARKET, { failureRate: 1, failureKinds: [kind] });
  await expect(get(grouped())).rejects.toThrow();
  expect(server.requests).toMatchObject([{ status: kind === 'hang-up' ? 0 : 200 }]);
});

test('the nth call of an address has the same fate, whatever is asked for in between', async () => {
  const fates = async (paths: readonly string[]) => {
    const { get } = await start(MARKET, { failureRate: 0.4, seed: 7 });
    const seen: Record<string, (number | string)[]> = {};
    for (const path of paths) {
      const fate = await get(path).then(
        ({ status, text }) => `${status} ${text.length}`,
        () => 'hang-up',
      );
      seen[path] = [...(seen[path] ?? []), fate];
    }
    return seen;
  };
  const paths = [grouped('2024-03-07'), grouped('2024-03-08'), '/v1/marketstatus/upcoming'];
  const alternating = await fates(Array.from({ length: 30 }, (_, i) => paths[i % 3]!));
  expect(await fates(paths.flatMap((path) => new Array<string>(10).fill(path)))).toEqual(alternating);
  expect(new Set(Object.values(alternating).flat()).size).toBeGreaterThan(4);
});

test('failures stop after so many in a row, and touch only the paths meant', async () => {
  const traps = { failureRate: 1, failureKinds: ['error-500'], failuresInARow: 2, failurePaths: /grouped/ } as const;
  const { get } = await start(MARKET, traps);
  const statuses = [];
  for (let i = 0; i < 6; i++) statuses.push((await get(grouped())).status);
  expect(statuses).toEqual([500, 500, 200, 500, 500, 200]);
  expect((await get('/v1/marketstatus/upcoming')).status).toBe(200);
});

test('the rate limit holds in any window, and those above it are violations that take no place', async () => {
  const { get, server } = await start(MARKET, { rateLimit: { calls: 3, perMs: 1000, retryAfter: '1' } });
  const burst = await Promise.all(Array.from({ length: 5 }, () => get(grouped())));
  expect(burst.map(({ status }) => status).sort()).toEqual([200, 200, 200, 429, 429]);
  expect(burst.find(({ status }) => status === 429)!.headers.get('retry-after')).toBe('1');
  expect(server.violations.map(({ kind }) => kind)).toEqual(['rate', 'rate']);
  await expect.poll(async () => (await get(grouped())).status, { interval: 100, timeout: 10_000 }).toBe(200);
  expect(busiestWindow(server.requests, 1000)).toBeGreaterThanOrEqual(5);
  const admitted = server.requests.filter(({ status }) => status === 200);
  expect(busiestWindow(admitted, 1000)).toBeLessThanOrEqual(3);
});

test('answers and bodies take as long as asked for', async () => {
  const { get, server } = await start(MARKET, { latencyMs: 80, jitterMs: 10 });
  const timeOf = async () => {
    const started = performance.now();
    await get(grouped());
    return performance.now() - started;
  };
  expect(await timeOf()).toBeGreaterThan(75);
  server.set({ latencyMs: 0, jitterMs: 0, slowBodyMs: 200 });
  expect(await timeOf()).toBeGreaterThan(150);
});

test('a plan has a history, paths and days that it does not include', async () => {
  const { get } = await start(MARKET, {
    historyFrom: sessionFrom('2024-03-08'),
    notEntitled: [/splits/],
    beforeEndOfDay: [sessionFrom('2024-03-12')],
  });
  const refused = (message: RegExp) => ({
    status: 403,
    body: { status: 'NOT_AUTHORIZED', message: expect.stringMatching(message) },
  });
  expect(await get(grouped('2024-03-07'))).toMatchObject(refused(/Your plan doesn't include this data timeframe/));
  expect(await get(grouped('2024-03-12'))).toMatchObject(refused(/before end of day/));
  expect(await get('/stocks/v1/splits')).toMatchObject(refused(/not entitled/));
  const { status, body } = await get(range('NULL'));
  expect([status, body.results.map((row: Json) => sessionAt(row.t))]).toEqual([200, SESSIONS.slice(1, 3)]);
});

test('results are null or half for so many times, and bars may be delayed', async () => {
  const times = new Map([[MONDAY, 2]]);
  const { get, server } = await start(MARKET, { nullResults: times, delayed: true });
  const counts = async () => {
    const { resultsCount, results, status } = (await get(grouped())).body;
    return [resultsCount, results?.length ?? null, status];
  };
  expect([await counts(), await counts(), await counts()]).toEqual([
    [0, null, 'DELAYED'],
    [0, null, 'DELAYED'],
    [30, 30, 'DELAYED'],
  ]);
  server.set({ halfResults: new Map([[MONDAY, 1]]), delayed: false });
  expect([await counts(), await counts()]).toEqual([
    [30, 15, 'OK'],
    [30, 30, 'OK'],
  ]);
});

const row = ROWS.find(({ T }) => T === 'CON')!;
const others = ROWS.filter(({ T }) => T !== 'CON');
test.each<[RowFaultKind, readonly Partial<Record<keyof ReplayRow | 't', unknown>>[]]>([
  ['identical-duplicate', [row, row]],
  ['conflicting-duplicate', [row, { ...row, c: row.l, v: row.v + 100 }]],
  ['dropped', []],
  ['zero-volume', [{ ...row, v: 0 }]],
  ['negative-volume', [{ ...row, v: -row.v }]],
  ['infinite-price', [{ ...row, c: Number.POSITIVE_INFINITY }]],
  ['missing-price', [{ ...row, c: undefined }]],
  ['null-price', [{ ...row, c: null }]],
  ['text-price', [{ ...row, c: String(row.c) }]],
  ['zero-price', [{ ...row, o: 0, l: 0 }]],
  ['negative-price', [{ ...row, c: -row.c, l: -row.c }]],
  ['inconsistent-price', [{ ...row, h: row.l / 2 }]],
])('a row may have the fault %s', async (kind, rows) => {
  const rowFaults = [{ kind, tickers: ['CON'], sessions: [MONDAY] }];
  const { get } = await start(MARKET, { rowFaults });
  const { results, resultsCount } = (await get(grouped())).body;
  expect(resultsCount).toBe(results.length);
  const sent = results.map(withoutTime);
  expect(sent.filter(({ T }: Json) => T === 'CON').sort((a: Json, b: Json) => a.v - b.v)).toEqual(rows);
  expect(sent.filter(({ T }: Json) => T !== 'CON').sort(bySymbol)).toEqual(others);
  const inRange = (await get(range('CON'))).body.results.filter(({ t }: Json) => sessionAt(t) === MONDAY);
  expect(inRange.map(withoutTime)).toEqual(rows.map(({ T: _, ...rest }) => rest));
});

test('rows may be of the wrong day, of no symbol and of test symbols', async () => {
  const { get, server } = await start(MARKET, { rowFaults: [{ kind: 'wrong-day', count: 2 }] });
  const timesOf = async () => (await get(grouped())).body.results.map(({ t }: Json) => t);
  expect((await timesOf()).filter((t: number) => sessionAt(t) === MONDAY - 1)).toHaveLength(2);
  server.set({
    rowFaults: [{ kind: 'bad-symbol' }, { kind: 'test-symbol' }, { kind: 'test-symbol', tickers: ['ZZZ.T'] }],
  });
  const names = (await get(grouped())).body.results.map(({ T }: Json) => T) as string[];
  expect(names.filter((name) => !isSymbol(name)).sort()).toEqual(['', '../x', 'A B', 'A/B']);
  expect(names).toEqual(expect.arrayContaining(['ZVZZT', 'ZXYZ.A', 'ZZZ.T']));
  expect(ROW_FAULT_KINDS).toHaveLength(15);
  expect(FAILURE_KINDS).toHaveLength(9);
});

test('a range may ignore where it should begin', async () => {
  const { get } = await start(MARKET, { ignoreFrom: true });
  const { body } = await get(range('INF').replace('2024-03-01', '2024-03-12'));
  expect(body.results).toHaveLength(4);
});

test('a list may loop, never end, and fail on a page', async () => {
  const { get, server } = await start(MARKET, { pageRows: 10, paging: { kind: 'loop' } });
  const follow = async (path: string, pages: number) => {
    const seen: { url: string; status: number; rows: number }[] = [];
    for (let url: string | undefined = path; url && seen.length < pages; ) {
      const { status, body } = await get(url);
      seen.push({ url, status, rows: body.results?.length ?? 0 });
      url = body.next_url?.replace('https://api.polygon.io', '');
    }
    return seen;
  };
  for (const path of ['/v3/reference/tickers', range('ON').replace('50000', '2')]) {
    server.set({ paging: { kind: 'loop' } });
    const looped = await follow(path, 6);
    expect([looped.length, new Set(looped.map(({ url }) => url)).size]).toEqual([6, 2]);
    server.set({ paging: { kind: 'endless' } });
    const endless = await follow(path, 12);
    expect([endless.length, new Set(endless.map(({ url }) => url)).size]).toEqual([12, 12]);
    expect(endless.every(({ rows }) => rows > 0)).toBe(true);
    server.set({ paging: { kind: 'failing', page: 2 } });
    expect((await follow(path, 6)).map(({ status }) => status)).toEqual([200, 500]);
    server.set({ paging: { kind: 'failing', page: 2, match: /nothing/ } });
    expect((await follow(path, 6)).every(({ status }) => status === 200)).toBe(true);
  }
});

test('a call may be sent elsewhere', async () => {
  const { get } = await start(MARKET, { redirect: { match: /grouped/, to: 'http://127.0.0.2:1' } });
  const { status, headers } = await get(grouped());
  expect([status, headers.get('location')]).toEqual([302, `http://127.0.0.2:1${grouped()}`]);
});

test('a correction is made from a call on, and is what the corrected market says', async () => {
  const corrected = { ...row, c: row.h, v: row.v + 5 };
  const corrections = [{ session: MONDAY, fromCall: 3, rows: [corrected, flatRow('NEW', 1)] }];
  const { get } = await start(MARKET, { corrections });
  const rowsNow = async () => (await get(grouped())).body.results.map(withoutTime).sort(bySymbol);
  expect(await rowsNow()).toEqual(ROWS);
  expect((await get(range('CON'))).body.results.map(withoutTime)[2].c).toBe(row.c);
  const truth = correctedMarket(MARKET, corrections);
  expect(await rowsNow()).toEqual(truth.rowsOf(MONDAY));
  expect((await get(range('CON'))).body.results.map(withoutTime)).toEqual(
    truth.rowsOfTicker('CON', SESSIONS[0]!, SESSIONS[3]!).map(({ row: { T: _, ...rest } }) => rest),
  );
  expect(truth.rowsOfTicker('NEW', 0, MONDAY)).toEqual([{ session: MONDAY, row: flatRow('NEW', 1) }]);
});

test('a script answers first, so many times', async () => {
  const respond = { status: 418, headers: { 'x-kind': 'tea' }, body: { short: true } };
  const { get, server } = await start(MARKET, { script: [{ match: /grouped/, times: 2, respond }] });
  for (let i = 0; i < 2; i++) expect(await get(grouped())).toMatchObject({ status: 418, body: { short: true } });
  expect((await get(grouped())).status).toBe(200);
  server.set({ script: [{ match: /./, times: 1, respond: { status: 200, body: '[1' } }] });
  expect((await get('/anything')).text).toBe('[1');
  server.set({ script: [{ match: /./, times: 1, respond: { status: 200, hangUp: 'before' } }] });
  await expect(get(grouped())).rejects.toThrow();
});

test('a synthetic market is the same again, and its answers agree with each other', () => {
  const sessions = Array.from({ length: 120 }, (_, i) => sessionFrom('2025-12-01') + i);
  const options = { symbols: 200, sessions, listedLater: 10, delisted: 10, split: 10, halted: 0.05, seed: 3 };
  const market = syntheticReplayMarket(options);
  const again = syntheticReplayMarket(options);
  const days = sessions.map((session) => market.rowsOf(session));
  expect(sessions.map((session) => again.rowsOf(session))).toEqual(days);
  expect(syntheticReplayMarket({ ...options, seed: 4 }).rowsOf(sessions[0]!)).not.toEqual(days[0]);
  const names = market.tickers.map(({ ticker }) => ticker);
  expect(names).toEqual(expect.arrayContaining(['TRUE', 'NULL', 'CON', 'BRK.B', 'CFGpE', 'BAC.WS.A', 'AAPW', 'AAPw']));
  expect(names.every(isSymbol) && new Set(names).size === 200).toBe(true);
  const byTicker = names.flatMap((name) => market.rowsOfTicker(name, 0, 99_999));
  expect(byTicker).toHaveLength(days.flat().length);
  const ofSession = sessions.map((day) => byTicker.flatMap(({ session, row }) => (session === day ? [row] : [])));
  expect(ofSession).toEqual(days);
  const isGood = ({ o, h, l, c, v }: ReplayRow) => l > 0 && l <= Math.min(o, c) && Math.max(o, c) <= h && v > 0;
  expect(byTicker.filter(({ row }) => !isGood(row) || !Number.isInteger(row.v * 8))).toEqual([]);
  const fractional = byTicker.filter(({ row }) => !Number.isInteger(row.v)).map(({ session }) => session);
  expect(Math.min(...fractional)).toBe(sessionFrom('2026-02-23'));
  const gaps = names.filter((name) => market.rowsOfTicker(name, 0, 99_999)[0]!.session > sessions[10]!);
  expect(gaps.length).toBeGreaterThan(3);
  expect(market.tickers.filter(({ active }) => !active)).toHaveLength(10);
});

test('corrections of a synthetic market are in its rows', () => {
  const corrections = new Map([[`CON ${MONDAY}`, flatRow('CON', 5)]]);
  const market = syntheticReplayMarket({ symbols: 30, sessions: SESSIONS, corrections });
  expect(market.rowsOf(MONDAY)).toContainEqual(flatRow('CON', 5));
  expect(market.rowsOf(MONDAY)).toHaveLength(30);
  expect(market.rowsOfTicker('CON', MONDAY, MONDAY)).toEqual([{ session: MONDAY, row: flatRow('CON', 5) }]);
});
