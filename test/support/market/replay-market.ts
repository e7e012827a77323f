import { formatSession, sessionFrom } from '../../../src/session.ts';
import { compareSymbols } from '../../../src/symbol.ts';
import { sortRows } from './corrected-market.ts';

export { type CorrectedRows, correctedMarket } from './corrected-market.ts';
export { type SyntheticReplayOptions, syntheticReplayMarket } from './synthetic-replay-market.ts';

/** A bar as the API gives it, without the time `t`, which differs from call to call. Prices are raw. */
export interface ReplayRow {
  readonly T: string;
  readonly o: number;
  readonly h: number;
  readonly l: number;
  readonly c: number;
  readonly v: number;
  readonly vw?: number;
  readonly n?: number;
  /** Served only to a call with `include_otc=true`. */
  readonly otc?: boolean;
}

export interface DatedRow {
  readonly session: number;
  readonly row: ReplayRow;
}

/** A security for the time it had this ticker: of one ticker there may be several, one after the other. */
export interface ReplayTicker {
  readonly ticker: string;
  readonly name: string;
  readonly market: string;
  readonly locale: string;
  readonly active: boolean;
  readonly currency_name: string;
  readonly type?: string;
  readonly primary_exchange?: string;
  readonly cik?: string;
  readonly composite_figi?: string;
  readonly share_class_figi?: string;
  readonly last_updated_utc?: string;
  /** The last day it was traded under this ticker, such as 2024-06-28T04:00:00Z. */
  readonly delisted_utc?: string;
  // From here on in the details alone.
  readonly list_date?: string;
  readonly market_cap?: number;
  readonly sic_code?: string;
  readonly sic_description?: string;
  readonly share_class_shares_outstanding?: number;
  readonly weighted_shares_outstanding?: number;
  readonly total_employees?: number;
  readonly homepage_url?: string;
  readonly description?: string;
  readonly round_lot?: number;
}

export interface ReplaySplit {
  readonly id: string;
  readonly ticker: string;
  /** Absent of a split that is announced without a day. */
  readonly execution_date?: string;
  readonly split_from: number;
  readonly split_to: number;
  readonly adjustment_type: string;
  /** Of this split and all later ones together. */
  readonly historical_adjustment_factor: number;
}

export interface ReplayDividend {
  readonly id: string;
  readonly ticker: string;
  readonly ex_dividend_date?: string;
  readonly cash_amount: number;
  readonly currency?: string;
  readonly declaration_date?: string;
  readonly record_date?: string;
  readonly pay_date?: string;
  readonly frequency?: number;
  readonly distribution_type?: string;
  readonly split_adjusted_cash_amount?: number;
  readonly historical_adjustment_factor?: number;
}

export interface ReplayHoliday {
  readonly date: string;
  readonly exchange: string;
  readonly name: string;
  readonly status: 'closed' | 'early-close';
  readonly open?: string;
  readonly close?: string;
}

/** What the exchange did: the truth that a test compares the lake with. */
export interface ReplayMarket {
  /** Days since 1970-01-01, ascending. */
  readonly sessions: readonly number[];
  /** Bars of one session, sorted by symbol; none where it is no session. */
  rowsOf(session: number): readonly ReplayRow[];
  /** Bars of one ticker from `from` to `to`, both inclusive, ascending. */
  rowsOfTicker(ticker: string, from: number, to: number): readonly DatedRow[];
  /** Sorted by ticker. */
  readonly tickers: readonly ReplayTicker[];
  readonly splits: readonly ReplaySplit[];
  readonly dividends: readonly ReplayDividend[];
  readonly holidays: readonly ReplayHoliday[];
}

export interface MarketContents {
  /** Bars by date, YYYY-MM-DD; a date with an empty list is a session without bars. */
  readonly rows: Readonly<Record<string, readonly ReplayRow[]>>;
  /** Without them, every symbol of the rows is an active common stock. */
  readonly tickers?: readonly ReplayTicker[];
  readonly splits?: readonly ReplaySplit[];
  readonly dividends?: readonly ReplayDividend[];
  readonly holidays?: readonly ReplayHoliday[];
}

/**
 * A small market of the rows given.
 *
 * @example marketOf({ rows: { '2024-01-02': [flatRow('AAPL', 185.64)], '2024-01-03': [flatRow('AAPL', 184.25)] } })
 */
export function marketOf({ rows, tickers, splits = [], dividends = [], holidays = [] }: MarketContents): ReplayMarket {
  const days = Object.entries(rows).map(([date, list]) => [sessionFrom(date), sortRows(list)] as const);
  const bySession = new Map(days.sort(([a], [b]) => a - b));
  const sessions = [...bySession.keys()];
  const rowsOf = (session: number) => bySession.get(session) ?? [];
  return {
    sessions,
    rowsOf,
    rowsOfTicker(ticker, from, to) {
      const wanted = sessions.filter((session) => session >= from && session <= to);
      return wanted.flatMap((session) => {
        return rowsOf(session).flatMap((row) => (row.T === ticker ? [{ session, row }] : []));
      });
    },
    tickers: [...(tickers ?? commonStocks(bySession))].sort((a, b) => compareSymbols(a.ticker, b.ticker)),
    splits,
    dividends,
    holidays,
  };
}

/** A bar of one price. */
export function flatRow(ticker: string, price: number, volume = 1000): ReplayRow {
  return { T: ticker, o: price, h: price, l: price, c: price, v: volume, vw: price, n: 10 };
}

function commonStocks(rows: ReadonlyMap<number, readonly ReplayRow[]>): readonly ReplayTicker[] {
  const firsts = new Map<string, number>();
  for (const [session, list] of rows) {
    for (const { T } of list) if (!firsts.has(T)) firsts.set(T, session);
  }
  return [...firsts].map(([ticker, first]) => ({
    ticker,
    name: `${ticker} Inc.`,
    market: 'stocks',
    locale: 'us',
    active: true,
    currency_name: 'usd',
    type: 'CS',
    primary_exchange: 'XNYS',
    list_date: formatSession(first),
  }));
}
