import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LAKE_ID_KEY } from '../../src/database/bind-lake.ts';
import { reconcile } from '../../src/database/reconcile.ts';
import { writeDaily } from '../../src/ingest/daily-writer.ts';
import { type AppliedFile, encodeConsolidated } from '../../src/lake/consolidated.ts';
import { readDaily } from '../../src/lake/daily-file.ts';
import { dailyKey, dataKey } from '../../src/lake/keys.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { sessionFrom } from '../../src/session.ts';
import { type BarsBySymbol, lakeBars } from '../support/lake-bars.ts';
import { withClient } from '../support/postgres/client.ts';
import type { TestDatabase } from '../support/postgres/database.ts';
import { barsAt, barsWhere, countBars, keysIn, storedBars } from './lake-world.ts';
import { openTestDatabase } from './open-database.ts';

type Query = TestDatabase['query'];

/** 2022-10 is the first month that is kept: of 2022-09 there are bars only where somebody puts them. */
const NOW = Date.parse('2025-11-19T22:00:00Z');
const FIRST = '2022-10-01';
const MONTHS = ['2022-09', '2022-10', '2025-10', '2025-11'];
const SYMBOLS = ['AAPW', 'AAPw', 'BRK', 'BRK.B'];

/** A bar of the lake, and where it is: in both, or in one that was taken over, the other file has another value. */
interface LakeBar {
  readonly date: string;
  readonly value: number;
  readonly place: 'data' | 'daily' | 'both' | 'applied';
}

/** Something done to the database; `at` chooses a row among those that are there. */
type Damage =
  | { readonly kind: 'change'; readonly at: number; readonly column: string; readonly value: number | null }
  | { readonly kind: 'swap'; readonly at: number; readonly other: number; readonly column: string }
  | { readonly kind: 'delete'; readonly at: number; readonly of: 'row' | 'month' | 'symbol' | 'all' }
  | { readonly kind: 'rename'; readonly at: number; readonly symbol: string }
  | { readonly kind: 'insert'; readonly symbol: string; readonly date: string; readonly value: number };

const kind = <K extends string>(name: K) => fc.constant(name);
const symbol = fc.constantFrom(...SYMBOLS);
const anySymbol = fc.constantFrom(...SYMBOLS, 'GONE');
const date = fc
  .tuple(fc.constantFrom(...MONTHS), fc.integer({ min: 1, max: 30 }))
  .map(([month, day]) => `${month}-${String(day).padStart(2, '0')}`);
const value = fc.integer({ min: 8, max: 8000 }).map((eighths) => eighths / 8);
const bar: fc.Arbitrary<LakeBar> = fc.record({
  date,
  value,
  place: fc.constantFrom('data', 'daily', 'both', 'applied'),
});
const lake = fc.dictionary(symbol, fc.uniqueArray(bar, { selector: (of) => of.date, maxLength: 10 }));
const at = fc.nat(999);
const price = fc.constantFrom('open', 'high', 'low', 'close', 'volume');
const extreme = fc.constantFrom(0, 5e-324, 1.7976931348623157e308, -1.5);
const damage: fc.Arbitrary<Damage> = fc.oneof(
  fc.record({ kind: kind('change'), at, column: price, value: fc.oneof(value, extreme) }),
  fc.record({
    kind: kind('change'),
    at,
    column: fc.constantFrom('vwap', 'trades'),
    value: fc.option(fc.nat(2 ** 31 - 1)),
  }),
  fc.record({ kind: kind('swap'), at, other: at, column: price }),
  fc.record({
    kind: kind('delete'),
    at,
    of: fc.constantFrom<('row' | 'month' | 'symbol' | 'all')[]>('row', 'row', 'month', 'symbol', 'all'),
  }),
  fc.record({ kind: kind('rename'), at, symbol: anySymbol }),
  fc.record({ kind: kind('insert'), symbol: anySymbol, date, value }),
);

async function makeLake(histories: Readonly<Record<string, readonly LakeBar[]>>): Promise<ObjectStore> {
  const store = memoryStore();
  // The same lake, at another time.
  await store.put(LAKE_ID_KEY, Buffer.from('{"id":"5a1c0de5-0000-4000-8000-000000000001"}'));
  for (const [name, bars] of Object.entries(histories)) {
    const applied = new Map<number, AppliedFile>();
    for (const { date: day, value: of, place } of bars) {
      if (place === 'data') continue;
      await writeDaily(store, name, barsAt({ [day]: place === 'applied' ? of + 2 : of }));
      const session = sessionFrom(day);
      const file = await readDaily(store, name, { key: dailyKey(name, session), session });
      if (place === 'applied') applied.set(session, { ...file, on: session });
    }
    const inData = bars.filter(({ place }) => place !== 'daily');
    if (inData.length === 0) continue;
    const values = inData.map(({ date: day, value: of, place }) => [day, place === 'both' ? of + 1 : of]);
    const history = { bars: barsAt(Object.fromEntries(values)), applied, changes: [] };
    await store.put(dataKey(name), encodeConsolidated(name, history).bytes);
  }
  return store;
}

async function doDamage(query: Query, event: Damage): Promise<void> {
  const rows = await query<{ symbol: string; date: string }>('SELECT symbol, date FROM raw_ohlcv ORDER BY 1, 2');
  const keyAt = (n: number) => {
    const row = rows[n % rows.length]!;
    return [row.symbol, row.date];
  };
  if (event.kind === 'insert') {
    await query(`SELECT route_ohlcv_months(ARRAY[$1::date], '2022-01-01')`, [event.date]);
    await query(
      'INSERT INTO raw_ohlcv SELECT $1, $2, v, v, v, v, v FROM CAST($3 AS float8) AS v ON CONFLICT DO NOTHING',
      [event.symbol, event.date, event.value],
    );
  } else if (rows.length > 0) {
    const key = keyAt(event.at);
    if (event.kind === 'change') {
      const change = `UPDATE raw_ohlcv SET ${event.column} = $3 WHERE symbol = $1 AND date = $2`;
      await query(change, [...key, event.value]);
    } else if (event.kind === 'delete') {
      const where = {
        row: 'symbol = $1 AND date = $2',
        month: `date_trunc('month', date) = date_trunc('month', $2::date) AND $1 > ''`,
        symbol: 'symbol = $1 AND $2::date IS NOT NULL',
        all: `$1 > '' AND $2::date IS NOT NULL`,
      };
      await query(`DELETE FROM raw_ohlcv WHERE ${where[event.of]}`, key);
    } else if (event.kind === 'rename') {
      await query(
        `UPDATE raw_ohlcv SET symbol = $3 WHERE symbol = $1 AND date = $2
          AND NOT EXISTS (SELECT FROM raw_ohlcv WHERE symbol = $3 AND date = $2)`,
        [...key, event.symbol],
      );
    } else {
      await query(
        `UPDATE raw_ohlcv AS r SET ${event.column} = o.${event.column} FROM raw_ohlcv AS o
          WHERE (r.symbol = $1 AND r.date = $2 AND o.symbol = $3 AND o.date = $4)
            OR (r.symbol = $3 AND r.date = $4 AND o.symbol = $1 AND o.date = $2)`,
        [...key, ...keyAt(event.other)],
      );
    }
  }
}

/** As a database that has never had a bar. */
const EMPTY = `DO $$ DECLARE t text; BEGIN
  FOR t IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'raw_ohlcv'::regclass LOOP
    EXECUTE 'DROP TABLE ' || t;
  END LOOP;
  DELETE FROM ohlcv_months;
END $$`;

function without(bars: BarsBySymbol, keys: ReadonlySet<string>): BarsBySymbol {
  const kept = Object.entries(bars).map(([name, rows]) => {
    return [name, rows.filter(([day]) => !keys.has(`${name} ${day}`))] as const;
  });
  return Object.fromEntries(kept.filter(([, rows]) => rows.length > 0));
}

test('whatever was done to the database, it has all bars of the lake afterwards, and what is more is counted and left; the next run writes nothing', async () => {
  const { url, database } = await openTestDatabase();
  await withClient(url, async (client) => {
    const query: Query = async (sql, params = []) => (await client.query(sql, [...params])).rows as never;
    const property = fc.asyncProperty(lake, lake, fc.array(damage, { maxLength: 8 }), async (before, after, events) => {
      await query(EMPTY);
      // The database has an earlier state of the lake, and then things happen to it.
      await reconcile(await makeLake(before), database, { now: () => NOW });
      for (const event of events) await doDamage(query, event);

      const store = await makeLake(after);
      const truth = await lakeBars(store);
      const damaged = await storedBars({ query });
      const months = await query<{ month: string }>(`SELECT to_char(month, 'YYYY-MM') AS month FROM ohlcv_months`);
      const isKept = (day: string) => day >= FIRST || months.some(({ month }) => day.startsWith(month));
      const expected = barsWhere(truth, isKept);
      const known = new Set(keysIn(expected));
      const extra = keysIn(damaged).filter((key) => !known.has(key));

      const result = await reconcile(store, database, { now: () => NOW });
      const found = await storedBars({ query });
      expect(without(found, new Set(extra))).toEqual(expected);
      expect(without(found, known)).toEqual(without(damaged, known));
      const same = (key: string) => String(rowAt(damaged, key)) === String(rowAt(expected, key));
      expect(result).toMatchObject({
        bars: countBars(expected),
        written: [...known].filter((key) => !same(key)).length,
        extra: extra.length,
        contested: 0,
        failed: [],
      });
      expect(await reconcile(store, database, { now: () => NOW })).toMatchObject({ written: 0, extra: extra.length });
    });
    await fc.assert(property, { numRuns: 40, seed: 20261121 });
  });
});

function rowAt(bars: BarsBySymbol, key: string): readonly (string | number)[] | undefined {
  const [name, day] = key.split(' ');
  return bars[name!]?.find((row) => row[0] === day);
}
