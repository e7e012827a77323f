import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NO_DETAILS } from '../../../src/ingest/api/ticker-details.ts';
import {
  metadataAt,
  readMetadataTable,
  readSymbolMetadata,
  replaceMetadataTable,
  SYMBOL_METADATA_KEY,
  type SymbolMetadata,
} from '../../../src/ingest/reference/symbol-metadata.ts';
import { fileStore } from '../../../src/lake/file-store.ts';
import { memoryStore } from '../../../src/lake/memory-store.ts';
import { sessionFrom } from '../../../src/session.ts';
import { compareSymbols } from '../../../src/symbol.ts';
import { queryDuckDB } from '../../support/duckdb.ts';
import { listedTicker } from '../../support/stub-tickers.ts';
import { temporaryFolder } from '../../support/temporary.ts';

const NONE = { etag: undefined, digest: undefined };

function row(
  symbol: string,
  validFrom?: number,
  validTo?: number,
  fields: Partial<SymbolMetadata> = {},
): SymbolMetadata {
  const { updatedAt: _, ...listed } = listedTicker(symbol);
  const rest = { sector: '', renamedFrom: '', renamedTo: '', detailsAsOf: undefined };
  return { ...NO_DETAILS, ...listed, ...rest, validFrom, validTo, active: validTo === undefined, ...fields };
}

const text = fc.constantFrom('', 'a', 'Ü €', '😀', "O'Neil, Inc.");
const day = fc.option(fc.integer({ min: 0, max: 40_000 }), { nil: undefined });
const amount = fc.option(fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }), { nil: undefined });
const arbitraryFields = fc.record({
  name: text,
  cik: text,
  homepage: text,
  renamedFrom: text,
  listDate: fc.option(fc.integer({ min: -40_000, max: -2 }), { nil: undefined }),
  delistedDate: day,
  detailsAsOf: day,
  marketCap: amount,
  weightedShares: amount,
  employees: fc.option(fc.nat(), { nil: undefined }),
});

const arbitraryRows = fc
  .uniqueArray(fc.tuple(fc.constantFrom('A', 'AB', 'B', 'BRK.B', 'a', 'NULL', 'TRUE'), arbitraryFields, fc.nat(3)), {
    selector: ([symbol]) => symbol,
  })
  .map((symbols) =>
    symbols
      .sort(([a], [b]) => compareSymbols(a, b))
      .flatMap(([symbol, fields, earlier]) => [
        ...Array.from({ length: earlier }, (_, i) => row(symbol, i === 0 ? undefined : i * 10, i * 10 + 7, fields)),
        row(symbol, earlier === 0 ? undefined : earlier * 10, undefined, fields),
      ]),
  );

describe('the table of metadata', () => {
  test('has what was put there, and the same rows are the same bytes', async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryRows, async (rows) => {
        const [store, other] = [memoryStore(), memoryStore()];
        expect(await replaceMetadataTable(store, rows, NONE)).toBe(rows.length > 0);
        expect(await readSymbolMetadata(store)).toEqual(rows);
        if (rows.length === 0) return;
        await replaceMetadataTable(other, await readSymbolMetadata(store), NONE);
        expect(await other.get(SYMBOL_METADATA_KEY)).toEqual(await store.get(SYMBOL_METADATA_KEY));
        expect(await replaceMetadataTable(store, rows, await readMetadataTable(store))).toBe(false);
      }),
      { numRuns: 100, seed: 20_260_304 },
    );
  });

  test('is replaced in the version that was read only', async () => {
    const store = memoryStore();
    await replaceMetadataTable(store, [row('A')], NONE);
    const table = await readMetadataTable(store);
    await replaceMetadataTable(store, [row('B')], table);
    await expect(replaceMetadataTable(store, [row('C')], table)).rejects.toMatchObject({ code: 'Conflict' });
    await expect(replaceMetadataTable(store, [row('C')], NONE)).rejects.toMatchObject({ code: 'Conflict' });
    expect(await readSymbolMetadata(store)).toEqual([row('B')]);
  });

  test.each([
    ['symbols out of order', [row('B'), row('A')]],
    ['a symbol in two places', [row('A'), row('B'), row('A')]],
    ['ranges that overlap', [row('A', undefined, 10), row('A', 9)]],
    ['ranges out of order', [row('A', 20, 30), row('A', 5, 10)]],
    ['a range after one without an end', [row('A', 5), row('A', 9)]],
    ['two ranges without a beginning', [row('A', undefined, 9), row('A')]],
    ['a range without a session', [row('A', 5, 5)]],
    ['an end of what is active', [row('A', 1, 5, { active: true })]],
    ['no end of what is not', [row('A', 1, undefined, { active: false })]],
  ])('%s are damage, which is not repaired', async (_, rows) => {
    const store = memoryStore();
    await replaceMetadataTable(store, rows, NONE);
    await expect(readSymbolMetadata(store)).rejects.toMatchObject({
      code: 'CorruptObject',
      message: expect.stringMatching(/reference\/symbol_metadata\.parquet.*restore an earlier version.*delete it/),
    });
  });

  test('an object that is no table is damage too', async () => {
    const store = memoryStore();
    await store.put(SYMBOL_METADATA_KEY, new Uint8Array(99));
    await expect(readSymbolMetadata(store)).rejects.toMatchObject({ code: 'CorruptObject' });
  });

  test('DuckDB reads it', async () => {
    const folder = await temporaryFolder();
    const details = { marketCap: 2.5e12, employees: 7, listDate: sessionFrom('1915-11-11'), detailsAsOf: 20_000 };
    const rows = [
      row('META', undefined, sessionFrom('2022-02-01'), { delistedDate: sessionFrom('2022-01-31') }),
      row('META', sessionFrom('2022-06-09'), undefined, { ...details, renamedFrom: 'FB' }),
    ];
    await replaceMetadataTable(fileStore(folder), rows, NONE);
    const found = await queryDuckDB(`FROM '${folder}/${SYMBOL_METADATA_KEY}'`);
    expect(Object.keys(found[0]!).join()).toBe(
      'symbol,valid_from,valid_to,active,name,type,exchange,currency,cik,composite_figi,share_class_figi,list_date,' +
        'delisted_date,sic_code,industry,sector,market_cap,share_class_shares,weighted_shares,employees,homepage,' +
        'renamed_from,renamed_to,details_as_of',
    );
    expect(found).toMatchObject([
      {
        symbol: 'META',
        valid_from: null,
        valid_to: new Date('2022-02-01'),
        active: false,
        delisted_date: new Date('2022-01-31'),
        market_cap: null,
        employees: null,
        details_as_of: null,
      },
      {
        valid_from: new Date('2022-06-09'),
        valid_to: null,
        active: true,
        market_cap: 2.5e12,
        employees: 7,
        list_date: new Date('1915-11-11'),
        renamed_from: 'FB',
      },
    ]);
  });
});

test('metadataAt gives the row whose range has the session, as looking at every row does', () => {
  const query = fc.record({
    symbol: fc.constantFrom('A', 'AB', 'BRK.B', 'C', 'a'),
    session: fc.integer({ min: -5, max: 45 }),
  });
  fc.assert(
    fc.property(arbitraryRows, fc.array(query), (rows, queries) => {
      for (const { symbol, session } of queries) {
        const found = rows.find(({ symbol: other, validFrom = -100, validTo = 100 }) => {
          return other === symbol && validFrom <= session && session < validTo;
        });
        expect(metadataAt(rows, symbol, session)).toBe(found);
      }
    }),
    { numRuns: 300, seed: 20_260_305 },
  );
});
