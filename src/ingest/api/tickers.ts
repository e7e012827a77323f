import { z } from 'zod';
import { BatchLayerError } from '../../errors.ts';
import { isSymbol } from '../../symbol.ts';
import { parseAnswer } from './answer.ts';
import { lenientDay, lenientText } from './lenient.ts';
import type { ApiCall, MarketApi } from './market-api.ts';

/** What the ticker list tells of a security; '' = absent, and everything may be. */
export interface ListedSecurity {
  readonly name: string;
  /** The API's code: CS (common stock), ETF, ADRC, WARRANT and so on. */
  readonly type: string;
  /** Market identifier code (ISO 10383) of the primary exchange. */
  readonly exchange: string;
  readonly currency: string;
  /** Number of the issuer at the SEC, ten digits. */
  readonly cik: string;
  readonly compositeFigi: string;
  readonly shareClassFigi: string;
}

/** A row of the ticker list. */
export interface ListedTicker extends ListedSecurity {
  readonly symbol: string;
  /** Last session it was traded, in days since 1970-01-01; of inactive tickers, and not of all. */
  readonly delistedDate: number | undefined;
  /** When the API learned it, as it writes times; '' = absent. */
  readonly updatedAt: string;
}

/** All tickers there are. A ticker may be in both lists, and more than once in either. */
export interface TickerList {
  readonly active: readonly ListedTicker[];
  readonly inactive: readonly ListedTicker[];
  /** Rows whose ticker is no symbol. */
  readonly skipped: number;
  /** Calls it took, those that were sent again counted once. */
  readonly calls: number;
}

export interface ListTickersOptions extends ApiCall {
  /** Calls the list may take. */
  readonly maxCalls?: number | undefined;
  /** Told after every page how many rows there are. */
  readonly onPage?: ((rows: number) => void) | undefined;
}

const PATH = '/v3/reference/tickers';
const PAGE_ROWS = 1_000;

const TICKER = z.object({
  ticker: z.unknown().optional(),
  active: z.unknown().optional(),
  name: lenientText,
  type: lenientText,
  primary_exchange: lenientText,
  currency_name: lenientText,
  cik: lenientText,
  composite_figi: lenientText,
  share_class_figi: lenientText,
  delisted_utc: lenientDay,
  last_updated_utc: lenientText,
});

const PAGE = z.object({ results: z.array(TICKER), next_url: z.unknown().optional() });

interface Page {
  readonly tickers: readonly ListedTicker[];
  readonly hasMore: boolean;
}

/**
 * Lists all stocks the API knows, active and inactive ones, page by page.
 *
 * @throws BatchLayerError `Unavailable` where a page cannot be had (the list would be shorter than it is), `BadInput` where
 * it takes more than `maxCalls`
 */
export async function listTickers(
  api: MarketApi,
  { maxCalls = Number.POSITIVE_INFINITY, onPage, signal }: ListTickersOptions = {},
): Promise<TickerList> {
  let [calls, rows] = [0, 0];
  const checkCalls = (): void => {
    if (calls < maxCalls) return;
    throw new BatchLayerError('BadInput', `${PATH}: the list of all tickers takes more than ${maxCalls} calls`);
  };
  const listAll = async (active: boolean): Promise<readonly ListedTicker[]> => {
    const tickers: ListedTicker[] = [];
    const query = { market: 'stocks', active, limit: PAGE_ROWS };
    checkCalls();
    for await (const page of api.pages(PATH, query, (answer) => readPage(answer, active), { signal })) {
      calls++;
      rows += page.tickers.length;
      tickers.push(...page.tickers);
      onPage?.(rows);
      if (page.hasMore) checkCalls();
    }
    return tickers;
  };
  const lists = [await listAll(true), await listAll(false)] as const;
  const [active, inactive] = lists.map((tickers) => tickers.filter(({ symbol }) => isSymbol(symbol)));
  return { active: active!, inactive: inactive!, skipped: rows - active!.length - inactive!.length, calls };
}

function readPage(answer: unknown, active: boolean): Page {
  const { results, next_url } = parseAnswer(PAGE, answer, PATH);
  for (const { ticker, active: isActive } of results) {
    if (typeof ticker !== 'string') throw new BatchLayerError('Unavailable', `${PATH}: a row has no ticker`);
    // An API (or something before it) that does not heed what it is asked for would delist everybody.
    if (isActive === !active) {
      throw new BatchLayerError('Unavailable', `${PATH}: ${ticker} has active=${isActive}: asked for active=${active}`);
    }
  }
  return { tickers: results.map(toListedTicker), hasMore: typeof next_url === 'string' && next_url !== '' };
}

function toListedTicker(row: z.infer<typeof TICKER>): ListedTicker {
  return {
    symbol: row.ticker as string,
    name: row.name,
    type: row.type,
    exchange: row.primary_exchange,
    currency: row.currency_name,
    cik: /^\d{1,10}$/.test(row.cik) ? row.cik.padStart(10, '0') : '',
    compositeFigi: row.composite_figi,
    shareClassFigi: row.share_class_figi,
    delistedDate: row.delisted_utc,
    updatedAt: row.last_updated_utc,
  };
}
