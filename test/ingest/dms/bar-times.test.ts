import fc from 'fast-check';
import { Temporal } from 'temporal-polyfill';
import { expect, test } from 'vitest';
import { parseTime, remember, sessionOfTime } from '../../../src/ingest/dms/bar-times.ts';
import { formatSession, sessionFrom } from '../../../src/session.ts';

const dates = fc
  .integer({ min: sessionFrom('1890-01-01'), max: sessionFrom('2100-12-31') })
  .map((session) => ({ session, date: Temporal.PlainDate.from(formatSession(session)) }));

test('midnight of a date, as UTC or in New York, is that date, at daylight saving too', () => {
  fc.assert(
    fc.property(dates, fc.integer({ min: 0, max: 86_399 }), ({ session, date }, seconds) => {
      expect(sessionOfTime(session * 86_400)).toBe(session);
      const midnight = date.toZonedDateTime('America/New_York').epochMilliseconds / 1000;
      expect(sessionOfTime(midnight)).toBe(session);
      const later = date.toZonedDateTime('America/New_York').add({ seconds });
      const isUtcMidnight = later.epochMilliseconds % 86_400_000 === 0;
      expect(sessionOfTime(later.epochMilliseconds / 1000)).toBe(
        isUtcMidnight ? later.epochMilliseconds / 86_400_000 : sessionFrom(later.toPlainDate().toString()),
      );
    }),
    { numRuns: 300, seed: 8 },
  );
});

test.each([
  ['2024-03-10 05:00:00Z', '2024-03-10'],
  ['2024-03-11 04:00:00Z', '2024-03-11'],
  ['2024-11-03 04:00:00Z', '2024-11-03'],
  ['2024-11-04 05:00:00Z', '2024-11-04'],
  // An hour off on either side of the change.
  ['2024-03-11 03:00:00Z', '2024-03-10'],
  ['2024-11-04 04:00:00Z', '2024-11-03'],
  ['2020-01-02', '2020-01-02'],
  ['2020-01-02 00:00', '2020-01-02'],
  ['2020-01-02 00:00:00', '2020-01-02'],
  ['2020-01-02T00:00:00.000000', '2020-01-02'],
  ['2020-01-02 00:00:00.999Z', '2020-01-02'],
  ['2020-01-02 00:00:00+00', '2020-01-02'],
  ['2020-01-02 00:00:00 UTC', '2020-01-02'],
  ['2020-01-02 05:00:00+00', '2020-01-02'],
  ['2020-01-02 05:00:00+00:00', '2020-01-02'],
  ['2020-01-02 00:00:00-05', '2020-01-02'],
  ['2020-01-02 00:00:00-0500', '2020-01-02'],
  ['2020-01-02 02:30:00+05:30', '2020-01-01'],
  ['1880-01-02 00:00:00-04:56:02', '1880-01-02'],
  ['2020-01-02 23:59:59', '2020-01-02'],
  ['2020-01-02 00:00:01', '2020-01-01'],
])('the time %s is of %s', (text, date) => {
  expect(formatSession(sessionOfTime(parseTime(text))!)).toBe(date);
});

test.each([
  '',
  'yesterday',
  '2020-01-32',
  '2021-02-29 00:00:00',
  '20200102',
  '01/02/2020',
  '2020-01-02 24:00:00',
  '2020-01-02 00:60',
  '2020-01-02 00:00:00+5',
  '0044-03-15 00:00:00 BC',
  'infinity',
  '12020-01-02',
])('%j is the time of nothing', (text) => {
  expect(sessionOfTime(parseTime(text))).toBeUndefined();
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, -1e12, 1e15])(
  '%d seconds are no time of the years 1000 to 9999',
  (seconds) => {
    expect(sessionOfTime(seconds)).toBeUndefined();
  },
);

test('what is remembered is asked for once, and forgotten when it gets too much', () => {
  const asked: number[] = [];
  const double = remember((n: number) => {
    asked.push(n);
    return n === 1 ? undefined : 2 * n;
  });
  expect([double(1), double(2), double(1), double(2)]).toEqual([undefined, 4, undefined, 4]);
  expect(asked).toEqual([1, 2]);
  for (let n = 3; n < 70_000; n++) double(n);
  expect([double(2), double(69_999)]).toEqual([4, 139_998]);
  expect(asked.filter((n) => n === 2)).toHaveLength(2);
});
