import { expect, test } from 'vitest';
import { earlyClosesOf, holidaysOf, isWeekend } from '../src/market-holidays.ts';
import { formatSession, sessionFrom } from '../src/session.ts';

const weekdays = (days: ReadonlySet<number>): string[] =>
  [...days]
    .filter((day) => !isWeekend(day))
    .sort((a, b) => a - b)
    .map((day) => formatSession(day).slice(5));

// Written from the exchange's announcements; the years between are judged by the dates of real bars (calendar.test.ts).
test.each([
  [1998, '01-01 01-19 02-16 04-10 05-25 07-03 09-07 11-26 12-25'],
  [1999, '01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24'],
  [2001, '01-01 01-15 02-19 04-13 05-28 07-04 09-03 09-11 09-12 09-13 09-14 11-22 12-25'],
  [2004, '01-01 01-19 02-16 04-09 05-31 06-11 07-05 09-06 11-25 12-24'],
  [2005, '01-17 02-21 03-25 05-30 07-04 09-05 11-24 12-26'],
  [2007, '01-01 01-02 01-15 02-19 04-06 05-28 07-04 09-03 11-22 12-25'],
  [2012, '01-02 01-16 02-20 04-06 05-28 07-04 09-03 10-29 10-30 11-22 12-25'],
  [2018, '01-01 01-15 02-19 03-30 05-28 07-04 09-03 11-22 12-05 12-25'],
  [2021, '01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24'],
  [2022, '01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26'],
  [2023, '01-02 01-16 02-20 04-07 05-29 06-19 07-04 09-04 11-23 12-25'],
  [2024, '01-01 01-15 02-19 03-29 05-27 06-19 07-04 09-02 11-28 12-25'],
  [2025, '01-01 01-09 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25'],
  [2026, '01-01 01-19 02-16 04-03 05-25 06-19 07-03 09-07 11-26 12-25'],
  [2027, '01-01 01-18 02-15 03-26 05-31 06-18 07-05 09-06 11-25 12-24'],
  [2028, '01-17 02-21 04-14 05-29 06-19 07-04 09-04 11-23 12-25'],
  [2029, '01-01 01-15 02-19 03-30 05-28 06-19 07-04 09-03 11-22 12-25'],
  [2030, '01-01 01-21 02-18 04-19 05-27 06-19 07-04 09-02 11-28 12-25'],
])('holidays of %i, special closures among them', (year, dates) => {
  expect(weekdays(holidaysOf(year)).join(' ')).toBe(dates);
});

test.each([
  [1998, '11-27 12-24'],
  [1999, '11-26 12-31'],
  [2000, '07-03 11-24'],
  [2001, '07-03 11-23 12-24'],
  [2002, '07-05 11-29 12-24'],
  [2003, '07-03 11-28 12-24 12-26'],
  [2004, '11-26'],
  [2005, '11-25'],
  [2006, '07-03 11-24'],
  [2007, '07-03 11-23 12-24'],
  [2008, '07-03 11-28 12-24'],
  [2009, '11-27 12-24'],
  [2010, '11-26'],
  [2011, '11-25'],
  [2012, '07-03 11-23 12-24'],
  [2013, '07-03 11-29 12-24'],
  [2014, '07-03 11-28 12-24'],
  [2015, '11-27 12-24'],
  [2016, '11-25'],
  [2017, '07-03 11-24'],
  [2018, '07-03 11-23 12-24'],
  [2019, '07-03 11-29 12-24'],
  [2020, '11-27 12-24'],
  [2021, '11-26'],
  [2022, '11-25'],
  [2023, '07-03 11-24'],
  [2024, '07-03 11-29 12-24'],
  [2025, '07-03 11-28 12-24'],
  [2026, '11-27 12-24'],
  [2027, '11-26'],
  [2028, '07-03 11-24'],
  [2029, '07-03 11-23 12-24'],
  [2030, '07-03 11-29 12-24'],
])('early closes of %i', (year, dates) => {
  expect(weekdays(earlyClosesOf(year)).join(' ')).toBe(dates);
});

test('an early close is a session: no holiday, no weekend', () => {
  for (let year = 1998; year <= 2400; year++) {
    const holidays = holidaysOf(year);
    expect([...earlyClosesOf(year)].filter((day) => holidays.has(day) || isWeekend(day))).toEqual([]);
  }
});

test('Good Friday is two days before Easter by the algorithm of Meeus, Jones and Butcher, for 2,300 years', () => {
  for (let year = 1998; year < 4300; year++) {
    expect(holidaysOf(year), String(year)).toContain(easterOf(year) - 2);
  }
});

// Astronomical Algorithms, chapter 8; the letters are the book's.
function easterOf(year: number): number {
  const a = year % 19;
  const [b, c] = [Math.floor(year / 100), year % 100];
  const [d, e] = [Math.floor(b / 4), b % 4];
  const f = Math.floor((b + 8) / 25);
  const g = Math.floor((b - f + 1) / 3);
  const h = (19 * a + b - d - g + 15) % 30;
  const [i, k] = [Math.floor(c / 4), c % 4];
  const l = (32 + 2 * e + 2 * i - h - k) % 7;
  const m = Math.floor((a + 11 * h + 22 * l) / 451);
  const n = h + l - 7 * m + 114;
  const two = (value: number) => String(value).padStart(2, '0');
  return sessionFrom(`${year}-${two(Math.floor(n / 31))}-${two((n % 31) + 1)}`);
}
