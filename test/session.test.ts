import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatSession, monthOf, parseSession, sessionAt } from '../src/session.ts';

describe('sessions', () => {
  test('every date from year 1000 on goes there and back', () => {
    fc.assert(
      fc.property(fc.integer({ min: -354_285, max: 2_932_896 }), (session) => {
        const date = formatSession(session);
        expect(parseSession(date)).toBe(session);
        expect(monthOf(session)).toBe(Number(date.slice(0, 4)) * 12 + Number(date.slice(5, 7)) - 1);
      }),
    );
  });

  test("what is no date is none: every string of a date's form, judged by Date itself", () => {
    const part = (max: number, width: number) => fc.nat(max).map((n) => String(n).padStart(width, '0'));
    fc.assert(
      fc.property(part(9999, 4), part(14, 2), part(33, 2), (year, month, day) => {
        const text = `${year}-${month}-${day}`;
        const date = new Date(`${text}T00:00:00Z`);
        const exists = Number(year) >= 1000 && !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
        expect(parseSession(text) !== undefined).toBe(exists);
      }),
      { numRuns: 2000 },
    );
  });

  test.each(['', '2020-1-02', '20200102', '2020-01-02T00:00', ' 2020-01-02', '0999-01-01'])(
    '%j is no session',
    (text) => {
      expect(parseSession(text)).toBeUndefined();
    },
  );

  test('the exchange is in New York, whatever the clock of the process says', () => {
    expect(formatSession(sessionAt(Date.UTC(2026, 10, 20, 4, 59)))).toBe('2026-11-19');
    expect(formatSession(sessionAt(Date.UTC(2026, 10, 20, 5, 0)))).toBe('2026-11-20');
    expect(formatSession(sessionAt(Date.UTC(2026, 6, 20, 3, 59)))).toBe('2026-07-19');
    expect(formatSession(sessionAt(Date.UTC(2026, 6, 20, 4, 0)))).toBe('2026-07-20');
  });
});
