import { parseSession, sessionAt } from '../../../src/session.ts';
import { type Answer, errorAnswer, json, requestId } from './answer.ts';
import type { Call } from './call.ts';
import { newYorkTime } from './new-york.ts';
import { decodeCursor, encodeCursor, pagingTrapOf } from './paging.ts';
import { checkNames, dateParameter, flag, limitOf, oneOf, refuse } from './query.ts';
import type { DatedRow } from './replay-market.ts';
import { spoilRow } from './row-faults.ts';
import { adjustmentOf, adjustRow, correctionsMade, correctRows, wireRow } from './wire-rows.ts';

export interface TickerRange {
  readonly ticker: string;
  /** Dates, or milliseconds since 1970-01-01. */
  readonly from: string;
  readonly to: string;
}

/** `GET /v2/aggs/ticker/{ticker}/range/1/day/{from}/{to}` */
export function tickerRange(call: Call, { ticker, from: first, to: last }: TickerRange): Answer {
  const { url, market, traps, counters } = call;
  checkNames(url.searchParams, ['adjusted', 'sort', 'limit', 'cursor']);
  const cursor = url.searchParams.get('cursor');
  const query = new URLSearchParams([...(cursor === null ? [] : decodeCursor(cursor)), ...url.searchParams]);
  const limit = Math.min(limitOf(query, 5000, 50_000), traps.pageRows);
  const sort = oneOf(query, 'sort', ['asc', 'desc'], 'asc');
  // The cursor does not tell: whoever follows `next_url` as it is gets adjusted prices from the second page on.
  const adjusted = traps.adjustedAlways || flag(query, 'adjusted', true);
  const [from, to] = [firstSession(first), lastSession(last)];
  if (from > to) refuse("The parameter 'to' cannot be a time that occurs before 'from'");

  const page = cursor === null ? 1 : (counters.rangePages.get(ticker) ?? 1) + 1;
  const trap = pagingTrapOf(url, traps);
  if (trap?.kind === 'failing' && trap.page === page) return errorAnswer(500, 'Internal server error');
  counters.rangePages.set(ticker, page);

  const known = traps.historyFrom ?? Number.NEGATIVE_INFINITY;
  const start = Math.max(known, traps.ignoreFrom && cursor === null ? Number.NEGATIVE_INFINITY : from);
  const rows = rowsFrom(call, ticker, start, to);
  if (sort === 'desc') rows.reverse();
  const factorOf = adjustmentOf(market);
  const results = rows.slice(0, limit).flatMap(({ session, row }) => {
    const served = adjusted ? adjustRow(row, factorOf(ticker, session)) : row;
    return spoilRow(wireRow(served, newYorkTime(session, 0), false), ticker, session, traps.rowFaults);
  });
  const addressOf = (range: TickerRange, pageNumber?: number) => {
    const path = `/v2/aggs/ticker/${encodeURIComponent(ticker)}/range/1/day/${range.from}/${range.to}`;
    const held = new URLSearchParams({ limit: String(limit), sort });
    if (pageNumber !== undefined) held.set('page', String(pageNumber));
    return { next_url: `${traps.nextUrlOrigin}${path}?cursor=${encodeCursor(held)}` };
  };
  const next = () => {
    const here = { ticker, from: first, to: last };
    if (trap?.kind === 'endless') return addressOf(here, page + 1);
    if (trap?.kind === 'loop' && cursor !== null) return addressOf(here);
    const following = rows[limit];
    if (!following) return {};
    const time = String(newYorkTime(following.session, 0));
    return addressOf({ ...here, ...(sort === 'asc' ? { from: time } : { to: time }) });
  };
  return json(200, {
    ticker,
    queryCount: results.length,
    resultsCount: results.length,
    adjusted,
    ...(results.length > 0 ? { results } : {}),
    status: traps.delayed ? 'DELAYED' : 'OK',
    request_id: requestId(),
    ...next(),
  });
}

function rowsFrom(call: Call, ticker: string, from: number, to: number): DatedRow[] {
  const { market, traps } = call;
  const isWanted = (session: number) => session >= from && session <= to && !traps.beforeEndOfDay.includes(session);
  const rows = market.rowsOfTicker(ticker, from, to).filter(({ session }) => isWanted(session));
  const corrections = correctionsMade(call, (correction) => {
    return isWanted(correction.session) && correction.rows.some(({ T }) => T === ticker);
  });
  const bySession = new Map(rows.map(({ session, row }) => [session, row]));
  for (const correction of corrections) {
    const [row] = correctRows([], [correction]).filter(({ T }) => T === ticker);
    if (row) bySession.set(correction.session, row);
  }
  return [...bySession].sort(([a], [b]) => a - b).map(([session, row]) => ({ session, row }));
}

function firstSession(bound: string): number {
  if (parseSession(bound) !== undefined || !/^\d+$/.test(bound)) return dateParameter(bound, 'from');
  const session = sessionAt(Number(bound));
  return newYorkTime(session, 0) < Number(bound) ? session + 1 : session;
}

function lastSession(bound: string): number {
  if (parseSession(bound) !== undefined || !/^\d+$/.test(bound)) return dateParameter(bound, 'to');
  return sessionAt(Number(bound));
}
