import { describe, expect, test } from 'vitest';
import { BatchLayerError } from '../../../src/errors.ts';
import type { MarketApi } from '../../../src/ingest/api/market-api.ts';
import { listTickers } from '../../../src/ingest/api/tickers.ts';
import { sessionFrom } from '../../../src/session.ts';
import { stubTickers, tickerRow } from '../../support/stub-tickers.ts';

const rows = (count: number, prefix = 'T') => Array.from({ length: count }, (_, i) => tickerRow(`${prefix}${i}`));

describe('listTickers', () => {
  test('reads all pages of both lists', async () => {
    const api = stubTickers({ active: rows(25), inactive: rows(10, 'OLD'), pageRows: 10 });
    const seen: number[] = [];
    const list = await listTickers(api, { onPage: (done) => seen.push(done) });
    expect(list.active.map(({ symbol }) => symbol)).toEqual(rows(25).map(({ ticker }) => ticker));
    expect(list.inactive).toHaveLength(10);
    expect(list).toMatchObject({ calls: 4, skipped: 0 });
    expect(seen).toEqual([10, 20, 25, 35]);
    expect(new Set(api.calls)).toEqual(
      new Set(['true', 'false'].map((active) => `/v3/reference/tickers?market=stocks&active=${active}&limit=1000`)),
    );
  });

  test('takes every field as it is told, and what is absent or wrong as absent', async () => {
    const api = stubTickers({
      active: [
        tickerRow('BRK.B', {
          cik: '1067983',
          composite_figi: 'BBG000DWG505',
          last_updated_utc: '2026-01-02T07:05:33Z',
        }),
        { ticker: 'BARE' },
        {
          ticker: 'ODD',
          name: 7,
          type: null,
          cik: 'x',
          currency_name: ' usd\0 ',
          primary_exchange: '\ud800',
          active: true,
        },
      ],
      inactive: [
        tickerRow('A', { active: false, delisted_utc: '2019-10-07T04:00:00Z' }),
        tickerRow('B', { delisted_utc: '2025-12-24T00:00:00Z' }),
        tickerRow('C', { delisted_utc: 'soon' }),
      ],
    });
    const { active, inactive } = await listTickers(api);
    const absent = { name: '', type: '', exchange: '', currency: '', cik: '', compositeFigi: '', shareClassFigi: '' };
    expect(active).toEqual([
      {
        symbol: 'BRK.B',
        name: 'BRK.B Inc.',
        type: 'CS',
        exchange: 'XNYS',
        currency: 'usd',
        cik: '0001067983',
        compositeFigi: 'BBG000DWG505',
        shareClassFigi: 'BBG0SBRK.B',
        delistedDate: undefined,
        updatedAt: '2026-01-02T07:05:33Z',
      },
      { ...absent, symbol: 'BARE', delistedDate: undefined, updatedAt: '' },
      { ...absent, symbol: 'ODD', currency: 'usd', delistedDate: undefined, updatedAt: '' },
    ]);
    expect(inactive.map(({ delistedDate }) => delistedDate)).toEqual([
      sessionFrom('2019-10-07'),
      sessionFrom('2025-12-24'),
      undefined,
    ]);
  });

  test('a ticker that is no symbol is skipped and counted', async () => {
    const active = ['A', 'A/B', '../A', 'BRK.B', ' '].map((ticker) => tickerRow(ticker));
    const list = await listTickers(stubTickers({ active, inactive: [tickerRow('X:Y')] }));
    expect(list.active.map(({ symbol }) => symbol)).toEqual(['A', 'BRK.B']);
    expect(list).toMatchObject({ inactive: [], skipped: 4 });
  });

  test.each([
    ['a row has no ticker', [tickerRow('A'), { name: 'B' }], 'a row has no ticker'],
    ['a row is of the other list', [tickerRow('A', { active: false })], 'A has active=false: asked for active=true'],
  ])('nothing is listed where %s', async (_, active, message) => {
    await expect(listTickers(stubTickers({ active }))).rejects.toMatchObject({
      code: 'Unavailable',
      message: expect.stringContaining(message),
    });
  });

  test.each([null, undefined, {}, 'OK'])('a page whose results are %j is no page', async (results) => {
    const api: MarketApi = {
      ...stubTickers(),
      async *pages(_path, _query, read) {
        yield read({ status: 'OK', results });
      },
    };
    await expect(listTickers(api)).rejects.toMatchObject({ code: 'Unavailable' });
  });

  test('a page that fails fails the list', async () => {
    const api = stubTickers({ active: rows(25), pageRows: 10 });
    api.onCall = () => {
      if (api.calls.length === 2) throw new BatchLayerError('Unavailable', 'page 2');
    };
    await expect(listTickers(api)).rejects.toThrow('page 2');
    expect(api.calls).toHaveLength(2);
  });

  test('no call is made beyond those it may take', async () => {
    const api = stubTickers({ active: rows(25), inactive: rows(10), pageRows: 10 });
    for (const maxCalls of [1, 2, 3]) {
      api.calls.length = 0;
      await expect(listTickers(api, { maxCalls })).rejects.toMatchObject({
        code: 'BadInput',
        message: expect.stringContaining(`more than ${maxCalls} calls`),
      });
      expect(api.calls).toHaveLength(maxCalls);
    }
    api.calls.length = 0;
    expect(await listTickers(api, { maxCalls: 4 })).toMatchObject({ calls: 4 });
  });

  test('an abort stops it', async () => {
    const signal = AbortSignal.abort(new Error('stop'));
    await expect(listTickers(stubTickers({ active: rows(3) }), { signal })).rejects.toThrow('stop');
  });
});
