import { BatchLayerError } from '../../src/errors.ts';
import type { MarketApi } from '../../src/ingest/api/market-api.ts';
import type { ListedTicker } from '../../src/ingest/api/tickers.ts';

type Json = Readonly<Record<string, unknown>>;

/** What the stub answers with, and how; it may be changed between calls. */
export interface StubTickers {
  active: readonly Json[];
  inactive: readonly Json[];
  /** Fields of the details by ticker; an error is thrown. Of others there are none. */
  details: Readonly<Record<string, Json | Error>>;
  /** Rows a page. */
  pageRows: number;
  /** Called before each answer, with path and query as they would be sent. */
  onCall: (address: string) => void | Promise<void>;
}

/** The API as far as tickers go, without HTTP: answers are checked by the caller's `read`, nothing is tried again. */
export function stubTickers(
  contents: Partial<StubTickers> = {},
): MarketApi & StubTickers & { readonly calls: string[] } {
  const calls: string[] = [];
  const call = async (path: string, query: Json): Promise<void> => {
    const given = Object.entries(query).filter(([, value]) => value !== undefined);
    const parameters = Object.fromEntries(given.map(([key, value]) => [key, String(value)]));
    const address = `${path}?${new URLSearchParams(parameters)}`;
    calls.push(address);
    await stub.onCall(address);
  };
  const stub = {
    active: [],
    inactive: [],
    details: {},
    pageRows: 1_000,
    onCall: () => {},
    ...contents,
    calls,
    async get(path, query, read, { signal } = {}) {
      signal?.throwIfAborted();
      await call(path, query);
      const ticker = decodeURIComponent(path.split('/').at(-1)!);
      const found = stub.details[ticker];
      if (found instanceof Error) throw found;
      if (!found) throw new BatchLayerError('NotFound', `${path}: no such ticker`);
      return read({ status: 'OK', results: { ticker, ...found } });
    },
    async *pages(path, query, read, { signal } = {}) {
      const rows = query.active ? stub.active : stub.inactive;
      for (let from = 0; from === 0 || from < rows.length; from += stub.pageRows) {
        signal?.throwIfAborted();
        await call(path, query);
        const hasMore = from + stub.pageRows < rows.length;
        const next = hasMore ? { next_url: 'https://api.test/next?cursor=x' } : {};
        yield read({ status: 'OK', results: rows.slice(from, from + stub.pageRows), ...next });
      }
    },
    metrics: () => ({ calls: calls.length, retries: 0, bytesRead: 0 }),
    close: async () => {},
  } as MarketApi & StubTickers & { readonly calls: string[] };
  return stub;
}

/** A row of the ticker list as the API gives it. */
export function tickerRow(ticker: string, fields: Json = {}): Json {
  return {
    ticker,
    name: `${ticker} Inc.`,
    market: 'stocks',
    locale: 'us',
    type: 'CS',
    primary_exchange: 'XNYS',
    currency_name: 'usd',
    share_class_figi: `BBG0S${ticker}`,
    ...fields,
  };
}

/** The same as it is read. */
export function listedTicker(symbol: string, fields: Partial<ListedTicker> = {}): ListedTicker {
  return {
    symbol,
    name: `${symbol} Inc.`,
    type: 'CS',
    exchange: 'XNYS',
    currency: 'usd',
    cik: '',
    compositeFigi: '',
    shareClassFigi: '',
    delistedDate: undefined,
    updatedAt: '',
    ...fields,
  };
}
