import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Columns, decodeUtf8, encodeUtf8, type TableSchema, type Utf8Values } from '../../src/lake/columns.ts';
import { fileStore } from '../../src/lake/file-store.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { encodeTable } from '../../src/lake/parquet-encode.ts';
import {
  collectRows,
  REFERENCE_PREFIX,
  type ReferenceRow,
  readReferenceTable,
  replaceReferenceTable,
} from '../../src/lake/reference-table.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { queryDuckDB } from '../support/duckdb.ts';
import { temporaryFolder } from '../support/temporary.ts';

const KEY = `${REFERENCE_PREFIX}things.parquet`;
const SCHEMA: TableSchema = [
  { name: 'id', type: 'utf8' },
  { name: 'symbol', type: 'utf8' },
  { name: 'day', type: 'date', nullable: true },
  { name: 'count', type: 'int32', nullable: true },
  { name: 'amount', type: 'float64', nullable: true },
  { name: 'active', type: 'bool' },
  { name: 'seen_at', type: 'timestamp' },
];

const arbitraryRow: fc.Arbitrary<ReferenceRow> = fc.record({
  id: fc.string({ unit: 'grapheme', maxLength: 3 }),
  symbol: fc.constantFrom('AAPL', 'AAPLw', 'BRK.B', 'ZZ', 'é'),
  day: fc.integer({ min: -1, max: 30 }),
  count: fc.integer({ min: -1, max: 2 ** 31 - 1 }),
  amount: fc.oneof(fc.double({ noNaN: true }), fc.constant(Number.NaN)),
  active: fc.integer({ min: 0, max: 1 }),
  seen_at: fc.integer({ min: 0, max: 2 ** 41 }),
});

function collect(rows: readonly ReferenceRow[], order: readonly string[] = ['id']): Columns {
  const collector = collectRows(SCHEMA);
  for (const row of rows) collector.add(row);
  return collector.finish(order);
}

/** A table as the rows it has. */
function rowsOf({ length, values }: Columns): unknown[] {
  const columns = SCHEMA.map(({ type }, c) => {
    return type === 'utf8' ? decodeUtf8(values[c] as Utf8Values) : Array.from(values[c] as Float64Array);
  });
  return Array.from({ length }, (_, i) => Object.fromEntries(SCHEMA.map(({ name }, c) => [name, columns[c]![i]])));
}

function row(id: string, change: ReferenceRow = {}): ReferenceRow {
  return { id, symbol: 'AAPL', day: 1, count: 2, amount: 0.5, active: 1, seen_at: 1e12, ...change };
}

async function damage(store: ObjectStore, at: number): Promise<void> {
  const { body } = await store.get(KEY);
  body[at]! ^= 0x40;
  await store.put(KEY, body);
}

describe('tables of reference data', () => {
  test('property: what is put is read, absent values included', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(arbitraryRow, { maxLength: 30 }), async (rows) => {
        const store = memoryStore();
        const columns = collect(rows);
        expect(await replaceReferenceTable(store, KEY, SCHEMA, columns, { metadata: { source: 'test' } })).toBe(true);
        const table = await readReferenceTable(store, KEY, SCHEMA);
        expect(rowsOf(table!.columns)).toEqual(rowsOf(columns));
        expect(table).toMatchObject({ etag: 'v1', metadata: { source: 'test' } });
        expect(table!.damage).toBeUndefined();
      }),
      { numRuns: 50 },
    );
  });

  test('a table that was never put is undefined', async () => {
    expect(await readReferenceTable(memoryStore(), KEY, SCHEMA)).toBeUndefined();
  });

  test('the same columns are not written again, other ones are, and only over what was read', async () => {
    const store = memoryStore();
    const [old, same, other, third] = [2, 2, -1, 3].map((count) => collect([row('a', { count })])) as [
      Columns,
      Columns,
      Columns,
      Columns,
    ];
    await replaceReferenceTable(store, KEY, SCHEMA, old);
    const { etag, digest } = (await readReferenceTable(store, KEY, SCHEMA))!;
    const metadata = { source: 'elsewhere' };
    expect(await replaceReferenceTable(store, KEY, SCHEMA, same, { etag, digest, metadata })).toBe(false);
    expect((await store.head(KEY)).etag).toBe(etag);
    expect(await replaceReferenceTable(store, KEY, SCHEMA, other, { etag, digest, metadata })).toBe(true);
    expect(await readReferenceTable(store, KEY, SCHEMA)).toMatchObject({ metadata });
    for (const stale of [{ etag, digest }, {}]) {
      await expect(replaceReferenceTable(store, KEY, SCHEMA, third, stale)).rejects.toMatchObject({ code: 'Conflict' });
    }
  });

  test('a damaged table tells so, has no rows, and is replaced, also by the rows it had', async () => {
    const store = memoryStore();
    const columns = collect(Array.from({ length: 50 }, (_, i) => row(`id${i}`, { count: i })));
    await replaceReferenceTable(store, KEY, SCHEMA, columns);
    await damage(store, 40);
    const damaged = (await readReferenceTable(store, KEY, SCHEMA))!;
    expect(damaged).toMatchObject({ columns: { length: 0 }, damage: expect.stringContaining(KEY), metadata: {} });
    const { etag, digest } = damaged;
    expect(await replaceReferenceTable(store, KEY, SCHEMA, columns, { etag, digest })).toBe(true);
    expect(rowsOf((await readReferenceTable(store, KEY, SCHEMA))!.columns)).toEqual(rowsOf(columns));
  });

  test('a table of another schema is damaged too; a store that does not answer is no damage', async () => {
    const store = memoryStore();
    const { bytes } = encodeTable([{ name: 'id', type: 'utf8' }], { length: 1, values: [encodeUtf8(['a'])] });
    await store.put(KEY, bytes);
    expect(await readReferenceTable(store, KEY, SCHEMA)).toMatchObject({ damage: expect.stringContaining('symbol') });
    const down = { ...store, get: () => Promise.reject(new Error('down')) };
    await expect(readReferenceTable(down, KEY, SCHEMA)).rejects.toThrow('down');
  });

  test('an aborted call reads and writes nothing', async () => {
    const store = memoryStore();
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(readReferenceTable(store, KEY, SCHEMA, { signal })).rejects.toThrow('enough');
    await expect(replaceReferenceTable(store, KEY, SCHEMA, collect([]), { signal })).rejects.toThrow('enough');
    expect(await readReferenceTable(store, KEY, SCHEMA)).toBeUndefined();
  });

  test('DuckDB reads absent dates and numbers as NULL, of more rows than a row group has', async () => {
    const folder = await temporaryFolder();
    const absent = { day: -1, count: -1, amount: Number.NaN };
    const rows = Array.from({ length: 70_000 }, (_, i) => row(`id${i}`, i % 3 === 0 ? absent : { day: 18_505 }));
    await replaceReferenceTable(fileStore(folder), KEY, SCHEMA, collect(rows));
    const sql = `SELECT count(*)::INT AS n, count(day)::INT AS days, count(count)::INT AS counts,
      count(amount)::INT AS amounts, max(day)::VARCHAR AS day FROM '${folder}/${KEY}'`;
    const present = 70_000 - Math.ceil(70_000 / 3);
    expect(await queryDuckDB(sql)).toEqual([
      { n: 70_000, days: present, counts: present, amounts: present, day: '2020-08-31' },
    ]);
  });
});

describe('collectRows', () => {
  test('property: gives the last row of every key, in the order asked for, as an array of rows would', () => {
    const order = ['symbol', 'day', 'id'] as const;
    fc.assert(
      fc.property(fc.array(arbitraryRow, { maxLength: 60 }), (rows) => {
        const last = new Map(rows.map((one) => [one.id, one]));
        const expected = [...last.values()].sort((a, b) => {
          const name = order.find((column) => a[column] !== b[column]);
          return name === undefined ? 0 : a[name]! < b[name]! ? -1 : 1;
        });
        const collector = collectRows(SCHEMA);
        for (const one of rows) collector.add(one);
        expect([collector.rows(), collector.repeated()]).toEqual([last.size, rows.length - last.size]);
        expect(rowsOf(collector.finish(order))).toEqual(expected.map((one) => ({ ...one })));
      }),
    );
  });

  test('property: in whatever order rows come, the table has the same bytes', () => {
    const rows = Array.from({ length: 40 }, (_, i) => row(`id${i}`, { symbol: `S${i % 3}`, day: i % 2 }));
    const encode = (list: readonly ReferenceRow[]) => encodeTable(SCHEMA, collect(list, ['symbol', 'day', 'id'])).bytes;
    const expected = encode(rows);
    fc.assert(
      fc.property(fc.shuffledSubarray(rows, { minLength: rows.length }), (shuffled) => {
        expect(encode(shuffled)).toEqual(expected);
      }),
      { numRuns: 20 },
    );
  });
});
