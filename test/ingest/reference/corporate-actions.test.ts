import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { adjustBars } from '../../../src/adjust-bars.ts';
import { allocateBars } from '../../../src/bars.ts';
import { BatchLayerError } from '../../../src/errors.ts';
import type { MarketApi } from '../../../src/ingest/api/market-api.ts';
import { DIVIDENDS_KEY, ingestCorporateActions } from '../../../src/ingest/reference/corporate-actions.ts';
import { readSplits, SPLITS_KEY } from '../../../src/ingest/reference/splits-table.ts';
import { fileStore } from '../../../src/lake/file-store.ts';
import { memoryStore } from '../../../src/lake/memory-store.ts';
import type { ObjectStore } from '../../../src/lake/store.ts';
import type { Progress } from '../../../src/progress.ts';
import { sessionFrom } from '../../../src/session.ts';
import { queryDuckDB } from '../../support/duckdb.ts';
import { temporaryFolder } from '../../support/temporary.ts';

type Row = Record<string, unknown>;

/** What an API has; a list is given `pageRows` rows at a time. */
interface Lists {
  readonly splits: readonly unknown[];
  readonly dividends: readonly unknown[];
}

const PATHS = { splits: '/stocks/v1/splits', dividends: '/stocks/v1/dividends' } as const;

/** An API that hands `read` the answers `answersOf` gives for a path, one a page. */
function apiOf(answersOf: (path: string) => readonly unknown[]): MarketApi & { readonly calls: unknown[] } {
  const calls: unknown[] = [];
  const api = {
    calls,
    async *pages<T>(path: string, query: unknown, read: (answer: unknown) => T, call?: { signal?: AbortSignal }) {
      calls.push([path, query]);
      for (const answer of answersOf(path)) {
        call?.signal?.throwIfAborted();
        yield read(answer);
      }
    },
    close: async () => {},
  };
  return api as unknown as MarketApi & { readonly calls: unknown[] };
}

function serve(lists: Partial<Lists>, pageRows = 3): ReturnType<typeof apiOf> {
  return apiOf((path) => {
    const rows = (path === PATHS.splits ? lists.splits : lists.dividends) ?? [];
    const pages = Math.max(1, Math.ceil(rows.length / pageRows));
    return Array.from({ length: pages }, (_, i) => ({ results: rows.slice(i * pageRows, (i + 1) * pageRows) }));
  });
}

function split(id: string, ticker: string, execution_date: string, split_from: number, split_to: number): Row {
  return { id, ticker, execution_date, split_from, split_to, adjustment_type: 'forward_split' };
}

function dividend(id: string, ticker: string, ex_dividend_date: string, cash_amount: number, change: Row = {}): Row {
  return { id, ticker, ex_dividend_date, cash_amount, currency: 'USD', frequency: 4, ...change };
}

const APPLE = split('E1', 'AAPL', '2020-08-31', 1, 4);
const OLD_APPLE = split('E2', 'AAPL', '2014-06-09', 1, 7);
const OIL = { ...split('E3', 'USO', '2020-04-29', 8, 1), adjustment_type: 'reverse_split' };
const LISTS: Lists = {
  splits: [APPLE, OLD_APPLE, OIL],
  dividends: [
    dividend('D1', 'AAPL', '2025-08-11', 0.26),
    dividend('D2', 'IBM', '2025-08-08', 1.68),
    dividend('D3', 'KO', '2025-06-13', 0.51),
  ],
};

/** A lake after one run. */
async function lakeWith(lists: Lists): Promise<ObjectStore> {
  const lake = memoryStore();
  await ingestCorporateActions(lake, serve(lists));
  return lake;
}

async function changesOf(before: Lists, after: Lists) {
  const { adjusted, dividendsChanged, written } = await ingestCorporateActions(await lakeWith(before), serve(after));
  return { adjusted, dividendsChanged, written };
}

async function bytesOf(lake: ObjectStore): Promise<unknown[]> {
  return Promise.all([SPLITS_KEY, DIVIDENDS_KEY].map(async (key) => (await lake.get(key)).body));
}

describe('ingestCorporateActions', () => {
  test('keeps both lists as tables that DuckDB reads, in order, absent values as NULL', async () => {
    const folder = await temporaryFolder();
    const given = { ...APPLE, historical_adjustment_factor: 0.25 };
    const undated = { ...split('E9', 'NEW', '', 1, 2), execution_date: null, adjustment_type: undefined };
    const full = {
      ...{ declaration_date: '2025-07-31', record_date: '2025-08-11', pay_date: '2025-08-14' },
      ...{ distribution_type: 'recurring', historical_adjustment_factor: 0.997899, split_adjusted_cash_amount: 0.26 },
    };
    const bare = { id: 'D0', ticker: 'AAPL', ex_dividend_date: '2026-02-09', cash_amount: null, pay_date: 'soon' };
    const result = await ingestCorporateActions(
      fileStore(folder),
      serve({
        splits: [OIL, undated, given, OLD_APPLE],
        dividends: [dividend('D1', 'AAPL', '2025-08-11', 0.26, full), bare],
      }),
    );
    expect(result).toEqual({
      splits: 4,
      dividends: 2,
      adjusted: [],
      dividendsChanged: [],
      first: true,
      written: true,
      rejected: [],
      rejectedCount: 0,
      repeated: 0,
      warnings: [],
    });
    const read = (key: string) => queryDuckDB(`SELECT COLUMNS(*)::VARCHAR FROM '${folder}/${key}'`);
    const rows = (await read(SPLITS_KEY)).map((row) => Object.values(row));
    expect(rows).toEqual([
      ['E2', 'AAPL', '2014-06-09', '1.0', '7.0', 'forward_split', null],
      ['E1', 'AAPL', '2020-08-31', '1.0', '4.0', 'forward_split', '0.25'],
      ['E9', 'NEW', null, '1.0', '2.0', '', null],
      ['E3', 'USO', '2020-04-29', '8.0', '1.0', 'reverse_split', null],
    ]);
    const absent = { declaration_date: null, record_date: null, pay_date: null, frequency: null };
    expect(await read(DIVIDENDS_KEY)).toEqual([
      {
        ...{ id: 'D1', symbol: 'AAPL', ex_dividend_date: '2025-08-11', cash_amount: '0.26', currency: 'USD' },
        ...{ declaration_date: '2025-07-31', record_date: '2025-08-11', pay_date: '2025-08-14', frequency: '4' },
        distribution_type: 'recurring',
      },
      {
        ...{ id: 'D0', symbol: 'AAPL', ex_dividend_date: '2026-02-09', cash_amount: null, currency: '' },
        ...absent,
        distribution_type: '',
      },
    ]);
    const types = await queryDuckDB(`DESCRIBE SELECT * FROM '${folder}/${DIVIDENDS_KEY}'`);
    expect(types.map((column) => column.column_type).join()).toBe(
      'VARCHAR,VARCHAR,DATE,DOUBLE,VARCHAR,DATE,DATE,DATE,INTEGER,VARCHAR',
    );
  });

  test('asks for whole lists, in one order, in pages as large as they may be', async () => {
    const api = serve(LISTS);
    await ingestCorporateActions(memoryStore(), api);
    const query = { limit: 5_000, sort: 'ticker.asc' };
    expect(api.calls).toEqual([
      [PATHS.splits, query],
      [PATHS.dividends, query],
    ]);
  });

  test('property: the same rows, in any order and pages of any size, are the same files; nothing is written again', async () => {
    const special = dividend('D0', 'KO', '2025-06-13', 0.1);
    const lists = { splits: LISTS.splits, dividends: [...LISTS.dividends, special] };
    const lake = await lakeWith(lists);
    const expected = await bytesOf(lake);
    const shuffled = <T>(list: readonly T[]) => fc.shuffledSubarray([...list], { minLength: list.length });
    await fc.assert(
      fc.asyncProperty(
        shuffled(lists.splits),
        shuffled(lists.dividends),
        fc.integer({ min: 1, max: 4 }),
        async (splits, dividends, pageRows) => {
          const api = () => serve({ splits, dividends }, pageRows);
          const other = memoryStore();
          await ingestCorporateActions(other, api());
          expect(await bytesOf(other)).toEqual(expected);
          const again = await ingestCorporateActions(lake, api());
          expect(again).toMatchObject({ written: false, first: false, adjusted: [], dividendsChanged: [], splits: 3 });
        },
      ),
      { numRuns: 20 },
    );
    expect((await lake.head(SPLITS_KEY)).etag).toBe('v2');
  });

  test('names symbols with a split that is new, gone or different, and no others', async () => {
    const { splits } = LISTS;
    const named = async (after: readonly unknown[]) => (await changesOf(LISTS, { ...LISTS, splits: after })).adjusted;
    expect(
      await named([...splits, split('E4', 'TSLA', '2022-08-25', 1, 3), split('E5', 'A', '2030-01-02', 1, 2)]),
    ).toEqual(['A', 'TSLA']);
    expect(await named([APPLE, OIL])).toEqual(['AAPL']);
    expect(await named([APPLE, OLD_APPLE])).toEqual(['USO']);
    expect(await named([APPLE, OLD_APPLE, { ...OIL, split_from: 10 }])).toEqual(['USO']);
    expect(await named([{ ...APPLE, execution_date: '2020-09-01' }, OLD_APPLE, OIL])).toEqual(['AAPL']);
    expect(await named([APPLE, OLD_APPLE, { ...OIL, ticker: 'USOX' }])).toEqual(['USO', 'USOX']);
  });

  test('what changes no adjusted price names nobody: other ids, factors, 2 to 8 for 1 to 4, rows twice, 1 to 1, no date', async () => {
    const [apple, old, oil] = LISTS.splits as Row[];
    const after = [
      { ...apple, id: 'X1', split_from: 2, split_to: 8, historical_adjustment_factor: 0.25 },
      { ...old, id: 'X2' },
      { ...old, id: 'X3' },
      { ...oil, adjustment_type: 'stock_dividend' },
      split('X4', 'AFL', '2018-03-16', 1, 1),
      { ...split('X5', 'NEW', '', 1, 2), execution_date: undefined },
      // Noon of no day: what clocks at zero say in New York.
      split('X6', 'NEW', '1969-12-31', 1, 2),
    ];
    expect(await changesOf(LISTS, { ...LISTS, splits: after })).toEqual({
      adjusted: [],
      dividendsChanged: [],
      written: true,
    });
  });

  test('names symbols whose dividends changed', async () => {
    const [apple, ibm, coke] = LISTS.dividends as Row[];
    const named = async (after: readonly unknown[]) => {
      return (await changesOf(LISTS, { ...LISTS, dividends: after })).dividendsChanged;
    };
    expect(await named([apple, coke, dividend('D4', 'A', '2025-10-07', 0.25)])).toEqual(['A', 'IBM']);
    expect(await named([apple, { ...ibm, cash_amount: 1.69 }, coke])).toEqual(['IBM']);
    expect(await named([apple, ibm, { ...coke, pay_date: '2025-07-01' }])).toEqual(['KO']);
    expect(await named([apple, ibm, { ...coke, currency: 'CAD' }])).toEqual(['KO']);
    expect(await named([{ ...apple, id: 'Z' }, ibm, { ...coke, historical_adjustment_factor: 0.9 }])).toEqual([]);
  });

  test('two splits or dividends of one day that swap their ids are no change', async () => {
    const two = (a: string, b: string) => ({
      splits: [split(a, 'T', '2024-05-01', 15, 1), split(b, 'T', '2024-05-01', 1, 2)],
      dividends: [dividend(a, 'T', '2025-01-10', 1), dividend(b, 'T', '2025-01-10', 2)],
    });
    expect(await changesOf(two('a', 'b'), two('b', 'a'))).toEqual({
      adjusted: [],
      dividendsChanged: [],
      written: true,
    });
  });

  test.each<[string, unknown, string]>([
    ['no ratio', { ...OIL, split_to: undefined }, 'split_to'],
    ['shares of zero', { ...OIL, split_from: 0 }, 'split_from'],
    ['shares as text', { ...OIL, split_from: '8' }, 'split_from'],
    ['a date that is none', { ...OIL, execution_date: '2020-02-30' }, '"2020-02-30" is not a date'],
    ['a ticker that is no symbol', { ...OIL, ticker: '../USO' }, 'is not a symbol'],
    ['no id', { ...OIL, id: undefined }, 'id'],
    ['no object', null, 'expected object'],
  ])('a row with %s is rejected and told, and the others are taken', async (_, row, reason) => {
    const lake = memoryStore();
    const result = await ingestCorporateActions(lake, serve({ ...LISTS, splits: [APPLE, row, OLD_APPLE] }));
    const id = (row as Row | null)?.id ?? '';
    expect(result).toMatchObject({ splits: 2, rejectedCount: 1 });
    expect(result.rejected).toEqual([{ table: 'splits', id, reason: expect.stringContaining(reason) }]);
    expect([...(await readSplits(lake)).keys()]).toEqual(['AAPL']);
  });

  test('a dividend with a negative amount or a wrong ex-dividend date is rejected', async () => {
    const wrong = [dividend('D8', 'T', '2025-01-10', -1), dividend('D9', 'T', '20250110', 1)];
    const result = await ingestCorporateActions(memoryStore(), serve({ dividends: [...LISTS.dividends, ...wrong] }));
    expect(result.dividends).toBe(3);
    expect(result.rejected.map(({ table, id }) => [table, id])).toEqual([
      ['dividends', 'D8'],
      ['dividends', 'D9'],
    ]);
  });

  test('all rejected rows are counted, and the first 1,000 told', async () => {
    const wrong = Array.from({ length: 1_234 }, (_, i) => ({ id: `W${i}` }));
    const result = await ingestCorporateActions(memoryStore(), serve({ ...LISTS, splits: [...wrong, APPLE] }, 500));
    expect([result.rejectedCount, result.rejected.length, result.rejected.at(-1)!.id]).toEqual([1_234, 1_000, 'W999']);
  });

  test('of an id on two pages the last row counts', async () => {
    const lake = memoryStore();
    const result = await ingestCorporateActions(lake, serve({ splits: [APPLE, OIL, { ...APPLE, split_to: 5 }] }, 1));
    expect(result).toMatchObject({ splits: 2, repeated: 1 });
    expect((await readSplits(lake)).get('AAPL')).toEqual([{ session: sessionFrom('2020-08-31'), from: 1, to: 5 }]);
  });

  test('different splits of one symbol on one day both count, with a warning; the same split twice is none', async () => {
    const pairs = Array.from({ length: 12 }, (_, i) => [
      split(`a${i}`, `T${i}`, '2024-05-01', 15, 1),
      split(`b${i}`, `T${i}`, '2024-05-01', 1, 2),
    ]);
    const lake = memoryStore();
    const splits = [APPLE, { ...APPLE, id: 'E7' }, ...pairs.flat()];
    const { warnings } = await ingestCorporateActions(lake, serve({ splits }));
    expect(warnings).toHaveLength(11);
    expect(warnings[0]).toBe('T0 has two splits on 2024-05-01, 15 to 1 and 1 to 2: both count');
    expect(warnings[10]).toMatch(/^2 more/);
    expect((await readSplits(lake)).get('AAPL')).toHaveLength(1);
    expect((await readSplits(lake)).get('T0')).toHaveLength(2);
  });

  test.each<[string, readonly unknown[]]>([
    ['without results', [{ results: LISTS.dividends.slice(0, 1) }, { status: 'OK' }]],
    ['with results that are no list', [{ results: null }]],
    ['that is no object', ['<html>']],
  ])('an answer %s is Unavailable, so that it is asked for again, and nothing is written', async (_, answers) => {
    const lake = await lakeWith(LISTS);
    const before = await bytesOf(lake);
    const api = apiOf((path) => (path === PATHS.splits ? [{ results: [] }] : answers));
    await expect(ingestCorporateActions(lake, api)).rejects.toMatchObject({ code: 'Unavailable' });
    expect(await bytesOf(lake)).toEqual(before);
  });

  test.each(['splits', 'dividends'] as const)(
    'an empty list of %s does not replace a table with rows',
    async (name) => {
      const lake = await lakeWith(LISTS);
      const before = await bytesOf(lake);
      const other = { splits: [OIL], dividends: [dividend('D5', 'T', '2025-01-10', 1)] };
      for (const none of [[], [{ id: 'wrong' }]]) {
        await expect(ingestCorporateActions(lake, serve({ ...other, [name]: none }))).rejects.toMatchObject({
          code: 'Unavailable',
          message: expect.stringContaining(`no ${name}`),
        });
        expect(await bytesOf(lake)).toEqual(before);
      }
    },
  );

  test('where there never were any, an empty list is a table without rows, and the next rows are changes', async () => {
    const lake = await lakeWith({ splits: [], dividends: [] });
    expect(await readSplits(lake)).toEqual(new Map());
    expect(await ingestCorporateActions(lake, serve({ splits: [], dividends: [] }))).toMatchObject({ written: false });
    const { first, adjusted } = await ingestCorporateActions(lake, serve(LISTS));
    expect([first, adjusted]).toEqual([false, ['AAPL', 'USO']]);
  });

  test('a damaged table is replaced, with a warning, and all its symbols count as changed; an empty list does not', async () => {
    const lake = await lakeWith(LISTS);
    await lake.put(SPLITS_KEY, Buffer.from('PAR1 and so on'));
    await expect(readSplits(lake)).rejects.toMatchObject({ code: 'CorruptObject' });
    const empty = serve({ ...LISTS, splits: [] });
    await expect(ingestCorporateActions(lake, empty)).rejects.toMatchObject({ code: 'Unavailable' });
    const result = await ingestCorporateActions(lake, serve(LISTS));
    expect(result).toMatchObject({ adjusted: ['AAPL', 'USO'], dividendsChanged: [], first: false, written: true });
    expect(result.warnings).toEqual([expect.stringMatching(/^reference\/splits\.parquet: .*: replaced/)]);
    expect((await readSplits(lake)).size).toBe(2);
  });

  test('a run that was overtaken compares again, with what is there by then', async () => {
    const lake = await lakeWith(LISTS);
    const newer = [...LISTS.splits, split('E4', 'TSLA', '2022-08-25', 1, 3)];
    let races = 0;
    const raced: ObjectStore = {
      ...lake,
      async put(key, body, call) {
        if (key === SPLITS_KEY && races++ === 0) await ingestCorporateActions(lake, serve({ ...LISTS, splits: newer }));
        return lake.put(key, body, call);
      },
    };
    const after = [...newer, split('E6', 'NVDA', '2024-06-10', 1, 10)];
    const result = await ingestCorporateActions(raced, serve({ ...LISTS, splits: after }));
    expect([races, result.adjusted]).toEqual([2, ['NVDA']]);
  });

  test('a run that is always overtaken gives up with Conflict', async () => {
    const lake = await lakeWith(LISTS);
    const conflict = new BatchLayerError('Conflict', 'again');
    const lost: ObjectStore = { ...lake, put: () => Promise.reject(conflict) };
    await expect(ingestCorporateActions(lost, serve({ ...LISTS, splits: [OIL] }))).rejects.toBe(conflict);
  });

  test('an abort stops it before anything is written', async () => {
    const lake = memoryStore();
    const controller = new AbortController();
    const steps: Progress[] = [];
    const run = ingestCorporateActions(lake, serve(LISTS, 1), {
      signal: controller.signal,
      onProgress: (progress) => {
        steps.push(progress);
        if (progress.step === 'fetch dividends') controller.abort(new Error('enough'));
      },
    });
    await expect(run).rejects.toThrow('enough');
    expect(steps.map(({ step, done }) => `${step} ${done}`)).toEqual([
      ...['fetch splits 1', 'fetch splits 2', 'fetch splits 3', 'fetch dividends 1'],
    ]);
    expect(await Array.fromAsync(lake.list(''))).toEqual([]);
  });
});

describe('readSplits', () => {
  test('gives the splits of every symbol as adjustBars takes them', async () => {
    const lake = await lakeWith(LISTS);
    const apple = [
      { session: sessionFrom('2014-06-09'), from: 1, to: 7 },
      { session: sessionFrom('2020-08-31'), from: 1, to: 4 },
    ];
    const splits = await readSplits(lake);
    expect([...splits]).toEqual([
      ['AAPL', apple],
      ['USO', [{ session: sessionFrom('2020-04-29'), from: 8, to: 1 }]],
    ]);
    expect((await readSplits(lake)).get('AAPL')).toEqual(apple);
    expect((await readSplits(lake)).get('NONE')).toBeUndefined();
    const bars = allocateBars(1);
    bars.session[0] = sessionFrom('2014-06-06');
    bars.close[0] = 645.57;
    expect(adjustBars(bars, splits.get('AAPL') ?? []).close[0]).toBeCloseTo(23.0561, 4);
  });

  test('leaves out splits after `until`', async () => {
    const lake = await lakeWith(LISTS);
    const until = sessionFrom('2020-08-30');
    expect((await readSplits(lake, { until })).get('AAPL')?.map(({ to }) => to)).toEqual([7]);
    expect((await readSplits(lake, { until: until + 1 })).get('AAPL')?.map(({ to }) => to)).toEqual([7, 4]);
    expect([...(await readSplits(lake, { until: sessionFrom('2014-12-31') })).keys()]).toEqual(['AAPL']);
  });

  test('without a table it is NotFound, not a market without splits', async () => {
    await expect(readSplits(memoryStore())).rejects.toMatchObject({ code: 'NotFound' });
  });
});
