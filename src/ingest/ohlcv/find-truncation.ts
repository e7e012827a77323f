import type { Calendar } from '../../calendar.ts';
import type { ApiCall, MarketApi } from '../api/market-api.ts';
import { fetchTickerBars } from '../api/ticker-bars.ts';
import { fetchTickerDetails } from '../api/ticker-details.ts';

/** Sessions of one symbol to ask for. */
export interface SymbolRange {
  readonly symbol: string;
  readonly from: number;
  readonly to: number;
}

/** Where an answer can be believed. */
export interface KnownFrom {
  /** The first session that is known; one after the range where none is. */
  readonly known: number;
  /** Whether there may be bars before it that the plan does not include. */
  readonly isTruncated: boolean;
}

/** It has been traded on every session since 1993: where its bars begin, the plan's history does. */
const PROBE = 'SPY';
/** A symbol may begin to trade so many sessions after its listing, and pause as long. */
const GAP_SESSIONS = 5;

/**
 * Finds out why an answer begins later than it was asked for: the API answers for sessions before the plan's history as if there
 * were no bars. One call more for each range of sessions, to see where the history of an old ticker begins; where that has no
 * bars at all, one for the day of the listing.
 */
export function createTruncationFinder(
  api: MarketApi,
  calendar: Calendar,
  call: ApiCall,
): (range: SymbolRange, first: number | undefined) => Promise<KnownFrom> {
  const starts = new Map<string, Promise<number | undefined>>();
  const { isSession } = calendar;
  const hasSessions = (from: number, to: number, more = 0) => calendar.sessionsBetween(from, to).length > more;

  function startOfHistory({ from, to }: SymbolRange): Promise<number | undefined> {
    const id = `${from} ${to}`;
    const known = starts.get(id);
    if (known) return known;
    const start = fetchTickerBars(api, PROBE, { from, to, isSession, ...call }).then(({ bars }) => bars.session[0]);
    starts.set(id, start);
    return start;
  }

  return async (range, first) => {
    const { symbol, from, to } = range;
    const believed = { known: from, isTruncated: false };
    const known = first ?? to + 1;
    if (!hasSessions(from, known - 1)) return believed;
    const start = await startOfHistory(range);
    if (start === undefined) {
      // As of then: of who is listed no longer there are no details today.
      const details = await fetchTickerDetails(api, symbol, { session: first ?? to, ...call });
      const isListedBefore = details && hasSessions(Math.max(from, details.listDate ?? from), known - 1, GAP_SESSIONS);
      return isListedBefore ? { known, isTruncated: true } : believed;
    }
    if (!hasSessions(from, start - 1)) return believed;
    if (first === undefined) return { known: start, isTruncated: false };
    // Who begins well after the history does is new then; the others are cut off with it.
    return hasSessions(start, first - 1, GAP_SESSIONS) ? believed : { known: first, isTruncated: true };
  };
}
