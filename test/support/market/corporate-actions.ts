import { type Answer, json, requestId } from './answer.ts';
import type { Call } from './call.ts';
import { listParameters, pageOf } from './paging.ts';
import { checkNames, comparisons, filterBy, refuse } from './query.ts';

/** `GET /stocks/v1/splits` */
export function splitList(call: Call): Answer {
  return list(call, call.market.splits, ['ticker', 'execution_date', 'adjustment_type'], 'execution_date.desc');
}

/** `GET /stocks/v1/dividends` */
export function dividendList(call: Call): Answer {
  const fields = ['ticker', 'ex_dividend_date', 'frequency', 'distribution_type'] as const;
  return list(call, call.market.dividends, fields, 'ticker.asc');
}

function list<Row extends object>(
  call: Call,
  rows: readonly Row[],
  fields: readonly (keyof Row & string)[],
  order: string,
): Answer {
  const parameters = listParameters(call.url.searchParams);
  checkNames(parameters, [...comparisons(...fields), 'sort', 'limit', 'cursor', 'offset']);
  const sorted = sortBy(filterBy(rows, parameters, fields), parameters.get('sort') ?? order, fields);
  const { results, next } = pageOf(call, sorted, { parameters, limit: { fallback: 100, most: 5000 } });
  return json(200, { results, status: 'OK', request_id: requestId(), ...next });
}

/** Rows as `sort` asks: `ticker.asc`, or several such with commas between; ascending where it does not tell. */
function sortBy<Row extends object>(
  rows: readonly Row[],
  sort: string,
  fields: readonly (keyof Row & string)[],
): readonly Row[] {
  const orders = sort.split(',').map((part) => {
    const [name, direction = 'asc'] = part.split('.');
    const field = fields.find((known) => known === name);
    if (!field || !['asc', 'desc'].includes(direction)) refuse(`"sort" is ${sort}: expected such as ${fields[0]}.asc`);
    return { field, sign: direction === 'asc' ? 1 : -1 };
  });
  return [...rows].sort((a, b) => {
    for (const { field, sign } of orders) {
      const [first, second] = [String(a[field] ?? ''), String(b[field] ?? '')];
      if (first !== second) return first < second ? -sign : sign;
    }
    return 0;
  });
}
