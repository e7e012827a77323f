import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { REQUIRED_VALUES } from '../../src/bars.ts';
import { type BarRows, orderRows } from '../../src/database/bar-rows.ts';
import { upsertBars } from '../../src/database/upsert-bars.ts';
import { sessionFrom } from '../../src/session.ts';
import { openUntilFinished } from './open-database.ts';
import { type Entry, KEEP_FROM, rowsOf } from './weather-world.ts';

test('rows are in order of symbol, by code unit, and session, of each key the last one', () => {
  const entry = fc.tuple(
    fc.constantFrom('A', 'a', 'AA', 'A.B', 'AB', 'B', 'b', '0'),
    fc.constantFrom('1999-12-31', '2000-01-01', '2000-01-02'),
    fc.nat(),
  );
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 40 }), (entries) => {
      const last = new Map(entries.map(([symbol, date], i) => [`${symbol} ${date}`, i]));
      const expected = [...last].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, i]) => i);
      expect([...orderRows(rowsOf(entries))]).toEqual(expected);
    }),
  );
});

describe('rows that are no bars', () => {
  const good: readonly Entry[] = Array.from({ length: 5 }, (_, i) => [`S${i}`, '2025-01-02', i]);
  const change = (spoil: (rows: { symbols: string[]; bars: BarRows['bars'] }) => void): BarRows => {
    const { symbols, bars } = rowsOf(good);
    const rows = { symbols: [...symbols], bars };
    spoil(rows);
    return rows;
  };
  const WRONG: readonly (readonly [of: string, rows: () => BarRows, message: RegExp])[] = [
    ...REQUIRED_VALUES.map(
      (name) =>
        [
          `${name} NaN`,
          () => change(({ bars }) => bars[name].fill(Number.NaN, 3, 4)),
          new RegExp(`^row 3 \\(S3, 2025-01-02\\): ${name} is NaN: expected a finite number$`),
        ] as const,
    ),
    [
      'an infinite price',
      () => change(({ bars }) => bars.low.fill(Number.NEGATIVE_INFINITY, 4)),
      /^row 4 \(S4, .*low is -Infinity/,
    ],
    ['a symbol with a slash', () => change(({ symbols }) => symbols.splice(2, 1, 'A/B')), /"A\/B" is not a symbol/],
    ['an empty symbol', () => change(({ symbols }) => symbols.splice(2, 1, '')), /"" is not a symbol/],
    ['a symbol with a NUL', () => change(({ symbols }) => symbols.splice(2, 1, 'A\0')), /is not a symbol/],
    ['a symbol of 25', () => change(({ symbols }) => symbols.splice(2, 1, 'A'.repeat(25))), /is not a symbol/],
    [
      'fewer symbols than bars',
      () => change(({ symbols }) => symbols.pop()),
      /^4 symbols, 5 of session: expected one each$/,
    ],
    [
      'a session before year 1000',
      () => change(({ bars }) => bars.session.fill(sessionFrom('1000-01-01') - 1, 4)),
      /^row 4 \(S4\): its session is -?\d+: expected days since 1970-01-01, of years 1000 to 9999$/,
    ],
    [
      'a session after year 9999',
      () => change(({ bars }) => bars.session.fill(sessionFrom('9999-12-31') + 1, 4)),
      /^row 4 \(S4\): its session is -?\d+: expected days since 1970-01-01, of years 1000 to 9999$/,
    ],
    [
      'no session',
      () => change(({ bars }) => bars.session.fill(-(2 ** 31), 4)),
      /^row 4 \(S4\): its session is -?\d+: expected days since 1970-01-01, of years 1000 to 9999$/,
    ],
    [
      'a column that is too short',
      () => ({ ...rowsOf(good), bars: { ...rowsOf(good).bars, close: new Float64Array(4) } }),
      /^5 symbols, 4 of close: expected one each$/,
    ],
    [
      'vwap that are too few',
      () => ({ ...rowsOf(good), bars: { ...rowsOf(good).bars, vwap: new Float64Array(4) } }),
      /^5 symbols, 4 of vwap: expected one each$/,
    ],
    [
      'trades that are too few',
      () => ({ ...rowsOf(good), bars: { ...rowsOf(good).bars, trades: new Int32Array(4) } }),
      /^5 symbols, 4 of trades: expected one each$/,
    ],
  ];

  test.each(WRONG)('because of %s are named before anything is sent', async (_, rows, message) => {
    const database = openUntilFinished('postgresql://127.0.0.1:1/market');
    await expect(upsertBars(database, rows(), { keepFrom: KEEP_FROM })).rejects.toMatchObject({
      code: 'BadInput',
      message: expect.stringMatching(message),
    });
  });
});
