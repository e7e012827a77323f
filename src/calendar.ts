import { BatchLayerError } from './errors.ts';
import { earlyClosesOf, FIRST_YEAR, holidaysOf, isWeekend } from './market-holidays.ts';
import { formatSession, monthOf, parseSession, sessionAt, sessionFrom } from './session.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

// Minutes after midnight in New York.
const OPEN = 9 * 60 + 30;
const EARLY_CLOSE = 13 * 60;
const CLOSE = 16 * 60;

const FIRST_DAY = sessionFrom(`${FIRST_YEAR}-01-01`);
const LAST_DAY = sessionFrom('9999-12-31');
const ENTRY = /^(\d{4}-\d{2}-\d{2})=(?:(closed|open)|(\d{2}):([0-5]\d))$/;

/** A day on which the exchange does something else than its rules say. */
export interface CalendarOverride {
  /** Days since 1970-01-01. */
  readonly session: number;
  /** `open` is a session to the usual close, also at a weekend; `early-close` is a session too. */
  readonly status: 'closed' | 'early-close' | 'open';
  /** Minutes after midnight in New York, of an early close: after 09:30 and before 16:00; 780 (13:00) where left out. */
  readonly closeMinutes?: number;
}

/**
 * The sessions of the New York Stock Exchange, from 1998-01-01 on.
 *
 * Days are counted since 1970-01-01. Every function throws a BatchLayerError `BadInput` for a day that is not whole, is
 * before 1998, whose rules are not known, or is after 9999.
 */
export interface Calendar {
  /** Whether the exchange trades on a day. */
  isSession(day: number): boolean;
  /** The sessions from one day to another, ascending, both inclusive; none where `from` is after `to`. */
  sessionsBetween(from: number, to: number): number[];
  /**
   * When trading of a session ends, in milliseconds since 1970-01-01T00:00Z.
   *
   * @throws BatchLayerError `BadInput` also where the day is no session.
   */
  closeOf(session: number): number;
  /**
   * The last session whose close is at or before an instant, in milliseconds since 1970-01-01T00:00Z.
   *
   * @throws BatchLayerError `BadInput` also where `now` is not finite, or before the first close of 1998.
   */
  lastClosedSession(now: number): number;
}

/**
 * The calendar by the exchange's rules (market-holidays.ts), with overrides. It asks neither the process's clock nor its
 * time zone.
 *
 * Later overrides win over earlier ones: give the API's first and the configuration's after.
 *
 * @throws BatchLayerError `BadInput` where an override that wins has an unknown day or no possible close.
 *
 * @example
 * const calendar = marketCalendar(parseCalendarOverrides('2027-01-08=closed'));
 * formatSession(calendar.lastClosedSession(Date.UTC(2027, 0, 9))); // '2027-01-07'
 */
export function marketCalendar(overrides: readonly CalendarOverride[] = []): Calendar {
  const overridden = new Map(overrides.map((override) => [override.session, override]));
  for (const override of overridden.values()) checkOverride(override);
  // Of each year, the minute at which every session closes.
  const years = new Map<number, ReadonlyMap<number, number>>();

  function closesOf(year: number): ReadonlyMap<number, number> {
    let closes = years.get(year);
    if (!closes) {
      closes = planYear(year, overridden);
      years.set(year, closes);
    }
    return closes;
  }

  function closeMinutesOf(day: number): number | undefined {
    checkDay(day);
    return closesOf(yearOf(day)).get(day);
  }

  function isSession(day: number): boolean {
    return closeMinutesOf(day) !== undefined;
  }

  function sessionsBetween(from: number, to: number): number[] {
    if (from > to) return [];
    checkDay(from);
    checkDay(to);
    const sessions: number[] = [];
    for (let year = yearOf(from); year <= yearOf(to); year++) {
      for (const session of closesOf(year).keys()) {
        if (session >= from && session <= to) sessions.push(session);
      }
    }
    return sessions;
  }

  function closeOf(session: number): number {
    const minutes = closeMinutesOf(session);
    if (minutes === undefined) throw new BatchLayerError('BadInput', `${formatSession(session)} is no session`);
    return session * DAY_MS + minutes * MINUTE_MS + behindUtc(session);
  }

  function lastClosedSession(now: number): number {
    if (!(now >= FIRST_DAY * DAY_MS && now < (LAST_DAY + 1) * DAY_MS)) {
      throw new BatchLayerError(
        'BadInput',
        `${now} is no instant of the calendar: expected milliseconds since 1970, from 1998 to 9999`,
      );
    }
    let day = sessionAt(now);
    if (isSession(day) && closeOf(day) <= now) return day;
    do day--;
    while (!isSession(day));
    return day;
  }

  return { isSession, sessionsBetween, closeOf, lastClosedSession };
}

/**
 * Parses overrides as configuration has them: `DATE=closed`, `DATE=open` (a session to 16:00) or `DATE=HH:MM` (an early
 * close, in New York), with commas between. Blank text is none.
 *
 * @throws BatchLayerError `BadInput` naming the wrong entry.
 *
 * @example parseCalendarOverrides('2027-01-09=closed,2026-12-24=13:00,2027-02-06=open')
 */
export function parseCalendarOverrides(text: string): CalendarOverride[] {
  return text.trim() === '' ? [] : text.split(',').map((entry) => parseOverride(entry.trim()));
}

function parseOverride(entry: string): CalendarOverride {
  const [, date = '', status, hours, minutes] = ENTRY.exec(entry) ?? [];
  const session = parseSession(date);
  const closeMinutes = Number(hours) * 60 + Number(minutes);
  if (session !== undefined && isKnown(session)) {
    if (status === 'closed' || status === 'open') return { session, status };
    if (isEarlyClose(closeMinutes)) return { session, status: 'early-close', closeMinutes };
  }
  throw new BatchLayerError(
    'BadInput',
    `"${entry}" is no calendar override: expected YYYY-MM-DD=closed, =open or =HH:MM, with a date from 1998 on and a close after 09:30 and before 16:00`,
  );
}

function planYear(year: number, overridden: ReadonlyMap<number, CalendarOverride>): ReadonlyMap<number, number> {
  const holidays = holidaysOf(year);
  const earlyCloses = earlyClosesOf(year);
  const closes = new Map<number, number>();
  const end = Date.UTC(year + 1, 0, 1) / DAY_MS;
  for (let day = Date.UTC(year, 0, 1) / DAY_MS; day < end; day++) {
    const override = overridden.get(day);
    if (override) {
      if (override.status !== 'closed') closes.set(day, overriddenClose(override));
    } else if (!isWeekend(day) && !holidays.has(day)) {
      closes.set(day, earlyCloses.has(day) ? EARLY_CLOSE : CLOSE);
    }
  }
  return closes;
}

function overriddenClose({ status, closeMinutes = EARLY_CLOSE }: CalendarOverride): number {
  return status === 'open' ? CLOSE : closeMinutes;
}

function checkOverride({ session, status, closeMinutes = EARLY_CLOSE }: CalendarOverride): void {
  checkDay(session);
  if (status === 'early-close' && !isEarlyClose(closeMinutes)) {
    throw new BatchLayerError(
      'BadInput',
      `The calendar override of ${formatSession(session)} closes at minute ${closeMinutes}: expected a whole number after ${OPEN} and before ${CLOSE}`,
    );
  }
}

function isEarlyClose(minutes: number): boolean {
  return Number.isInteger(minutes) && minutes > OPEN && minutes < CLOSE;
}

function isKnown(day: number): boolean {
  return Number.isInteger(day) && day >= FIRST_DAY && day <= LAST_DAY;
}

function checkDay(day: number): void {
  if (isKnown(day)) return;
  throw new BatchLayerError(
    'BadInput',
    `Day ${day} is not in the calendar: expected whole days since 1970-01-01, from ${FIRST_DAY} (1998-01-01) to ${LAST_DAY} (9999-12-31)`,
  );
}

function yearOf(day: number): number {
  return Math.floor(monthOf(day) / 12);
}

const newYorkHour = new Intl.DateTimeFormat('en-US', {
  timeZone: 'America/New_York',
  hour: 'numeric',
  hourCycle: 'h23',
});

/**
 * By how many milliseconds New York is behind UTC from noon of a day on. Clocks change at night, and at 17:00 UTC it is
 * noon or 13:00 there, never the midnight that formats differ about.
 */
function behindUtc(day: number): number {
  return (17 - Number(newYorkHour.format(day * DAY_MS + 17 * HOUR_MS))) * HOUR_MS;
}
