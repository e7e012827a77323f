import { BatchLayerError } from './errors.ts';

const DAY_MS = 86_400_000;
const DATE = /^[1-9]\d{3}-\d{2}-\d{2}$/;
const MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/**
 * The session of a calendar date from year 1000 on, in days since 1970-01-01, or `undefined` where no such date exists.
 *
 * @example parseSession('1970-01-02') // 1
 */
export function parseSession(date: string): number | undefined {
  if (!DATE.test(date)) return undefined;
  const [year, month, day] = [Number(date.slice(0, 4)), Number(date.slice(5, 7)), Number(date.slice(8))];
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const days = month === 2 && isLeap ? 29 : MONTH_DAYS[month - 1];
  return days === undefined || day < 1 || day > days ? undefined : Date.UTC(year, month - 1, day) / DAY_MS;
}

/**
 * As {@link parseSession}, for a date that must be right.
 *
 * @throws BatchLayerError `BadInput` where it is not.
 */
export function sessionFrom(date: string): number {
  const session = parseSession(date);
  if (session === undefined) throw new BatchLayerError('BadInput', `"${date}" is not a date: expected YYYY-MM-DD`);
  return session;
}

/** A session (days since 1970-01-01) as YYYY-MM-DD. */
export function formatSession(session: number): string {
  return new Date(session * DAY_MS).toISOString().slice(0, 10);
}

/** The month of a session, counted from January of year 0: `year * 12 + month - 1`. */
export function monthOf(session: number): number {
  const date = new Date(session * DAY_MS);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}

/** The first day of a month ({@link monthOf}), in days since 1970-01-01. */
export function firstDayOf(month: number): number {
  return Date.UTC(Math.floor(month / 12), month % 12, 1) / DAY_MS;
}

/** A month ({@link monthOf}) as YYYYMM. */
export function formatMonth(month: number): string {
  return `${String(Math.floor(month / 12)).padStart(4, '0')}${String((month % 12) + 1).padStart(2, '0')}`;
}

/** The month ({@link monthOf}) that YYYYMM names. */
export function parseMonth(name: string): number {
  return Number(name.slice(0, 4)) * 12 + Number(name.slice(4)) - 1;
}

const newYork = new Intl.DateTimeFormat('en-CA', {
  timeZone: 'America/New_York',
  year: 'numeric',
  month: '2-digit',
  day: '2-digit',
});

/** The exchange-local (America/New_York) date at an instant, as days since 1970-01-01. */
export function sessionAt(epochMs: number): number {
  return sessionFrom(newYork.format(epochMs));
}
