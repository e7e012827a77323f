import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allocateBars, REQUIRED_VALUES } from '../../src/bars.ts';
import type { BarRows } from '../../src/database/bar-rows.ts';
import { BATCH_ROWS, type UpsertCounts, upsertBars } from '../../src/database/upsert-bars.ts';
import { firstDayOf, formatSession, monthOf, sessionFrom } from '../../src/session.ts';
import type { TestDatabase } from '../support/postgres/database.ts';
import { type OpenTestDatabase, openTestDatabase, openUntilFinished } from './open-database.ts';
import { contentAfter, contentOf, createWorld, type Entry, KEEP_FROM, rowsOf } from './weather-world.ts';

const FIRST_MONTH = monthOf(sessionFrom('1000-01-01'));
const COLUMNS = [...REQUIRED_VALUES, 'vwap'] as const;

/** A row in the bits that it has: a bar's values, absent ones as null. */
type Row = readonly [symbol: string, date: string, ...bits: (string | null)[]];

interface Bar {
  readonly symbol: string;
  readonly date: string;
  readonly values: readonly number[];
  readonly vwap: number;
  readonly trades: number;
}

function barsOf(rows: readonly Bar[], optional: { readonly vwap: boolean; readonly trades: boolean }): BarRows {
  const bars = allocateBars(rows.length, optional);
  for (const [i, { date, values, vwap, trades }] of rows.entries()) {
    bars.session[i] = sessionFrom(date);
    for (const [c, name] of REQUIRED_VALUES.entries()) bars[name][i] = values[c]!;
    if (bars.vwap) bars.vwap[i] = vwap;
    if (bars.trades) bars.trades[i] = trades;
  }
  return { symbols: rows.map(({ symbol }) => symbol), bars };
}

function bitsOf(value: number): string {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return bytes.toString('hex');
}

/** All rows of `raw_ohlcv` as the server has them. */
async function readRows({ query }: TestDatabase): Promise<readonly Row[]> {
  const bits = COLUMNS.map((name) => `encode(float8send(${name}), 'hex')`);
  const rows = await query<{ row: Row }>(
    `SELECT json_build_array(symbol, to_char(date, 'YYYY-MM-DD'), ${bits.join(', ')}, trades::text) AS row
      FROM raw_ohlcv ORDER BY symbol COLLATE "C", date`,
  );
  return rows.map(({ row }) => row);
}

const char = fc.constantFrom(...'ABYZabyz0129');
const part = fc.string({ unit: char, minLength: 1, maxLength: 5 });
const symbol = fc.oneof(
  fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('.')),
  // Few of them, that come again: of one spelling but for the case, of the greatest length, of digits only.
  fc.constantFrom('AAPW', 'AAPw', 'aapw', 'BRK.B', 'BRK', 'A'.repeat(24), '0', 'null', 'NULL'),
);
// Months are few, as each has a table to be made.
const date = fc.constantFrom(
  ...['1000-01-01', '1000-01-31', '1582-10-15', '1600-02-29', '1969-12-31', '1970-01-01', '1999-12-31', '2000-01-01'],
  ...['2000-02-29', '2024-02-29', '2024-12-31', '2025-01-01', '9999-12-01', '9999-12-31'],
);
const finite = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(
    -0,
    0,
    Number.MIN_VALUE,
    -Number.MIN_VALUE,
    Number.MAX_VALUE,
    -Number.MAX_VALUE,
    Number.EPSILON,
    0.1,
    2 ** 53,
  ),
);
const bar = fc.record({
  symbol,
  date,
  values: fc.tuple(finite, finite, finite, finite, finite),
  vwap: fc.oneof(fc.constant(Number.NaN), finite),
  trades: fc.oneof(fc.constant(-1), fc.nat(), fc.constant(2 ** 31 - 1)),
});
interface Batch {
  readonly rows: readonly Bar[];
  readonly optional: { readonly vwap: boolean; readonly trades: boolean };
}

const batch: fc.Arbitrary<Batch> = fc.record({
  rows: fc.array(bar, { maxLength: 30 }),
  optional: fc.record({ vwap: fc.boolean(), trades: fc.boolean() }),
});

function keyOf({ symbol, date }: Bar): string {
  return `${symbol} ${date}`;
}

/** Whether a value in the place of another one is a change; −0 and 0 are the same to SQL. */
function isChange(a: Bar, b: Bar): boolean {
  const [before, after] = [a, b].map(({ values, vwap, trades }) => [...values, vwap, trades]);
  return before!.some((value, c) => value !== after![c] && !(Number.isNaN(value) && Number.isNaN(after![c])));
}

/** What batches come to, in memory. */
function upsertInto(table: Map<string, Bar>, { rows, optional }: Batch): UpsertCounts {
  const last = new Map(rows.map((row) => [keyOf(row), row]));
  let [written, unchanged] = [0, 0];
  for (const [key, row] of last) {
    const bar = { ...row, vwap: optional.vwap ? row.vwap : Number.NaN, trades: optional.trades ? row.trades : -1 };
    const before = table.get(key);
    if (before && !isChange(before, bar)) unchanged++;
    else {
      written++;
      table.set(key, bar);
    }
  }
  return { written, unchanged, outside: 0 };
}

function rowOf({ symbol, date, values, vwap, trades }: Bar): Row {
  const bits = [...values.map(bitsOf), Number.isNaN(vwap) ? null : bitsOf(vwap)];
  return [symbol, date, ...bits, trades === -1 ? null : String(trades)];
}

describe('bars that are written', () => {
  test('are there to the bit after whatever batches, of each key the last, and the counts say what was new', async () => {
    const world = await openTestDatabase();
    await fc.assert(
      fc
        .asyncProperty(fc.array(batch, { minLength: 1, maxLength: 3 }), async (batches) => {
          const table = new Map<string, Bar>();
          for (const one of batches) {
            const counts = await upsertBars(world.database, barsOf(one.rows, one.optional), { keepFrom: FIRST_MONTH });
            expect(counts).toEqual(upsertInto(table, one));
          }
          const expected = [...table.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => rowOf(row));
          expect(await readRows(world)).toEqual(expected);
        })
        .beforeEach(() => world.query('DELETE FROM raw_ohlcv')),
      { numRuns: 60 },
    );
  });

  test('are a quarter of a million in batches of 100,000, a later row with the key of an earlier one counts', async () => {
    const world = await openTestDatabase();
    const [rows, days] = [250_000, 40];
    const first = sessionFrom('2025-12-01');
    const bars = allocateBars(rows, { trades: true });
    const symbols = Array.from({ length: rows }, (_, i) => `S${String(Math.floor(i / days)).padStart(5, '0')}`);
    for (let i = 0; i < rows; i++) {
      bars.session[i] = first + (i % days);
      bars.close[i] = i;
      bars.trades![i] = i;
    }
    // The first key comes again in its own batch, and in the last one.
    for (const again of [BATCH_ROWS - 1, rows - 1]) {
      symbols[again] = symbols[0]!;
      bars.session[again] = bars.session[0]!;
    }
    const counts = await upsertBars(world.database, { symbols, bars }, { keepFrom: KEEP_FROM });
    expect(counts).toEqual({ written: rows - 1, unchanged: 0, outside: 0 });
    const [found] = await world.query(
      `SELECT count(*)::int AS rows, sum(close) AS close, sum(trades)::float8 AS trades,
        max(close) FILTER (WHERE symbol = 'S00000' AND date = '2025-12-01') AS last FROM raw_ohlcv`,
    );
    const sum = (rows * (rows - 1)) / 2 - (BATCH_ROWS - 1);
    expect(found).toEqual({ rows: rows - 2, close: sum, trades: sum, last: rows - 1 });
    expect(await upsertBars(world.database, { symbols, bars }, { keepFrom: KEEP_FROM })).toEqual({
      // The key that comes again is written by its first batch, and by its last.
      written: 2,
      unchanged: rows - 3,
      outside: 0,
    });
  });

  test('that are there already are not written again', async () => {
    const world = await openTestDatabase();
    const entries: readonly Entry[] = ['B', 'A', 'a', 'C'].flatMap((symbol) =>
      ['2025-02-03', '2025-01-02', '2024-12-31'].map((date, i) => [symbol, date, i] as const),
    );
    const write = (rows: readonly Entry[]) => upsertBars(world.database, rowsOf(rows), { keepFrom: KEEP_FROM });
    expect(await write(entries)).toEqual({ written: 12, unchanged: 0, outside: 0 });
    const before = await placesOf(world);
    expect(await write(entries.toReversed())).toEqual({ written: 0, unchanged: 12, outside: 0 });
    expect(await placesOf(world)).toEqual(before);

    const changed: readonly Entry[] = [
      ...entries.slice(0, 5),
      ['B', '2025-01-02', 9],
      ['D', '2025-01-02', 1],
      ['D', '2025-03-03', 1],
    ];
    expect(await write(changed)).toEqual({ written: 3, unchanged: 4, outside: 0 });
    const after = await placesOf(world);
    expect(after.filter((place) => !before.includes(place))).toHaveLength(3);
    expect(before.filter((place) => !after.includes(place))).toHaveLength(1);
  });

  test('of which only the sign of a zero is another one are not written again, absent values that come or go are', async () => {
    const world = await openTestDatabase();
    const write = (vwap: number, trades: number, open: number) => {
      const values = [open, 1, 1, 1, 1] as const;
      const row = { symbol: 'A', date: '2025-01-02', values, vwap, trades };
      return upsertBars(world.database, barsOf([row], { vwap: true, trades: true }), { keepFrom: KEEP_FROM });
    };
    const written = { written: 1, unchanged: 0, outside: 0 };
    const unchanged = { written: 0, unchanged: 1, outside: 0 };
    expect(await write(Number.NaN, -1, 0)).toEqual(written);
    expect(await write(Number.NaN, -1, -0)).toEqual(unchanged);
    expect(await write(5, -1, 0)).toEqual(written);
    expect(await write(5, 0, 0)).toEqual(written);
    expect(await write(Number.NaN, 0, 0)).toEqual(written);
    expect(await write(Number.NaN, -1, 0)).toEqual(written);
    expect(await write(Number.NaN, -1, 0)).toEqual(unchanged);
  });
});

/** Where each row is, and which transaction wrote it. */
async function placesOf({ query }: TestDatabase, table = 'raw_ohlcv'): Promise<readonly string[]> {
  const rows = await query<{ place: string }>(
    `SELECT format('%s %s: %s %s', symbol, date, ctid, xmin) AS place FROM ${table} ORDER BY symbol, date`,
  );
  return rows.map(({ place }) => place);
}

describe('months', () => {
  const write = ({ database }: Pick<OpenTestDatabase, 'database'>, entries: readonly Entry[], keepFrom = KEEP_FROM) =>
    upsertBars(database, rowsOf(entries), { keepFrom });

  test('from the first that is kept on begin with their first bar; those before are passed over, and no lock is left', async () => {
    const world = await openTestDatabase();
    const entries: readonly Entry[] = [
      ['A', '2022-12-31', 1],
      ['A', '2023-01-01', 2],
      ['A', '2023-12-31', 3],
      ['A', '2024-01-01', 4],
      ['A', '1970-01-01', 5],
    ];
    expect(await write(world, entries)).toEqual({ written: 3, unchanged: 0, outside: 2 });
    expect(await contentOf(world)).toEqual(contentAfter([], entries));
    expect(
      await write(
        world,
        entries.filter(([, date]) => date < '2023'),
      ),
    ).toEqual({ written: 0, unchanged: 0, outside: 2 });
    expect(await write(world, [])).toEqual({ written: 0, unchanged: 0, outside: 0 });
    expect(await contentOf(world)).toEqual(contentAfter([], entries));
  });

  test('that have begun are written to when the window has moved on, archived ones in the archive', async () => {
    const world = await createWorld();
    const opened = { ...world, database: openUntilFinished(world.url) };
    const before = await contentOf(world);
    const [, unchanged] = await placesOf(world, 'raw_ohlcv_archive');
    const entries: readonly Entry[] = [
      ['AAPL', '2022-05-02', 2],
      ['MSFT', '2022-05-02', 1],
      ['NEW', '2022-05-31', 3],
      ['AAPL', '2024-03-01', 4],
      ['NEW', '2024-03-02', 5],
      ['MSFT', '2024-03-01', 1],
    ];
    const keepFrom = monthOf(sessionFrom('2030-01-01'));
    expect(await write(opened, [...entries, ['AAPL', '2024-04-01', 6]], keepFrom)).toEqual({
      written: 4,
      unchanged: 2,
      outside: 1,
    });
    expect(await contentOf(world)).toEqual(contentAfter(before, entries));
    // Rows say when they came to the archive, or were changed there.
    const [times] = await world.query(
      `SELECT count(*)::int AS rows, count(DISTINCT archived_at)::int AS times FROM raw_ohlcv_archive`,
    );
    expect(times).toEqual({ rows: 3, times: 2 });
    expect(await placesOf(world, 'raw_ohlcv_archive')).toContain(unchanged);
  });

  test('keep their bars to the day at the turn of a year', async () => {
    const world = await openTestDatabase();
    const [from, to] = [sessionFrom('2023-11-28'), sessionFrom('2025-02-03')];
    const entries = Array.from({ length: to - from }, (_, i) => ['A', formatSession(from + i), i] as const);
    await write(world, entries);
    const rows = await world.query<{ month: string; first: string; last: string; rows: number }>(
      `SELECT right(tableoid::regclass::text, 6) AS month, min(date) AS first, max(date) AS last, count(*)::int AS rows
        FROM raw_ohlcv GROUP BY tableoid ORDER BY 1`,
    );
    const months = Array.from({ length: 16 }, (_, m) => monthOf(from) + m);
    expect(rows.map(({ month }) => month)).toEqual(
      months.map((month) => formatSession(firstDayOf(month)).slice(0, 7).replace('-', '')),
    );
    for (const [i, month] of months.entries()) {
      const [first, last] = [Math.max(from, firstDayOf(month)), Math.min(to, firstDayOf(month + 1)) - 1];
      expect(rows[i]).toMatchObject({ first: formatSession(first), last: formatSession(last), rows: last - first + 1 });
    }
  });

  test('that eight writers want at once are begun once', async () => {
    const world = await openTestDatabase();
    const databases = [world.database, openUntilFinished(world.url)];
    const batches = Array.from({ length: 8 }, (_, w) =>
      ['2025-12', '2026-01', '2026-02'].map((month) => [`W${w}`, `${month}-0${w + 1}`, w] as const),
    );
    const counts = await Promise.all(batches.map((entries, w) => write({ database: databases[w % 2]! }, entries)));
    expect(counts).toEqual(batches.map(() => ({ written: 3, unchanged: 0, outside: 0 })));
    expect(await contentOf(world)).toEqual(contentAfter([], batches.flat()));
  });
});
