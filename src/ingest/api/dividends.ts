import { z } from 'zod';
import type { TableSchema } from '../../lake/columns.ts';
import type { ReferenceRow } from '../../lake/reference-table.ts';
import { lenientCount, lenientDay, lenientText } from './lenient.ts';
import type { ApiCall, MarketApi } from './market-api.ts';
import { actionDay, actionId, actionSymbol, type CheckedAction, fetchActions } from './splits.ts';

/**
 * Columns of the table of dividends, named as the API names them. `cash_amount` is per share as there were on that day, in
 * `currency` (ISO 4217); `frequency` is times a year, 0 of one that does not recur. What the API computes from other rows
 * (its adjustment factor, the amount per share of today) is left out: it changes with every split and dividend after.
 */
export const DIVIDENDS_SCHEMA: TableSchema = [
  { name: 'id', type: 'utf8' },
  { name: 'symbol', type: 'utf8' },
  { name: 'ex_dividend_date', type: 'date', nullable: true },
  { name: 'cash_amount', type: 'float64', nullable: true },
  { name: 'currency', type: 'utf8' },
  { name: 'declaration_date', type: 'date', nullable: true },
  { name: 'record_date', type: 'date', nullable: true },
  { name: 'pay_date', type: 'date', nullable: true },
  { name: 'frequency', type: 'int32', nullable: true },
  { name: 'distribution_type', type: 'utf8' },
];

const DIVIDEND = z
  .object({
    id: actionId,
    ticker: actionSymbol,
    ex_dividend_date: actionDay,
    cash_amount: z.number().min(0).nullish(),
    currency: lenientText,
    declaration_date: lenientDay,
    record_date: lenientDay,
    pay_date: lenientDay,
    frequency: lenientCount,
    distribution_type: lenientText,
  })
  .transform(
    ({ ticker, ...dividend }): ReferenceRow => ({
      ...dividend,
      symbol: ticker,
      // −0 and 0 are one amount but not one digest.
      cash_amount: (dividend.cash_amount ?? Number.NaN) + 0,
      declaration_date: dividend.declaration_date ?? -1,
      record_date: dividend.record_date ?? -1,
      pay_date: dividend.pay_date ?? -1,
      frequency: dividend.frequency ?? -1,
    }),
  );

/**
 * All cash dividends the API knows, declared ones too, page by page. How far back they go depends on the API key's plan.
 *
 * @throws BatchLayerError `Unavailable` where a page cannot be had: the list would be shorter than it is
 */
export function fetchDividends(api: MarketApi, call?: ApiCall): AsyncGenerator<readonly CheckedAction[]> {
  return fetchActions(api, '/stocks/v1/dividends', DIVIDEND, call);
}
