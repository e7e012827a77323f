import { parseSession, sessionAt, sessionFrom } from '../../session.ts';

const DAY_SECONDS = 86_400;
/** Sessions are dates of four digits; a day less, since New York's date may be the day before. */
const [FIRST, LAST] = [sessionFrom('1000-01-02'), sessionFrom('9999-12-31')];
const MAX_REMEMBERED = 65_536;
const TIME =
  /^(\d{4}-\d\d-\d\d)(?:[ T]([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:\.\d{1,9})?)? ?(?:Z|UTC|([+-])(\d\d)(?::?([0-5]\d)(?::?([0-5]\d))?)?)?)?$/;

/**
 * The session that the old system meant by a time.
 *
 * It stored a daily bar under midnight of the exchange-local date: written as UTC, or as the instant it was in New York (04:00
 * or 05:00 UTC). So an instant at 00:00:00 UTC (whatever the fraction of the second) is that date, and any other one the date
 * that New York had then.
 *
 * @param seconds whole seconds since 1970-01-01 UTC
 * @returns `undefined` where it is no time of the years 1000 to 9999
 */
export function sessionOfTime(seconds: number): number | undefined {
  const day = Math.floor(seconds / DAY_SECONDS);
  if (!(day >= FIRST && day <= LAST)) return undefined;
  return day * DAY_SECONDS === seconds ? day : sessionAt(seconds * 1000);
}

/**
 * The seconds since 1970-01-01 UTC of a time that is written out: `2020-01-02`, `2020-01-02 00:00:00`,
 * `2020-01-02T05:00:00.000Z`, `2020-01-02 00:00:00-05`. Without an offset it is UTC.
 *
 * @returns NaN where it is none
 */
export function parseTime(text: string): number {
  const [, date = '', hours = '0', minutes = '0', seconds = '0', sign, ...offset] = TIME.exec(text) ?? [];
  const day = parseSession(date);
  if (day === undefined) return Number.NaN;
  const time = day * DAY_SECONDS + toSeconds([hours, minutes, seconds]);
  return sign === undefined ? time : time - (sign === '-' ? -1 : 1) * toSeconds(offset);
}

function toSeconds([hours, minutes, seconds]: readonly (string | undefined)[]): number {
  return Number(hours ?? 0) * 3600 + Number(minutes ?? 0) * 60 + Number(seconds ?? 0);
}

/** As the function given, which is asked only once for what comes again: a daily export has few times and many rows. */
export function remember<K, V>(find: (key: K) => V): (key: K) => V {
  const known = new Map<K, V>();
  return (key) => {
    let value = known.get(key);
    if (value === undefined && !known.has(key)) {
      if (known.size === MAX_REMEMBERED) known.clear();
      value = find(key);
      known.set(key, value);
    }
    return value as V;
  };
}
