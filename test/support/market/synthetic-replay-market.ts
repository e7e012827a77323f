import { formatSession, sessionFrom } from '../../../src/session.ts';
import { correctedMarket } from './corrected-market.ts';
import { chance, hashText, mix } from './hash.ts';
import type { ReplayDividend, ReplayHoliday, ReplayMarket, ReplayRow, ReplaySplit } from './replay-market.ts';
import { replayTicker, symbolNames } from './synthetic-tickers.ts';

export interface SyntheticReplayOptions {
  /** Number of symbols; the first eleven are odd but real names. */
  readonly symbols: number;
  /** Days since 1970-01-01, ascending. */
  readonly sessions: readonly number[];
  readonly seed?: number;
  /** How many symbols have their first bar only some time after the first session. */
  readonly listedLater?: number;
  /** How many symbols have their last bar some time before the last session, and are no longer active. */
  readonly delisted?: number;
  /** How many symbols split, two for one or one for ten, on one of the sessions. */
  readonly split?: number;
  /** How many symbols pay a dividend every 63 sessions. */
  readonly dividendPayers?: number;
  /** Share of bars that are not there, since the symbol was halted on the session. */
  readonly halted?: number;
  /** Rows in the place of the made ones, by symbol and session: `AAPL 19724`. */
  readonly corrections?: ReadonlyMap<string, ReplayRow>;
  readonly holidays?: readonly ReplayHoliday[];
}

interface Member {
  readonly symbol: string;
  readonly hash: number;
  /** First session with a bar. */
  readonly from: number;
  /** Last session with a bar. */
  readonly to: number;
  readonly isDelisted: boolean;
  readonly split: (ReplaySplit & { readonly execution_date: string }) | undefined;
  /** In cents, where it is neither before a split nor on a wave. */
  readonly price: number;
  readonly period: number;
  readonly phase: number;
}

const FRACTIONAL_SINCE = sessionFrom('2026-02-23');
/** What a number is drawn for: what is drawn for one thing says nothing of another. */
const SALT = {
  rank: 1,
  from: 2,
  to: 3,
  split: 4,
  halt: 5,
  dividend: 6,
  price: 7,
  period: 8,
  phase: 9,
  open: 10,
  close: 11,
  high: 12,
  low: 13,
  shares: 14,
} as const;
const SESSIONS_BETWEEN_DIVIDENDS = 63;

/**
 * A market whose every row is made of a hash of symbol and session, so that it takes no memory to speak of: the same
 * options, the same rows. Volumes are fractional from 2026-02-23 on, in eighths, so that sums are exact; every bar has a
 * volume; one symbol in fifty has neither vwap nor trades. A split shows in the raw prices.
 */
export function syntheticReplayMarket(options: SyntheticReplayOptions): ReplayMarket {
  const { sessions, seed = 1, halted = 0, corrections, holidays = [] } = options;
  const members = listMembers(options);
  const bySymbol = new Map(members.map((member) => [member.symbol, member]));
  const known = new Set(sessions);
  const rowOf = (member: Member, session: number): ReplayRow | undefined => {
    if (session < member.from || session > member.to) return undefined;
    const hash = mix(member.hash, session);
    return chance(hash, SALT.halt) < halted ? undefined : makeRow(member, session, hash);
  };
  const market: ReplayMarket = {
    sessions,
    rowsOf(session) {
      if (!known.has(session)) return [];
      return members.map((member) => rowOf(member, session)).filter((row) => row !== undefined);
    },
    rowsOfTicker(ticker, from, to) {
      const member = bySymbol.get(ticker);
      if (!member) return [];
      return sessions.flatMap((session) => {
        const row = session >= from && session <= to ? rowOf(member, session) : undefined;
        return row ? [{ session, row }] : [];
      });
    },
    tickers: members.map((member) => {
      const isListedLater = member.from > (sessions[0] ?? 0);
      return replayTicker(member.symbol, seed, {
        listed: isListedLater ? member.from : member.from - 1 - ((member.hash >>> 8) % 5000),
        delisted: member.isDelisted ? member.to : undefined,
      });
    }),
    splits: members.flatMap(({ split }) => split ?? []),
    dividends: listDividends(options, members),
    holidays,
  };
  return corrections ? correctedMarket(market, listCorrections(corrections)) : market;
}

/** What happens to a symbol depends on its rank, and its rank on the seed: one thing at most, unless they are many. */
function listMembers({
  symbols,
  sessions,
  seed = 1,
  listedLater = 0,
  delisted = 0,
  split = 0,
}: SyntheticReplayOptions): readonly Member[] {
  const names = symbolNames(symbols);
  const hashes = new Map(names.map((name) => [name, mix(hashText(name), seed)]));
  const rank = (name: string) => chance(hashes.get(name)!, SALT.rank);
  const ranks = new Map([...names].sort((a, b) => rank(a) - rank(b)).map((name, i) => [name, i]));
  return names.map((symbol) => {
    const hash = hashes.get(symbol)!;
    const place = ranks.get(symbol)!;
    const isListedLater = place < listedLater;
    const isDelisted = !isListedLater && place < listedLater + delisted;
    const isSplit = !isListedLater && !isDelisted && place < listedLater + delisted + split;
    // Neither the first session nor the last, where there are others.
    const inside = (salt: number) => sessions[1 + Math.floor(chance(hash, salt) * (sessions.length - 2))] ?? 0;
    return {
      symbol,
      hash,
      from: isListedLater ? inside(SALT.from) : (sessions[0] ?? 0),
      to: isDelisted ? inside(SALT.to) : (sessions.at(-1) ?? 0),
      isDelisted,
      split: isSplit ? makeSplit(symbol, hash, inside(SALT.split)) : undefined,
      price: 300 * 60 ** chance(hash, SALT.price),
      period: 20 + 40 * chance(hash, SALT.period),
      phase: 2 * Math.PI * chance(hash, SALT.phase),
    };
  });
}

function makeSplit(ticker: string, hash: number, session: number): NonNullable<Member['split']> {
  const [split_from, split_to] = hash & 1 ? [1, 2] : [10, 1];
  return {
    id: `E${(hash >>> 0).toString(16).padStart(8, '0')}`,
    ticker,
    execution_date: formatSession(session),
    split_from,
    split_to,
    adjustment_type: split_to > split_from ? 'forward_split' : 'reverse_split',
    historical_adjustment_factor: split_from / split_to,
  };
}

function listDividends(
  { sessions, dividendPayers = 0 }: SyntheticReplayOptions,
  members: readonly Member[],
): readonly ReplayDividend[] {
  const rank = ({ hash }: Member) => chance(hash, SALT.dividend);
  const payers = [...members].sort((a, b) => rank(a) - rank(b)).slice(0, dividendPayers);
  return payers.flatMap(({ symbol, hash, from, to }) => {
    const cash_amount = (1 + ((hash >>> 0) % 100)) / 100;
    return sessions
      .filter((_, i) => i % SESSIONS_BETWEEN_DIVIDENDS === (hash >>> 0) % SESSIONS_BETWEEN_DIVIDENDS)
      .filter((session) => session >= from && session <= to)
      .map((session) => ({
        id: `D${(mix(hash, session) >>> 0).toString(16).padStart(8, '0')}`,
        ticker: symbol,
        ex_dividend_date: formatSession(session),
        cash_amount,
        currency: 'USD',
        declaration_date: formatSession(session - 14),
        record_date: formatSession(session),
        pay_date: formatSession(session + 14),
        frequency: 4,
        distribution_type: 'recurring',
        split_adjusted_cash_amount: cash_amount,
        historical_adjustment_factor: 0.99,
      }));
  });
}

function makeRow({ symbol, hash, split, price, period, phase }: Member, session: number, daily: number): ReplayRow {
  const ratio = split && session < sessionFrom(split.execution_date) ? split.split_to / split.split_from : 1;
  // A slow wave and daily noise: neighbouring sessions are alike without any one knowing of another.
  const level = price * ratio * Math.exp(0.3 * Math.sin(session / period + phase));
  const open = Math.max(20, Math.round(level * (0.99 + 0.02 * chance(daily, SALT.open))));
  const close = Math.max(20, Math.round(level * (0.99 + 0.02 * chance(daily, SALT.close))));
  const high = Math.round(Math.max(open, close) * (1 + 0.01 * chance(daily, SALT.high)));
  const low = Math.round(Math.min(open, close) * (1 - 0.01 * chance(daily, SALT.low)));
  const shares = 100 + Math.floor((chance(daily, SALT.shares) ** 4 * 40_000_000) / ratio);
  const row = {
    T: symbol,
    o: open / 100,
    h: high / 100,
    l: low / 100,
    c: close / 100,
    v: session >= FRACTIONAL_SINCE ? shares / 8 : shares,
  };
  if ((hash >>> 0) % 50 === 7) return row;
  return { ...row, vw: Math.round(((high + low + close) / 3) * 100) / 10_000, n: 1 + Math.floor(shares / 150) };
}

function listCorrections(corrections: ReadonlyMap<string, ReplayRow>) {
  return [...corrections].map(([key, row]) => ({ session: Number(key.split(' ')[1]), rows: [row] }));
}
