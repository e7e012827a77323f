import { compareSymbols } from '../../../src/symbol.ts';
import { type Answer, json, notFound, requestId } from './answer.ts';
import type { Call } from './call.ts';
import { listParameters, pageOf } from './paging.ts';
import { checkNames, comparisons, dateParameter, filterBy, flag, oneOf } from './query.ts';
import type { ReplayTicker } from './replay-market.ts';

const LIST_FIELDS = [
  'ticker',
  'name',
  'market',
  'locale',
  'primary_exchange',
  'type',
  'active',
  'currency_name',
  'cik',
  'composite_figi',
  'share_class_figi',
  'last_updated_utc',
  'delisted_utc',
] as const satisfies readonly (keyof ReplayTicker)[];

/** `GET /v3/reference/tickers` */
export function tickerList(call: Call): Answer {
  const parameters = listParameters(call.url.searchParams);
  const own = ['type', 'market', 'exchange', 'cik', 'search', 'date', 'active', 'sort', 'order', 'limit'];
  checkNames(parameters, [...comparisons('ticker'), ...own, 'cursor', 'offset']);
  const isActive = flag(parameters, 'active', true);
  oneOf(parameters, 'sort', ['ticker'], 'ticker');
  const order = oneOf(parameters, 'order', ['asc', 'desc'], 'asc');
  const date = parameters.get('date');
  if (date !== null) dateParameter(date, 'date');
  const exchange = parameters.get('exchange');
  const search = parameters.get('search')?.toLowerCase();
  const rows = filterBy(call.market.tickers, parameters, ['ticker', 'market', 'type', 'cik'])
    .filter((row) => isActiveOn(row, date) === isActive)
    .filter(({ primary_exchange }) => exchange === null || primary_exchange === exchange)
    .filter(({ ticker, name }) => search === undefined || `${ticker} ${name}`.toLowerCase().includes(search))
    .sort((a, b) => compareSymbols(a.ticker, b.ticker) * (order === 'asc' ? 1 : -1));
  const { results, next } = pageOf(call, rows, { parameters, limit: { fallback: 100, most: 1000 } });
  return json(200, {
    results: results.map((row) => Object.fromEntries(LIST_FIELDS.map((field) => [field, row[field]]))),
    status: 'OK',
    request_id: requestId(),
    count: results.length,
    ...next,
  });
}

/** `GET /v3/reference/tickers/{ticker}`: of the security that has the ticker now, or had it on `date`. */
export function tickerDetails({ url, market }: Call, ticker: string): Answer {
  checkNames(url.searchParams, ['date']);
  const date = url.searchParams.get('date');
  if (date !== null) dateParameter(date, 'date');
  const found = market.tickers.find((row) => row.ticker === ticker && isActiveOn(row, date));
  if (!found) return notFound('Ticker not found.');
  const { last_updated_utc: _, ...results } = found;
  return json(200, { request_id: requestId(), results: { ...results, active: true }, status: 'OK' });
}

/** `GET /v1/marketstatus/upcoming`: an array and nothing around it. */
export function upcomingHolidays({ url, market }: Call): Answer {
  checkNames(url.searchParams, []);
  return json(200, market.holidays);
}

function isActiveOn({ active, list_date, delisted_utc }: ReplayTicker, date: string | null): boolean {
  if (date === null) return active;
  return (
    (list_date === undefined || list_date <= date) && (delisted_utc === undefined || delisted_utc.slice(0, 10) >= date)
  );
}
