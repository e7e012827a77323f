import { z } from 'zod';
import { BatchLayerError, hasCode } from '../../errors.ts';
import { formatSession } from '../../session.ts';
import { checkSymbol } from '../../symbol.ts';
import { parseAnswer } from './answer.ts';
import { lenientAmount, lenientCount, lenientDay, lenientText } from './lenient.ts';
import type { ApiCall, MarketApi } from './market-api.ts';

/** What only a call for this one ticker tells; `undefined` or '' = absent, and everything may be. */
export interface TickerDetails {
  /** First session it was listed, in days since 1970-01-01. */
  readonly listDate: number | undefined;
  /** Code of the Standard Industrial Classification, four digits. */
  readonly sicCode: string;
  /** What that code stands for. */
  readonly industry: string;
  /** Dollars. */
  readonly marketCap: number | undefined;
  /** Shares of this class. */
  readonly shareClassShares: number | undefined;
  /** Shares of all classes, each counted as so many of this one. */
  readonly weightedShares: number | undefined;
  readonly employees: number | undefined;
  readonly homepage: string;
}

/** Of a ticker that the API has no details of. */
export const NO_DETAILS: TickerDetails = {
  listDate: undefined,
  sicCode: '',
  industry: '',
  marketCap: undefined,
  shareClassShares: undefined,
  weightedShares: undefined,
  employees: undefined,
  homepage: '',
};

export interface TickerDetailsOptions extends ApiCall {
  /** As of this session, in days since 1970-01-01: of a ticker that is not active any more there are no others. */
  readonly session?: number | undefined;
}

const DETAILS = z.object({
  results: z.object({
    ticker: z.string(),
    list_date: lenientDay,
    sic_code: lenientText,
    sic_description: lenientText,
    market_cap: lenientAmount,
    share_class_shares_outstanding: lenientAmount,
    weighted_shares_outstanding: lenientAmount,
    total_employees: lenientCount,
    homepage_url: lenientText,
  }),
});

/**
 * Asks for the details of one ticker, in one call.
 *
 * @returns `undefined` where the API has none
 * @throws BatchLayerError `Unavailable` where there is no answer, or one about another ticker; `NotEntitled`; `BadInput`
 */
export async function fetchTickerDetails(
  api: MarketApi,
  symbol: string,
  { session, signal }: TickerDetailsOptions = {},
): Promise<TickerDetails | undefined> {
  const path = `/v3/reference/tickers/${encodeURIComponent(checkSymbol(symbol))}`;
  const query = { date: session === undefined ? undefined : formatSession(session) };
  try {
    return await api.get(path, query, (answer) => readDetails(answer, symbol, path), { signal });
  } catch (error) {
    if (hasCode(error, 'NotFound')) return undefined;
    throw error;
  }
}

function readDetails(answer: unknown, symbol: string, path: string): TickerDetails {
  const { results } = parseAnswer(DETAILS, answer, path);
  if (results.ticker !== symbol) {
    throw new BatchLayerError('Unavailable', `${path}: the answer is about "${results.ticker}": expected ${symbol}`);
  }
  return {
    listDate: results.list_date,
    sicCode: /^\d{1,4}$/.test(results.sic_code) ? results.sic_code.padStart(4, '0') : '',
    industry: results.sic_description,
    marketCap: results.market_cap,
    shareClassShares: results.share_class_shares_outstanding,
    weightedShares: results.weighted_shares_outstanding,
    employees: results.total_employees,
    homepage: results.homepage_url,
  };
}
