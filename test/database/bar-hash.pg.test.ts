import fc from 'fast-check';
import type pg from 'pg';
import { describe, expect, test } from 'vitest';
import { allocateBars, type Bars, copyBar, REQUIRED_VALUES, sameBar } from '../../src/bars.ts';
import { addHashes, toBigInt } from '../../src/database/bar-hash.ts';
import { sessionFrom } from '../../src/session.ts';
import { withClient } from '../support/postgres/client.ts';
import { createTestDatabase } from '../support/postgres/database.ts';

const VALUES = [...REQUIRED_VALUES, 'vwap', 'trades'] as const;
/** What PostgreSQL's date can be, in days since 1970-01-01. */
const [FIRST_DAY, LAST_DAY] = [-2_440_588, 2_145_042_541];

const anyNumber = fc.oneof(
  { weight: 4, arbitrary: fc.double() },
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 10_000_000 }).map((cents) => cents / 100) },
  // Half of the pattern of bits is empty, or the sign alone.
  fc.constantFrom(0, -0, 1, -1, 2, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
  fc.constantFrom(Number.MIN_VALUE, -Number.MIN_VALUE, 2.2250738585072014e-308, 2.225073858507201e-308),
  fc.constantFrom(Number.MAX_VALUE, -Number.MAX_VALUE, 2 ** 32, 2 ** -32, 2 ** 53 + 2, Number.EPSILON),
);
const anySession = fc.oneof(
  fc.integer({ min: -30_000, max: 30_000 }),
  fc.integer({ min: FIRST_DAY, max: LAST_DAY }),
  fc.constantFrom(0, -1, 1, 10_957, 10_956, FIRST_DAY, LAST_DAY, ...['1969-12-31', '1999-12-31'].map(sessionFrom)),
);
const anyTrades = fc.oneof(fc.nat(2 ** 31 - 1), fc.constantFrom(-1, 0, 1, 2 ** 31 - 1, -(2 ** 31)));

const anyBar = fc.record({
  session: anySession,
  ...(Object.fromEntries(REQUIRED_VALUES.map((name) => [name, anyNumber])) as Record<'open', typeof anyNumber>),
  vwap: anyNumber,
  trades: anyTrades,
}) as fc.Arbitrary<Readonly<Record<'session' | (typeof VALUES)[number], number>>>;

/** Bars as they may come from anywhere, in no order: with both optional columns, with one of them, without. */
const anyBars: fc.Arbitrary<Bars> = fc
  .tuple(fc.array(anyBar, { minLength: 1, maxLength: 12 }), fc.record({ vwap: fc.boolean(), trades: fc.boolean() }))
  .map(([rows, optional]) => {
    const bars = allocateBars(rows.length, optional);
    for (const [i, row] of rows.entries()) {
      for (const name of ['session', ...VALUES] as const) if (bars[name]) bars[name][i] = row[name];
    }
    return bars;
  });

function hashSum(bars: Bars, from = 0, to = bars.session.length): bigint {
  const sum = { high: 0, low: 0 };
  addHashes(bars, from, to, sum);
  return toBigInt(sum);
}

const SUM = `SELECT sum(bar_hash(date '1970-01-01' + day, open, high, low, close, volume, vwap, trades))
  FROM unnest($1::int[], $2::float8[], $3::float8[], $4::float8[], $5::float8[], $6::float8[], $7::float8[], $8::int[])
    AS t (day, open, high, low, close, volume, vwap, trades)`;

/** The same sum by the function in the database; absent values are null there. */
async function sumInSql(client: pg.Client, bars: Bars): Promise<bigint> {
  // The driver would send -0 as 0.
  const asText = (value: number) => (Object.is(value, -0) ? '-0' : String(value));
  const columns = VALUES.map((name) => {
    const isAbsent = name === 'vwap' ? Number.isNaN : (value: number) => name === 'trades' && value === -1;
    return Array.from(bars.session, (_, i) => {
      const number = bars[name]?.[i];
      return number === undefined || isAbsent(number) ? null : asText(number);
    });
  });
  const { rows } = await client.query(SUM, [Array.from(bars.session), ...columns]);
  return BigInt(rows[0].sum);
}

describe('in PostgreSQL', () => {
  test('the sum of hashes is the same as in the database, for whatever bars', async () => {
    const { url } = await createTestDatabase({ migrate: true });
    await withClient(url, async (client) => {
      const property = fc.asyncProperty(anyBars, async (bars) => {
        expect(hashSum(bars)).toBe(await sumInSql(client, bars));
      });
      await fc.assert(property, { numRuns: 400, seed: 7 });
    });
  });

  test('odd values have the same hash as in the database, and one of their own', async () => {
    const { url } = await createTestDatabase({ migrate: true });
    const odd = [0, -0, 1, -1, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 5e-324, -5e-324];
    odd.push(Number.MAX_VALUE, 2 ** -1022, 2 ** 32);
    await withClient(url, async (client) => {
      for (const name of REQUIRED_VALUES) {
        const hashes = new Set<bigint>();
        for (const value of odd) {
          const bars = allocateBars(1);
          bars[name][0] = value;
          expect(hashSum(bars), `${name} ${value}`).toBe(await sumInSql(client, bars));
          hashes.add(hashSum(bars));
        }
        // Zero has two signs, and is one value.
        expect(hashes.size).toBe(odd.length - 1);
      }
    });
  });

  test('a null is taken as what stands for it in a lake, and as nothing else', async () => {
    const { url } = await createTestDatabase({ migrate: true });
    await withClient(url, async (client) => {
      const of = async (vwap: string, trades: string) => {
        const { rows } = await client.query(`SELECT bar_hash('2025-11-03', 1, 2, 3, 4, 5, ${vwap}, ${trades}) AS hash`);
        return rows[0].hash;
      };
      const hashes = [await of('null', 'null'), await of('0', 'null'), await of('null', '0'), await of('0', '0')];
      expect(new Set(hashes).size).toBe(4);
      expect([await of("'NaN'", '-1'), await of("'NaN'", 'null'), await of('null', '-1')]).toEqual(
        Array(3).fill(hashes[0]),
      );
    });
  });
});

test('any single value that is another one changes the sum', () => {
  const change = fc.record({ row: fc.nat(), name: fc.constantFrom('session' as const, ...VALUES), value: anyNumber });
  const property = fc.property(anyBars, change, ({ ...bars }, { row, name, value }) => {
    const before = hashSum(bars);
    const i = row % bars.session.length;
    const values = bars[name];
    if (!values) return;
    const old = values[i]!;
    values[i] = value;
    fc.pre(values[i] !== old && !(Number.isNaN(values[i]!) && Number.isNaN(old)));
    expect(hashSum(bars)).not.toBe(before);
    values[i] = old;
    expect(hashSum(bars)).toBe(before);
  });
  fc.assert(property, { numRuns: 3000, seed: 7 });
});

test('two bars that swap a value have another sum', () => {
  const property = fc.property(anyBars, fc.nat(), fc.nat(), fc.constantFrom(...VALUES), (bars, a, b, name) => {
    const values = bars[name];
    const [i, j] = [a % bars.session.length, b % bars.session.length];
    fc.pre(values !== undefined && values[i] !== values[j] && !(Number.isNaN(values[i]!) && Number.isNaN(values[j]!)));
    // Bars that are the same but for this one would only change places.
    const [one, other] = [copyOf(bars, i), copyOf(bars, j)];
    one[name]![0] = other[name]![0]!;
    fc.pre(hashSum(one) !== hashSum(other));
    const before = hashSum(bars);
    [values![i], values![j]] = [values![j]!, values![i]!];
    expect(hashSum(bars)).not.toBe(before);
  });
  fc.assert(property, { numRuns: 1000, seed: 7 });
});

test('a zero and another value of one bar that change places have another hash', () => {
  const name = fc.constantFrom(...REQUIRED_VALUES, 'vwap' as const);
  const property = fc.property(anyBars, name, name, (bars, a, b) => {
    const bar = { ...allocateBars(1, { vwap: true }), ...copyOf(bars, 0) };
    fc.pre(a !== b && bar[a]![0] !== 0);
    bar[b]![0] = 0;
    const before = hashSum(bar);
    [bar[a]![0], bar[b]![0]] = [0, bar[a]![0]!];
    expect(hashSum(bar), `${a} and ${b}`).not.toBe(before);
  });
  fc.assert(property, { numRuns: 500, seed: 7 });
});

test('the sum is that of its parts, in any order', () => {
  const property = fc.property(anyBars, fc.nat(), fc.array(fc.nat(), { maxLength: 12 }), (bars, cut, swaps) => {
    const { length } = bars.session;
    const at = cut % (length + 1);
    expect(hashSum(bars, 0, at) + hashSum(bars, at)).toBe(hashSum(bars));
    const shuffled = allocateBars(length, { vwap: bars.vwap !== undefined, trades: bars.trades !== undefined });
    const order = Array.from({ length }, (_, i) => i);
    for (const [i, swap] of swaps.entries()) {
      const [a, b] = [i % length, swap % length];
      [order[a], order[b]] = [order[b]!, order[a]!];
    }
    for (const [to, i] of order.entries()) copyBar(bars, i, shuffled, to);
    expect(hashSum(shuffled)).toBe(hashSum(bars));
  });
  fc.assert(property, { numRuns: 300, seed: 7 });
});

test('a column of absent values and none at all are the same', () => {
  const property = fc.property(anyBars, (bars) => {
    const bare = { ...bars, vwap: undefined, trades: undefined } as unknown as Bars;
    const full = { ...bare, ...absentColumns(bars.session.length) };
    expect(sameBar(bare, 0, full, 0)).toBe(true);
    expect(hashSum(bare)).toBe(hashSum(full));
  });
  fc.assert(property, { numRuns: 100, seed: 7 });
});

test('hashes of two million bars add up exactly', () => {
  const rows = 2_000_000;
  const bars = allocateBars(rows);
  bars.volume.fill(123.25);
  bars.session.fill(20_000);
  expect(hashSum(bars)).toBe(hashSum(bars, 0, 1) * BigInt(rows));
});

function absentColumns(length: number): Pick<Bars, 'vwap' | 'trades'> {
  const { vwap, trades } = allocateBars(length, { vwap: true, trades: true });
  return { vwap: vwap!, trades: trades! };
}

function copyOf(bars: Bars, i: number): Bars {
  const copy = allocateBars(1, { vwap: bars.vwap !== undefined, trades: bars.trades !== undefined });
  copyBar(bars, i, copy, 0);
  return copy;
}
