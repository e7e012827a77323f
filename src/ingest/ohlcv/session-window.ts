import type { Calendar } from '../../calendar.ts';
import { BatchLayerError } from '../../errors.ts';
import { formatSession, sessionFrom } from '../../session.ts';

/** Which sessions a run looks at. */
export interface WindowOptions {
  /** First session, in days since 1970-01-01; else `backfillDays` before the last one. */
  readonly from?: number | undefined;
  /** Last session; else the last closed one. */
  readonly to?: number | undefined;
  /** Calendar days to look back: 30 where left out. */
  readonly backfillDays?: number | undefined;
}

export interface SessionWindow {
  /** Sessions that are over, ascending. */
  readonly sessions: readonly number[];
  /** Sessions that were asked for and are not over. */
  readonly notClosed: readonly number[];
  readonly lastClosed: number;
  /** Sessions whose bars the exchange may still correct: the last three. */
  readonly correctable: ReadonlySet<number>;
  /** Whether an answer for a session, asked for at a time (milliseconds), came when nothing was corrected any more. */
  readonly isFinal: (session: number, askedAt: number) => boolean;
}

const CORRECTABLE = 3;
/** Three sessions are within so many days, whatever holidays there are. */
const CORRECTABLE_DAYS = 14;
const FIRST_DAY = sessionFrom('1998-01-01');

/** @throws BatchLayerError `BadInput` for dates in the wrong order */
export function chooseWindow(
  calendar: Calendar,
  now: number,
  { from, to, backfillDays = 30 }: WindowOptions,
): SessionWindow {
  const lastClosed = calendar.lastClosedSession(now);
  const [first, last] = [from ?? (to ?? lastClosed) - backfillDays, to ?? lastClosed];
  if (first > last) {
    const dates = `from ${formatSession(first)} to ${formatSession(last)}`;
    throw new BatchLayerError('BadInput', `${dates}: expected the earlier date first`);
  }
  return {
    lastClosed,
    sessions: calendar.sessionsBetween(first, Math.min(last, lastClosed)),
    notClosed: calendar.sessionsBetween(Math.max(first, lastClosed + 1), last),
    correctable: lastSessions(calendar, lastClosed),
    isFinal(session, askedAt) {
      if (askedAt < calendar.closeOf(session)) return false;
      return !lastSessions(calendar, calendar.lastClosedSession(askedAt)).has(session);
    },
  };
}

function lastSessions(calendar: Calendar, lastClosed: number): Set<number> {
  return new Set(knownSessions(calendar, lastClosed - CORRECTABLE_DAYS, lastClosed).slice(-CORRECTABLE));
}

/** The last day whose session is no longer corrected. */
export function settledThrough({ correctable, lastClosed }: SessionWindow): number {
  return Math.min(...correctable, lastClosed + 1) - 1;
}

/** The error of a session that has not closed yet. */
export function notOver(calendar: Calendar, session: number): BatchLayerError {
  const closes = new Date(calendar.closeOf(session)).toISOString();
  return new BatchLayerError('Unavailable', `${formatSession(session)} is not over: it closes at ${closes}`);
}

/** Sessions between two days, as far back as the calendar knows. */
export function knownSessions(calendar: Calendar, from: number, to: number): number[] {
  return calendar.sessionsBetween(Math.max(from, FIRST_DAY), to);
}
