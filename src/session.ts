import { BatchLayerError } from './errors.ts';

const DAY_MS = 86_400_000;
const DATE = /^(\d{4})-(\d{2})-(\d{2})$/;

/**
 * The session of a calendar date, in days since 1970-01-01, or `undefined` where no such date exists.
 *
 * @example parseSession('1970-01-02') // 1
 */
export function parseSession(date: string): number | undefined {
  const match = DATE.exec(date);
  if (match === null) return undefined;
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])];
  const session = sessionOf(year, month, day);
  // Date.UTC rolls 2021-02-30 over to March: a date that does not come back as it went in does not exist.
  return formatSession(session) === date ? session : undefined;
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

function sessionOf(year: number, month: number, day: number): number {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return Math.round(date.getTime() / DAY_MS);
}
