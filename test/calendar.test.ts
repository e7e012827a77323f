import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, resolve } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { Temporal } from 'temporal-polyfill';
import { describe, expect, test } from 'vitest';
import { marketCalendar, parseCalendarOverrides } from '../src/calendar.ts';
import { earlyClosesOf } from '../src/market-holidays.ts';
import { formatSession, sessionFrom } from '../src/session.ts';

const DAY_MS = 86_400_000;
const NEW_YORK = 'America/New_York';
const calendar = marketCalendar();
const FIRST = sessionFrom('1998-01-01');
const SESSIONS = calendar.sessionsBetween(FIRST, sessionFrom('2030-12-31'));

/** When New York's clock shows an hour on a day, by an implementation of time zones that is not ours. */
function newYorkMs(day: number, hour: number, minute = 0): number {
  const time = Temporal.PlainTime.from({ hour, minute });
  return Temporal.PlainDate.from(formatSession(day)).toZonedDateTime({ timeZone: NEW_YORK, plainTime: time })
    .epochMilliseconds;
}

const CLOSES = SESSIONS.map((session) =>
  newYorkMs(session, earlyClosesOf(Number(formatSession(session).slice(0, 4))).has(session) ? 13 : 16),
);
const lastClosed = (now: number): number | undefined => SESSIONS[CLOSES.findLastIndex((close) => close <= now)];

/** Every instant from 1998 to 2030 at which New York's clocks change. */
function clockChanges(): number[] {
  const changes: number[] = [];
  let time = Temporal.ZonedDateTime.from(`1998-01-01[${NEW_YORK}]`).getTimeZoneTransition('next');
  while (time && time.year <= 2030) {
    changes.push(time.epochMilliseconds);
    time = time.getTimeZoneTransition('next');
  }
  return changes;
}

describe('sessions', () => {
  test.each([
    ...['2001-09-11', '2001-09-12', '2001-09-13', '2001-09-14', '2004-06-11', '2007-01-02', '2012-10-29', '2012-10-30'],
    ...['2018-12-05', '2025-01-09', '1998-01-19', '2022-06-20', '2024-03-29', '2026-07-03', '2027-07-05', '2027-12-24'],
    ...['1998-01-03', '1998-01-04', '2028-01-01', '2030-12-29'],
  ])('%s is none', (date) => {
    expect(calendar.isSession(sessionFrom(date))).toBe(false);
  });

  test.each([
    ...['1998-01-02', '1999-12-31', '2001-09-10', '2001-09-17', '2004-12-31', '2010-12-31', '2021-06-18', '2021-12-31'],
    ...['2012-10-26', '2012-10-31', '2024-10-14', '2024-11-11', '2027-12-31', '2030-12-31'],
  ])('%s is one', (date) => {
    expect(calendar.isSession(sessionFrom(date))).toBe(true);
  });

  test.each(
    Object.entries({
      ...{ 1998: 252, 1999: 252, 2000: 252, 2001: 248, 2002: 252, 2003: 252, 2004: 252, 2005: 252, 2006: 251 },
      ...{ 2007: 251, 2008: 253, 2009: 252, 2010: 252, 2011: 252, 2012: 250, 2013: 252, 2014: 252, 2015: 252 },
      ...{ 2016: 252, 2017: 251, 2018: 251, 2019: 252, 2020: 253, 2021: 252, 2022: 251, 2023: 250, 2024: 252 },
      ...{ 2025: 250 },
    }),
  )('%s has %i', (year, count) => {
    expect(calendar.sessionsBetween(sessionFrom(`${year}-01-01`), sessionFrom(`${year}-12-31`))).toHaveLength(count);
  });

  test.each([
    { name: 'S&P 500, 2000 to 2020', module: 'vega-datasets', path: '../data/sp500-2000.csv', bars: 5105 },
    { name: 'AAPL, 2013 to 2018', module: '@observablehq/sample-datasets/aapl.csv', path: 'aapl.csv', bars: 1260 },
  ])('the dates of real bars are exactly the sessions: $name', ({ module, path, bars }) => {
    const file = resolve(dirname(createRequire(import.meta.url).resolve(module)), path);
    const [header, ...rows] = readFileSync(file, 'utf8').trim().split(/\r?\n/);
    expect(header).toMatch(/^date,/i);
    const dates = rows.map((row) => row.slice(0, 10));
    expect(dates).toHaveLength(bars);
    const sessions = calendar.sessionsBetween(sessionFrom(dates[0]!), sessionFrom(dates.at(-1)!));
    expect(sessions.map(formatSession)).toEqual(dates);
  });

  test('sessions of a range are the days in it that are sessions, ascending, both ends included', () => {
    const day = fc.integer({ min: FIRST, max: sessionFrom('2040-12-31') });
    fc.assert(
      fc.property(day, fc.integer({ min: -5, max: 800 }), (from, length) => {
        const days = Array.from({ length: Math.max(0, length + 1) }, (_, i) => from + i);
        expect(marketCalendar().sessionsBetween(from, from + length)).toEqual(days.filter(calendar.isSession));
      }),
      { seed: 20_270_109, numRuns: 200 },
    );
  });

  test('of a range that ends before it starts there are none', () => {
    expect(calendar.sessionsBetween(FIRST + 10, FIRST + 9)).toEqual([]);
    expect(calendar.sessionsBetween(Number.POSITIVE_INFINITY, FIRST)).toEqual([]);
  });

  test.each([FIRST - 1, -1, FIRST + 0.5, Number.NaN, Number.POSITIVE_INFINITY, sessionFrom('9999-12-31') + 1])(
    'day %d is refused, not guessed',
    (day) => {
      const refused = expect.objectContaining({ code: 'BadInput', message: expect.stringContaining(`Day ${day} `) });
      expect(() => calendar.isSession(day)).toThrow(refused);
      expect(() => calendar.closeOf(day)).toThrow(refused);
      if (!(day > FIRST)) expect(() => calendar.sessionsBetween(day, FIRST)).toThrow(refused);
      if (!(day < FIRST)) expect(() => calendar.sessionsBetween(FIRST, day)).toThrow(refused);
    },
  );
});

describe('closes', () => {
  test('every session from 1998 to 2030 closes at 16:00 in New York, or at 13:00', () => {
    expect(SESSIONS.map(calendar.closeOf)).toEqual(CLOSES);
  });

  test.each(['2024-12-25', '2024-12-28', '2018-12-05'])('%s has no close', (date) => {
    expect(() => calendar.closeOf(sessionFrom(date))).toThrow(
      expect.objectContaining({ code: 'BadInput', message: `${date} is no session` }),
    );
  });

  test('a session is closed from its close on, and not a millisecond earlier', () => {
    const at = (ms: number) => CLOSES.slice(1).map((close) => calendar.lastClosedSession(close + ms));
    expect(at(-1)).toEqual(SESSIONS.slice(0, -1));
    expect(at(0)).toEqual(SESSIONS.slice(1));
    expect(at(1)).toEqual(SESSIONS.slice(1));
  });

  test('the change of clocks moves nothing: on both days of each year', () => {
    const changes = clockChanges();
    expect(changes).toHaveLength(66);
    for (const change of changes) {
      const offsets = [-1, 0, 1, ...Array.from({ length: 97 }, (_, i) => (i - 48) * 3_600_000)];
      for (const now of offsets.map((ms) => change + ms)) {
        expect(calendar.lastClosedSession(now), new Date(now).toISOString()).toBe(lastClosed(now));
      }
    }
  });

  test('the last closed session is the last whose close has come, at any instant', () => {
    const around = (instants: readonly number[], reach: number) =>
      fc
        .tuple(fc.constantFrom(...instants), fc.integer({ min: -reach, max: reach }))
        .map(([instant, ms]) => instant + ms);
    const now = fc.oneof(
      fc.integer({ min: CLOSES[0]!, max: CLOSES.at(-1)! }),
      around(CLOSES.slice(1), 1),
      around(clockChanges(), DAY_MS),
      around(
        SESSIONS.slice(1).map((session) => newYorkMs(session, 0)),
        1,
      ),
    );
    fc.assert(
      fc.property(now, (ms) => {
        expect(calendar.lastClosedSession(ms)).toBe(lastClosed(ms));
      }),
      { seed: 19_980_102, numRuns: 800 },
    );
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 1e300, CLOSES[0]! - 1])(
    'at %d no session is known to have closed',
    (now) => {
      expect(() => calendar.lastClosedSession(now)).toThrow(expect.objectContaining({ code: 'BadInput' }));
    },
  );

  test('answers do not depend on the time zone of the process', async () => {
    const script = `
      import { marketCalendar } from ${JSON.stringify(new URL('../src/calendar.ts', import.meta.url).href)};
      const calendar = marketCalendar();
      const closes = calendar.sessionsBetween(${FIRST}, ${SESSIONS.at(-1)}).map(calendar.closeOf);
      const last = closes.slice(1).flatMap((close) => [close - 1, close].map(calendar.lastClosedSession));
      console.log(JSON.stringify({ zoneMinutes: new Date(0).getTimezoneOffset(), closes, last }));`;
    const run = async (zone: string): Promise<{ zoneMinutes: number; closes: number[]; last: number[] }> => {
      const call = { env: { ...process.env, TZ: zone } };
      const parameters = ['--input-type=module', '--eval', script];
      return JSON.parse((await promisify(execFile)(process.execPath, parameters, call)).stdout);
    };
    const zones = { UTC: 0, 'Asia/Tokyo': -540, 'America/Los_Angeles': 480, 'Pacific/Apia': 660, 'Asia/Kolkata': -330 };
    const last = SESSIONS.slice(1).flatMap((session, i) => [SESSIONS[i], session]);
    for (const [zone, zoneMinutes] of Object.entries(zones)) {
      const answers = await run(zone);
      expect(answers.zoneMinutes).toBe(zoneMinutes);
      expect(answers.closes).toEqual(CLOSES);
      expect(answers.last).toEqual(last);
    }
  });
});

describe('overrides', () => {
  const [thursday, friday, saturday, monday] = ['2027-01-07', '2027-01-08', '2027-01-09', '2027-01-11'].map(
    sessionFrom,
  ) as [number, number, number, number];

  test('a closed day is no session', () => {
    const overridden = marketCalendar([{ session: friday, status: 'closed' }]);
    expect(overridden.sessionsBetween(thursday, monday)).toEqual([thursday, monday]);
    expect(overridden.isSession(friday)).toBe(false);
    expect(overridden.lastClosedSession(newYorkMs(saturday, 12))).toBe(thursday);
    expect(calendar.isSession(friday)).toBe(true);
  });

  test('an early close is at 13:00, or when it says', () => {
    const usual = marketCalendar([{ session: friday, status: 'early-close' }]);
    expect(usual.closeOf(friday)).toBe(newYorkMs(friday, 13));
    const half = marketCalendar([{ session: friday, status: 'early-close', closeMinutes: 14 * 60 + 30 }]);
    expect(half.closeOf(friday)).toBe(newYorkMs(friday, 14, 30));
    expect(half.lastClosedSession(newYorkMs(friday, 14, 30) - 1)).toBe(thursday);
    expect(half.lastClosedSession(newYorkMs(friday, 14, 30))).toBe(friday);
    expect(half.closeOf(thursday)).toBe(newYorkMs(thursday, 16));
  });

  test('an open Saturday is a session, an open half-day a whole one, an early close opens a holiday', () => {
    const eve = sessionFrom('2026-12-24');
    const overridden = marketCalendar([
      { session: saturday, status: 'open' },
      { session: eve, status: 'open' },
      { session: eve + 1, status: 'early-close' },
    ]);
    expect(overridden.sessionsBetween(thursday, monday)).toEqual([thursday, friday, saturday, monday]);
    expect(overridden.closeOf(saturday)).toBe(newYorkMs(saturday, 16));
    expect(overridden.lastClosedSession(newYorkMs(saturday, 16))).toBe(saturday);
    expect(calendar.closeOf(eve)).toBe(newYorkMs(eve, 13));
    expect(overridden.closeOf(eve)).toBe(newYorkMs(eve, 16));
    expect(overridden.closeOf(eve + 1)).toBe(newYorkMs(eve + 1, 13));
  });

  test('the later of two wins, also where the earlier is wrong', () => {
    const wrong = { session: friday, status: 'early-close', closeMinutes: 1000 } as const;
    const closed = { session: friday, status: 'closed' } as const;
    const open = { session: friday, status: 'open' } as const;
    expect(marketCalendar([closed, open]).isSession(friday)).toBe(true);
    expect(marketCalendar([open, closed]).isSession(friday)).toBe(false);
    expect(marketCalendar([wrong, closed]).isSession(friday)).toBe(false);
    expect(() => marketCalendar([closed, wrong])).toThrow(
      expect.objectContaining({ code: 'BadInput', message: expect.stringContaining('2027-01-08') }),
    );
  });

  test.each([570, 960, 780.5, Number.NaN])('a close at minute %d is refused', (closeMinutes) => {
    expect(() => marketCalendar([{ session: friday, status: 'early-close', closeMinutes }])).toThrow(
      expect.objectContaining({ code: 'BadInput', message: expect.stringContaining(`minute ${closeMinutes}`) }),
    );
  });

  test('an override before 1998 is refused', () => {
    expect(() => marketCalendar([{ session: FIRST - 1, status: 'open' }])).toThrow(
      expect.objectContaining({ code: 'BadInput' }),
    );
  });

  test('configuration is parsed in its order, spaces around entries do not matter', () => {
    expect(parseCalendarOverrides('2027-01-09=closed, 2026-12-24=13:00 ,2027-02-06=open,2027-01-08=09:31')).toEqual([
      { session: saturday, status: 'closed' },
      { session: sessionFrom('2026-12-24'), status: 'early-close', closeMinutes: 780 },
      { session: sessionFrom('2027-02-06'), status: 'open' },
      { session: friday, status: 'early-close', closeMinutes: 571 },
    ]);
    expect(parseCalendarOverrides(' \n')).toEqual([]);
  });

  test.each([
    ...['2027-01-08', '2027-01-08=', '2027-01-08=shut', '2027-01-08=Closed', '2027-13-08=closed', '2027-02-29=open'],
    ...['1997-12-31=open', '2027-01-08=13', '2027-01-08=9:45', '2027-01-08=13:60', '2027-01-08=24:00', '=closed', ''],
    ...['2027-01-08=09:30', '2027-01-08=16:00', '2027-01-08=closed=open', '2027-01-08 = closed', 'x2027-01-08=open'],
  ])('wrong entry %j is named', (entry) => {
    expect(() => parseCalendarOverrides(`2027-01-09=closed,${entry},2027-02-06=open`)).toThrow(
      expect.objectContaining({ code: 'BadInput', message: expect.stringContaining(`"${entry}" is no`) }),
    );
  });
});
