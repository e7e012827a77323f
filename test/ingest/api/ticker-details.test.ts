import { describe, expect, test } from 'vitest';
import { BatchLayerError } from '../../../src/errors.ts';
import { fetchTickerDetails, NO_DETAILS } from '../../../src/ingest/api/ticker-details.ts';
import { sessionFrom } from '../../../src/session.ts';
import { stubTickers } from '../../support/stub-tickers.ts';

const APPLE = {
  list_date: '1980-12-12',
  sic_code: '3571',
  sic_description: 'ELECTRONIC COMPUTERS',
  market_cap: 2_697_440_402_890,
  share_class_shares_outstanding: 15_334_080_000,
  weighted_shares_outstanding: 15_334_082_000.5,
  total_employees: 154_000,
  homepage_url: 'https://www.apple.com',
};

describe('fetchTickerDetails', () => {
  test('takes what is told', async () => {
    const api = stubTickers({ details: { AAPL: APPLE } });
    expect(await fetchTickerDetails(api, 'AAPL')).toEqual({
      listDate: sessionFrom('1980-12-12'),
      sicCode: '3571',
      industry: 'ELECTRONIC COMPUTERS',
      marketCap: 2_697_440_402_890,
      shareClassShares: 15_334_080_000,
      weightedShares: 15_334_082_000.5,
      employees: 154_000,
      homepage: 'https://www.apple.com',
    });
    expect(api.calls).toEqual(['/v3/reference/tickers/AAPL?']);
  });

  test('asks for a day where one is given, and encodes the ticker', async () => {
    const api = stubTickers({ details: { 'BRK.B': {} } });
    await fetchTickerDetails(api, 'BRK.B', { session: sessionFrom('2024-06-27') });
    expect(api.calls).toEqual(['/v3/reference/tickers/BRK.B?date=2024-06-27']);
    await expect(fetchTickerDetails(api, '../v1/x')).rejects.toMatchObject({ code: 'BadInput' });
    expect(api.calls).toHaveLength(1);
  });

  test.each([
    ['absent', {}],
    ['null', Object.fromEntries(Object.keys(APPLE).map((key) => [key, null]))],
    ['of another kind', Object.fromEntries(Object.keys(APPLE).map((key) => [key, [1]]))],
    ['negative', { market_cap: -1, total_employees: -1, share_class_shares_outstanding: Number.NEGATIVE_INFINITY }],
    ['beyond all bounds', { market_cap: Number.POSITIVE_INFINITY, total_employees: 2 ** 31 }],
    ['no whole number', { total_employees: 1.5 }],
    ['no date and no code', { list_date: '1980-13-12', sic_code: 'x571' }],
    ['the one day that stands for none', { list_date: '1969-12-31' }],
  ])('fields that are %s are absent', async (_, fields) => {
    expect(await fetchTickerDetails(stubTickers({ details: { A: fields } }), 'A')).toEqual(NO_DETAILS);
  });

  test('a code of industry has four digits', async () => {
    const details = { A: { sic_code: '100' } };
    expect(await fetchTickerDetails(stubTickers({ details }), 'A')).toMatchObject({ sicCode: '0100' });
  });

  test('a ticker without details has none', async () => {
    expect(await fetchTickerDetails(stubTickers(), 'A')).toBeUndefined();
  });

  test.each([
    ['about another ticker', { ticker: 'AAPw' }, 'the answer is about "AAPw": expected AAPW'],
    ['about none', { ticker: undefined }, 'is not what the API documents'],
  ])('an answer %s is none', async (_, fields, message) => {
    const api = stubTickers({ details: { AAPW: fields } });
    await expect(fetchTickerDetails(api, 'AAPW')).rejects.toMatchObject({
      code: 'Unavailable',
      message: expect.stringContaining(message),
    });
  });

  test('other failures are the caller’s', async () => {
    const details = { A: new BatchLayerError('NotEntitled', 'not in your plan') };
    await expect(fetchTickerDetails(stubTickers({ details }), 'A')).rejects.toMatchObject({ code: 'NotEntitled' });
    const signal = AbortSignal.abort(new Error('stop'));
    await expect(fetchTickerDetails(stubTickers(), 'A', { signal })).rejects.toThrow('stop');
  });
});
