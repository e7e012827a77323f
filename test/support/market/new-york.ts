const HOUR_MS = 3_600_000;
const hourInNewYork = new Intl.DateTimeFormat('en-US', {
  timeZone: 'America/New_York',
  hour: 'numeric',
  hourCycle: 'h23',
});
const hours = new Map<number, number>();

/** An hour of a session in New York, in milliseconds since 1970-01-01. */
export function newYorkTime(session: number, hour: number): number {
  const key = session * 24 + hour;
  const known = hours.get(key);
  if (known !== undefined) return known;
  const daylightSaving = (key + 4) * HOUR_MS;
  const isSaving = Number(hourInNewYork.format(daylightSaving)) === hour;
  const time = isSaving ? daylightSaving : daylightSaving + HOUR_MS;
  hours.set(key, time);
  return time;
}
