import { describe, expect, onTestFinished, test } from 'vitest';
import { BatchLayerError } from '../../../src/errors.ts';
import { openMarketApi } from '../../../src/ingest/api/market-api.ts';
import { type IngestMetaOptions, ingestMeta } from '../../../src/ingest/reference/ingest-meta.ts';
import {
  readSymbolMetadata,
  SYMBOL_METADATA_KEY,
  type SymbolMetadata,
} from '../../../src/ingest/reference/symbol-metadata.ts';
import { memoryStore } from '../../../src/lake/memory-store.ts';
import type { ObjectStore } from '../../../src/lake/store.ts';
import { sessionFrom } from '../../../src/session.ts';
import { keysOf } from '../../support/lake-reader.ts';
import { marketOf, type ReplayTicker } from '../../support/market/replay-market.ts';
import { startReplayServer } from '../../support/market/replay-server.ts';
import type { Traps } from '../../support/market/traps.ts';
import { type StubTickers, stubTickers, tickerRow } from '../../support/stub-tickers.ts';

const MONDAY = Date.parse('2026-03-02T22:00:00Z');
const TODAY = sessionFrom('2026-03-02');
const DAY_MS = 86_400_000;

const rows = (...tickers: readonly string[]) => tickers.map((ticker) => tickerRow(ticker));
const DETAILS = { A: { market_cap: 1 }, B: { market_cap: 2 }, C: { market_cap: 3, sic_code: '3571' } };

/** Runs the job so many days after the first Monday of March 2026. */
function run(store: ObjectStore, api: StubTickers, day = 0, options: IngestMetaOptions = {}) {
  return ingestMeta(store, api as ReturnType<typeof stubTickers>, { now: () => MONDAY + day * DAY_MS, ...options });
}

/** A store whose puts fail as long as `failure` is set, or see another writer before them. */
function faultyStore(inner: ObjectStore = memoryStore()) {
  const faulty = {
    puts: 0,
    failure: undefined as Error | undefined,
    before: undefined as (() => Promise<unknown>) | undefined,
  };
  const store: ObjectStore = {
    ...inner,
    async put(...call) {
      faulty.puts++;
      if (faulty.failure) throw faulty.failure;
      const { before } = faulty;
      faulty.before = undefined;
      await before?.();
      return inner.put(...call);
    },
  };
  return Object.assign(faulty, { store, inner });
}

const summary = (found: readonly SymbolMetadata[]) =>
  found.map(({ symbol, active, marketCap, detailsAsOf }) => [
    symbol,
    active,
    marketCap,
    detailsAsOf && detailsAsOf - TODAY,
  ]);

const detailCalls = (api: { readonly calls: readonly string[] }) =>
  api.calls.flatMap((call) => /tickers\/([^?]+)/.exec(call)?.[1] ?? []);

describe('ingestMeta', () => {
  test('brings lists and details into one table, and what changed into its result', async () => {
    const store = memoryStore();
    const old = tickerRow('OLD', { delisted_utc: '2020-01-02T05:00:00Z' });
    const api = stubTickers({ active: rows('A', 'B', 'C', 'N/A'), inactive: [old], details: DETAILS });
    const first = await run(store, api);
    expect(first).toMatchObject({ symbols: 3, rows: 4, listed: 3, listedInactive: 1, skipped: 1, written: true });
    expect(first).toMatchObject({ added: 3, addedInactive: 1, detailsFetched: 3, detailsPending: 0, failed: [] });
    expect(first).toMatchObject({ warnings: [], api: { calls: 5 }, metrics: { requests: { GET: 1, PUT: 1 } } });
    expect(first).not.toHaveProperty('databaseFailure');
    expect(await keysOf(store)).toEqual([SYMBOL_METADATA_KEY]);
    expect(await readSymbolMetadata(store)).toMatchObject([
      { symbol: 'A', marketCap: 1 },
      { symbol: 'B', marketCap: 2 },
      { symbol: 'C', marketCap: 3, industry: '', sector: 'Manufacturing', detailsAsOf: TODAY },
      { symbol: 'OLD', validTo: sessionFrom('2020-01-03'), active: false },
    ]);

    api.active = [tickerRow('A', { name: 'Aleph' }), tickerRow('D', { share_class_figi: 'BBG0SB' }), ...rows('E')];
    api.inactive = [old, tickerRow('C', { delisted_utc: '2026-03-02T05:00:00Z' })];
    const second = await run(store, api, 1);
    expect(second).toMatchObject({ added: 1, delisted: 1, renamed: 1, recycled: 0, missing: 0, updated: 1, rows: 6 });
    expect(second.changed).toEqual({
      added: ['E'],
      delisted: ['C'],
      renamed: [{ from: 'B', to: 'D' }],
      recycled: [],
      missing: [],
    });
    expect(second).toMatchObject({ detailsFetched: 1, detailsNotFound: 1 });
    expect(summary(await readSymbolMetadata(store))).toEqual([
      ['A', true, 1, 0],
      ['B', false, 2, 0],
      ['C', false, 3, 0],
      ['D', true, 2, 0],
      ['E', true, undefined, 1],
      ['OLD', false, undefined, undefined],
    ]);
  });

  test('the same lists again write nothing, and any order of them gives the same bytes', async () => {
    const [faulty, other] = [faultyStore(), memoryStore()];
    const api = stubTickers({ active: rows('A', 'B', 'C'), inactive: rows('X', 'Y'), details: DETAILS });
    await run(faulty.store, api);
    expect(await run(faulty.store, api, 3)).toMatchObject({ written: false, detailsFetched: 0 });
    expect(faulty.puts).toBe(1);
    await run(other, stubTickers({ active: rows('C', 'A', 'B'), inactive: rows('Y', 'X'), details: DETAILS }));
    expect((await other.get(SYMBOL_METADATA_KEY)).body).toEqual((await faulty.store.get(SYMBOL_METADATA_KEY)).body);
  });

  test('details are asked for as far as calls go, the oldest first, and again when they are old', async () => {
    const store = memoryStore();
    const api = stubTickers({ active: rows('A', 'B', 'C'), details: DETAILS });
    const calls = async (day: number, maxCalls = 3) => {
      api.calls.length = 0;
      const { detailsFetched, detailsPending } = await run(store, api, day, { maxCalls });
      expect(api.calls.length).toBeLessThanOrEqual(maxCalls);
      return [detailCalls(api).join(), detailsFetched, detailsPending];
    };
    expect(await calls(0)).toEqual(['A', 1, 2]);
    expect(await calls(1)).toEqual(['B', 1, 1]);
    expect(await calls(2, 100)).toEqual(['C', 1, 0]);
    expect(await calls(6)).toEqual(['', 0, 0]);
    expect(await calls(7)).toEqual(['A', 1, 0]);
    expect(await calls(20)).toEqual(['B', 1, 2]);
    expect(await calls(20, 2)).toEqual(['', 0, 2]);
    expect(summary(await readSymbolMetadata(store))).toEqual([
      ['A', true, 1, 7],
      ['B', true, 2, 20],
      ['C', true, 3, 2],
    ]);
  });

  test('symbols that are named are asked for in any case, and no others', async () => {
    const store = memoryStore();
    const inactive = [tickerRow('OLD', { delisted_utc: '2020-01-02' })];
    const api = stubTickers({ active: rows('A', 'B'), inactive, details: { ...DETAILS, OLD: { sic_code: '1000' } } });
    for (let i = 0; i < 2; i++) {
      const { failed, detailsFetched } = await run(store, api, 0, { symbols: ['OLD', 'B', 'ZZZ'] });
      expect(detailsFetched).toBe(2);
      expect(failed).toEqual([{ symbol: 'ZZZ', code: 'NotFound', message: 'ZZZ is in no list of tickers' }]);
    }
    expect(api.calls).toContain('/v3/reference/tickers/OLD?date=2020-01-02');
    expect((await readSymbolMetadata(store)).map(({ symbol, sector }) => `${symbol} ${sector}`)).toEqual([
      'A ',
      'B ',
      'OLD Mining',
    ]);
  });

  test('that there are no details is remembered', async () => {
    const store = memoryStore();
    const api = stubTickers({ active: rows('A', 'X'), details: DETAILS });
    expect(await run(store, api)).toMatchObject({
      detailsFetched: 2,
      detailsNotFound: 1,
      failed: [],
      detailsPending: 0,
    });
    api.calls.length = 0;
    await run(store, api, 6);
    expect(detailCalls(api)).toEqual([]);
    await run(store, api, 7);
    expect(detailCalls(api)).toEqual(['A', 'X']);
  });

  test('details that fail are reported, and asked for on the next run', async () => {
    const store = memoryStore();
    const details = { ...DETAILS, A: new BatchLayerError('Unavailable', 'try later'), B: { ticker: 'b' } };
    const api = stubTickers({ active: rows('A', 'B', 'C'), details });
    const { failed, ...result } = await run(store, api);
    expect(failed.map(({ symbol, code }) => [symbol, code])).toEqual([
      ['A', 'Unavailable'],
      ['B', 'Unavailable'],
    ]);
    expect(result).toMatchObject({ detailsFetched: 1, detailsPending: 0, written: true });
    api.details = DETAILS;
    api.calls.length = 0;
    expect(await run(store, api)).toMatchObject({ failed: [] });
    expect(detailCalls(api)).toEqual(['A', 'B']);
  });

  test('a plan without details is asked for no more of them, and the list counts all the same', async () => {
    const store = memoryStore();
    const active = Array.from({ length: 50 }, (_, i) => tickerRow(`S${i}`));
    const refused = new BatchLayerError('NotEntitled', 'details are not in your plan');
    const api = stubTickers({ active, details: Object.fromEntries(active.map(({ ticker }) => [ticker, refused])) });
    const result = await run(store, api);
    expect(result).toMatchObject({ symbols: 50, detailsFetched: 0, detailsPending: 50, failed: [], written: true });
    expect(result.warnings).toEqual([expect.stringContaining('details are not in your plan')]);
    expect(detailCalls(api).length).toBeLessThanOrEqual(8);
  });

  test('a wrong key stops the run, and nothing is changed', async () => {
    const store = memoryStore();
    const api = stubTickers({ active: rows('A'), details: { A: new BatchLayerError('BadInput', 'unknown key') } });
    await expect(run(store, api)).rejects.toMatchObject({ code: 'BadInput' });
    expect(await keysOf(store)).toEqual([]);
  });

  test('a list that cannot be had whole, or cannot be whole, changes nothing', async () => {
    const faulty = faultyStore();
    const many = rows(...Array.from({ length: 120 }, (_, i) => `S${i}`));
    const api = stubTickers({ active: many, inactive: rows('OLD') });
    await run(faulty.store, api);
    const before = await faulty.store.get(SYMBOL_METADATA_KEY);
    const attempts: readonly Partial<StubTickers>[] = [
      { active: [] },
      { active: many.slice(13) },
      { active: many, pageRows: 50, onCall: () => failOnce(3) },
      { active: many, onCall: () => failOnce(2) },
    ];
    let calls = 0;
    const failOnce = (call: number) => {
      if (++calls === call) throw new BatchLayerError('Unavailable', 'a page failed');
    };
    for (const attempt of attempts) {
      calls = 0;
      await expect(run(faulty.store, stubTickers({ inactive: many, ...attempt }), 1)).rejects.toMatchObject({
        code: 'Unavailable',
      });
      expect(await faulty.store.get(SYMBOL_METADATA_KEY)).toEqual(before);
    }
    expect(await run(faulty.store, stubTickers({ active: many.slice(13) }), 1, { maxLostShare: 0.2 })).toMatchObject({
      missing: 13,
      delisted: 0,
    });
  });

  test('a damaged table is not replaced, and no call is made for it', async () => {
    const store = memoryStore();
    await store.put(SYMBOL_METADATA_KEY, new Uint8Array(99));
    const api = stubTickers({ active: rows('A') });
    await expect(run(store, api)).rejects.toMatchObject({
      code: 'CorruptObject',
      message: expect.stringContaining('restore an earlier version of the object, or delete it'),
    });
    expect(api.calls).toEqual([]);
    expect((await store.get(SYMBOL_METADATA_KEY)).body).toEqual(new Uint8Array(99));
    await store.delete(SYMBOL_METADATA_KEY);
    expect(await run(store, api)).toMatchObject({ added: 1 });
  });

  test('a run that could not write is made good by the next', async () => {
    const [faulty, other] = [faultyStore(), memoryStore()];
    const api = stubTickers({ active: rows('A', 'B'), details: DETAILS });
    faulty.failure = new BatchLayerError('Unavailable', 'no store');
    await expect(run(faulty.store, api)).rejects.toThrow('no store');
    expect(await keysOf(faulty.store)).toEqual([]);
    faulty.failure = undefined;
    await run(faulty.store, api);
    await run(other, api);
    expect(await readSymbolMetadata(faulty.store)).toEqual(await readSymbolMetadata(other));
  });

  test('over what another run has written, everything is planned again', async () => {
    const faulty = faultyStore();
    const api = stubTickers({ active: rows('A', 'B'), details: DETAILS });
    await run(faulty.inner, api);
    api.active = [tickerRow('A'), tickerRow('C', { share_class_figi: 'BBG0SB' }), ...rows('D')];
    const slower = stubTickers({ active: [...api.active, ...rows('E')], details: { D: { market_cap: 4 } } });
    faulty.before = () => run(faulty.inner, api, 1, { maxCalls: 2 });
    const result = await run(faulty.store, slower, 1);
    expect(result).toMatchObject({ written: true, added: 1, renamed: 0, changed: { added: ['E'] }, detailsFetched: 2 });
    expect(summary(await readSymbolMetadata(faulty.store))).toEqual([
      ['A', true, 1, 0],
      ['B', false, 2, 0],
      ['C', true, 2, 0],
      ['D', true, 4, 1],
      ['E', true, undefined, 1],
    ]);
  });

  test('who always comes second gives up', async () => {
    const faulty = faultyStore();
    faulty.failure = new BatchLayerError('Conflict', 'another was faster');
    await expect(run(faulty.store, stubTickers({ active: rows('A') }))).rejects.toMatchObject({ code: 'Conflict' });
    expect(faulty.puts).toBe(5);
  });

  test('the sink gets all rows after the lake has them, every time, and its failure is told', async () => {
    const store = memoryStore();
    const api = stubTickers({ active: rows('A', 'B'), details: DETAILS });
    const written: (readonly SymbolMetadata[])[] = [];
    const sink = {
      async writeMetadata(given: readonly SymbolMetadata[]) {
        expect(await readSymbolMetadata(store)).toEqual(given);
        written.push(given);
        if (written.length === 2) throw new Error('connection refused');
      },
    };
    expect(await run(store, api, 0, { sink })).not.toHaveProperty('databaseFailure');
    api.active = rows('A', 'B', 'C');
    expect(await run(store, api, 1, { sink })).toMatchObject({ databaseFailure: 'connection refused', added: 1 });
    expect(await run(store, api, 1, { sink })).toMatchObject({ written: false });
    expect(written.map((given) => given.length)).toEqual([2, 3, 3]);
  });

  test('tells how far it is', async () => {
    const steps: string[] = [];
    const api = stubTickers({ active: rows('A', 'B', 'C'), pageRows: 2, details: DETAILS });
    const onProgress: IngestMetaOptions['onProgress'] = ({ step, done, total }) =>
      steps.push(`${step} ${done}/${total}`);
    await run(memoryStore(), api, 0, { onProgress });
    const expected = [
      'list 2',
      'list 3',
      'list 3',
      'details 1/3',
      'details 2/3',
      'details 3/3',
      'write 0/1',
      'write 1/1',
    ];
    expect(steps.map((step) => step.replace('/undefined', ''))).toEqual(expected);
  });

  test.each([1, 2, 3, 4, 5])('an abort at call %i stops it, and nothing is written', async (at) => {
    const store = memoryStore();
    const stop = new AbortController();
    const api = stubTickers({ active: rows('A', 'B', 'C'), details: DETAILS });
    api.onCall = () => {
      if (api.calls.length === at) stop.abort(new Error('stop'));
    };
    await expect(run(store, api, 0, { signal: stop.signal })).rejects.toThrow('stop');
    expect(await keysOf(store)).toEqual([]);
  });

  test.each<[string, IngestMetaOptions]>([
    ['maxCalls is 0', { maxCalls: 0 }],
    ['detailsMaxAgeDays is -1', { detailsMaxAgeDays: -1 }],
    ['maxLostShare is 2', { maxLostShare: 2 }],
    ['"A/B" is not a symbol', { symbols: ['A/B'] }],
    ['more than 1 calls', { maxCalls: 1 }],
  ])('%s: wrong options are refused', async (message, options) => {
    await expect(run(memoryStore(), stubTickers({ active: rows('A') }), 0, options)).rejects.toMatchObject({
      code: 'BadInput',
      message: expect.stringContaining(message),
    });
  });
});

describe('over HTTP', () => {
  const replayTicker = (ticker: string, fields: Partial<ReplayTicker> = {}): ReplayTicker => ({
    ticker,
    name: `${ticker} Holdings`,
    market: 'stocks',
    locale: 'us',
    active: true,
    currency_name: 'usd',
    type: 'CS',
    cik: String(ticker.charCodeAt(0)).padStart(10, '0'),
    ...fields,
  });
  const fund = { name: 'Ball Metaverse ETF', type: 'ETF', cik: '0000000009' };
  const BEFORE = [replayTicker('BRK.B'), replayTicker('FB', { market_cap: 5e11 }), replayTicker('META', fund)];
  const AFTER = [
    replayTicker('BRK.B', { sic_code: '6331' }),
    replayTicker('META', { cik: BEFORE[1]!.cik!, market_cap: 6e11 }),
    replayTicker('META', { ...fund, active: false, delisted_utc: '2026-02-27T05:00:00Z' }),
  ];

  async function open(tickers: readonly ReplayTicker[], traps: Partial<Traps> = {}) {
    const server = await startReplayServer({ market: marketOf({ rows: {}, tickers }), traps });
    const api = openMarketApi({ apiKey: server.apiKey, baseUrl: server.url });
    onTestFinished(async () => {
      await api.close();
      await server.close();
    });
    return { api, server };
  }

  test('FB becomes META', async () => {
    const store = memoryStore();
    const { api } = await open(BEFORE);
    await ingestMeta(store, api, { now: () => MONDAY });
    const later = await open(AFTER);
    const result = await ingestMeta(store, later.api, { now: () => MONDAY + 7 * DAY_MS });
    expect(result).toMatchObject({ renamed: 1, recycled: 1, delisted: 0, missing: 0, detailsFetched: 2, failed: [] });
    const found = await readSymbolMetadata(store);
    expect(
      found.map((row) => [row.symbol, row.type, row.active, row.renamedFrom, row.renamedTo, row.marketCap]),
    ).toEqual([
      ['BRK.B', 'CS', true, '', '', undefined],
      ['FB', 'CS', false, '', 'META', 5e11],
      ['META', 'ETF', false, '', '', undefined],
      ['META', 'CS', true, 'FB', '', 6e11],
    ]);
    expect(found[0]).toMatchObject({ sector: 'Finance, Insurance, and Real Estate' });
    expect(later.server.violations).toEqual([]);
  });

  test('2,500 tickers come in pages, and failures that pass are tried again', async () => {
    const tickers = Array.from({ length: 2_500 }, (_, i) =>
      replayTicker(`T${i}`, { cik: String(i).padStart(10, '0') }),
    );
    const { api, server } = await open(tickers, {
      failureRate: 0.3,
      failureKinds: ['error-500', 'truncated-json'],
      failuresInARow: 2,
    });
    const result = await ingestMeta(memoryStore(), api, { now: () => MONDAY, maxCalls: 14 });
    expect(result).toMatchObject({ symbols: 2_500, detailsFetched: 10, detailsPending: 2_490, failed: [] });
    expect(result.api.calls).toBe(14 + result.api.retries);
    expect(result.api.calls).toBe(server.requests.length);
  });

  test.each<Partial<Traps>>([
    { paging: { kind: 'failing', page: 2 } },
    { paging: { kind: 'loop' } },
    { notEntitled: [/active=false/] },
  ])('%j: no list, no table', async (traps) => {
    const tickers = Array.from({ length: 1_500 }, (_, i) => replayTicker(`T${i}`));
    const { server } = await open(tickers, traps);
    const api = openMarketApi({ apiKey: server.apiKey, baseUrl: server.url, maxAttempts: 2, random: () => 0 });
    onTestFinished(() => api.close());
    const store = memoryStore();
    await expect(ingestMeta(store, api)).rejects.toMatchObject({ name: 'BatchLayerError' });
    expect(await keysOf(store)).toEqual([]);
  });
});
