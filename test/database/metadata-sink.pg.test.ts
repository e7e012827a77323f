import fc from 'fast-check';
import { expect, test } from 'vitest';
import { metadataSink } from '../../src/database/metadata-sink.ts';
import { NO_DETAILS } from '../../src/ingest/api/ticker-details.ts';
import type { SymbolMetadata } from '../../src/ingest/reference/symbol-metadata.ts';
import { sessionFrom } from '../../src/session.ts';
import { withClient } from '../support/postgres/client.ts';
import { startProxy } from '../support/postgres/proxy.ts';
import { openTestDatabase, openUntilFinished, versionsOf } from './open-database.ts';

const META: SymbolMetadata = {
  ...NO_DETAILS,
  symbol: 'META',
  name: 'Meta Platforms, Inc.',
  type: 'CS',
  exchange: 'XNAS',
  currency: 'usd',
  cik: '0001326801',
  compositeFigi: 'BBG000MM2P62',
  shareClassFigi: 'BBG001SQCQC5',
  validFrom: sessionFrom('2022-06-09'),
  validTo: undefined,
  active: true,
  delistedDate: undefined,
  sector: 'Services',
  renamedFrom: 'FB',
  renamedTo: '',
  detailsAsOf: sessionFrom('2026-03-02'),
  listDate: sessionFrom('2012-05-18'),
  marketCap: 1.5e12,
  shareClassShares: 2_189_000_000,
  employees: 67_317,
};
const BALL: SymbolMetadata = {
  ...META,
  name: 'Roundhill Ball Metaverse ETF',
  type: 'ETF',
  validFrom: undefined,
  validTo: sessionFrom('2022-01-31'),
  active: false,
  renamedFrom: '',
  renamedTo: 'METV',
  detailsAsOf: undefined,
  marketCap: undefined,
  employees: undefined,
};

test('the table has the rows given: ranges that begin nowhere from -infinity, what is not known as NULL', async () => {
  const { database, query } = await openTestDatabase();
  await metadataSink(database).writeMetadata([BALL, META], {});
  expect(await query('SELECT * FROM symbol_metadata ORDER BY valid_from')).toMatchObject([
    {
      symbol: 'META',
      name: 'Roundhill Ball Metaverse ETF',
      valid_from: '-infinity',
      valid_to: '2022-01-31',
      active: false,
      renamed_to: 'METV',
      market_cap: null,
      employees: null,
      details_as_of: null,
    },
    {
      valid_from: '2022-06-09',
      valid_to: null,
      active: true,
      list_date: '2012-05-18',
      market_cap: 1.5e12,
      share_class_shares: 2_189_000_000,
      weighted_shares: null,
      employees: 67_317,
      homepage: '',
      renamed_from: 'FB',
      details_as_of: '2026-03-02',
    },
  ]);
  const at = `SELECT name FROM symbol_metadata WHERE symbol = 'META' AND valid_from <= '2021-07-01'
    AND (valid_to > '2021-07-01' OR valid_to IS NULL)`;
  expect(await query(at)).toEqual([{ name: BALL.name }]);
});

test('rows that are there already are not touched, others are replaced, and those that are not given deleted', async () => {
  const world = await openTestDatabase();
  const sink = metadataSink(world.database);
  const gone = { ...META, symbol: 'GONE' };
  const changed = { ...META, symbol: 'aapl', marketCap: undefined };
  await sink.writeMetadata([BALL, gone, META, changed], {});
  const before = await versionsOf(world, 'symbol_metadata');
  await sink.writeMetadata([BALL, gone, META, changed], {});
  expect(await versionsOf(world, 'symbol_metadata')).toEqual(before);
  await sink.writeMetadata([BALL, META, { ...changed, marketCap: 1 }, { ...META, symbol: 'NEW' }], {});
  const after = await versionsOf(world, 'symbol_metadata');
  expect(after.filter((row) => before.includes(row))).toEqual([before[0], before[2]]);
  expect(await world.query('SELECT symbol, market_cap FROM symbol_metadata ORDER BY symbol, valid_from')).toEqual([
    { symbol: 'META', market_cap: null },
    { symbol: 'META', market_cap: 1.5e12 },
    { symbol: 'NEW', market_cap: 1.5e12 },
    { symbol: 'aapl', market_cap: 1 },
  ]);
});

test('no rows at all empty no table', async () => {
  const { database, query } = await openTestDatabase();
  const sink = metadataSink(database);
  await sink.writeMetadata([], {});
  await sink.writeMetadata([META], {});
  await expect(sink.writeMetadata([], {})).rejects.toMatchObject({
    code: 'BadInput',
    message: expect.stringMatching(/symbol_metadata is not emptied/),
  });
  expect(await query('SELECT FROM symbol_metadata')).toHaveLength(1);
});

test('whatever list follows another, the table has the last one, text to the character', async () => {
  const world = await openTestDatabase();
  const sink = metadataSink(world.database);
  const text = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 8 }).map((name) => name.replaceAll('\0', '')),
    fc.constantFrom('', '\\N', 'NULL', "O'Neil", 'a\tb\nc\\', '"', 'Société Générale'),
  );
  const row = fc.record({
    symbol: fc.constantFrom('A', 'AA', 'a', 'BRK.B', 'NULL'),
    validFrom: fc.option(
      fc.integer({ min: -3, max: 3 }).filter((day) => day !== -1),
      { nil: undefined },
    ),
    name: text,
    marketCap: fc.option(fc.double({ min: 0, noDefaultInfinity: true, noNaN: true }), { nil: undefined }),
    employees: fc.option(fc.nat(), { nil: undefined }),
    active: fc.boolean(),
  });
  const lists = fc.array(
    fc.uniqueArray(row, { minLength: 1, maxLength: 8, selector: ({ symbol, validFrom }) => `${symbol} ${validFrom}` }),
    { minLength: 1, maxLength: 3 },
  );
  const property = fc.asyncProperty(lists, async (all) => {
    for (const list of all)
      await sink.writeMetadata(
        list.map((some) => ({ ...META, ...some })),
        {},
      );
    const found = await world.query(
      `SELECT symbol, nullif(valid_from, '-infinity') - date '1970-01-01' AS "validFrom", name,
        market_cap AS "marketCap", employees, active FROM symbol_metadata`,
    );
    const expected = all.at(-1)!.map((some) => Object.values({ ...some, ...nullsOf(some) }).join('|'));
    expect(found.map((some) => Object.values(some).join('|')).sort()).toEqual(expected.sort());
  });
  await fc.assert(property, { numRuns: 60, seed: 5 });
});

function nullsOf(row: object): object {
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, value ?? null]));
}

test('another run is waited for, and readers see the rows of before meanwhile', async () => {
  const world = await openTestDatabase();
  const sink = metadataSink(world.database);
  await sink.writeMetadata([META], {});
  await withClient(world.url, async (client) => {
    await client.query(`CREATE TEMP TABLE other AS SELECT * FROM symbol_metadata; UPDATE other SET symbol = 'OTHER';
      BEGIN; INSERT INTO symbol_metadata SELECT * FROM other`);
    const written = sink.writeMetadata([BALL], {});
    await expect.poll(world.waiting).toBe(1);
    expect(await world.query('SELECT name FROM symbol_metadata')).toEqual([{ name: META.name }]);
    await client.query('COMMIT');
    await written;
  });
  expect(await world.query('SELECT symbol, name FROM symbol_metadata')).toEqual([{ symbol: 'META', name: BALL.name }]);
});

test('whichever statement the server dies at, the rows are there', async () => {
  const { url, query } = await openTestDatabase();
  const proxy = await startProxy(url);
  const sink = metadataSink(openUntilFinished(proxy.url));
  await sink.writeMetadata([META], {});
  const count = proxy.statements().length;
  for (let k = 1; k <= count; k++) {
    const kill = proxy.killAt(k);
    const row = { employees: k, symbol: `S${k % 2}` };
    await sink.writeMetadata([{ ...META, ...row }], {});
    expect(kill.hits).toBe(1);
    expect(await query('SELECT employees, symbol FROM symbol_metadata')).toEqual([row]);
  }
});

test('whatever it waits for, an abort ends it with its reason, and the rows are those of before', async () => {
  const { url, query } = await openTestDatabase();
  const proxy = await startProxy(url);
  await metadataSink(openUntilFinished(proxy.url)).writeMetadata([META], {});
  const messages = proxy.messages();
  expect(messages.at(-1)).toBe('Query COMMIT');
  for (let at = 1; at < messages.length; at++) {
    const hang = proxy.arm({ kind: 'hang', at });
    const controller = new AbortController();
    const sink = metadataSink(openUntilFinished(proxy.url));
    const rejected = expect(sink.writeMetadata([BALL], { signal: controller.signal })).rejects.toThrow('stopped');
    await expect.poll(() => hang.hits).toBe(1);
    controller.abort(new Error('stopped'));
    await rejected;
    await proxy.disarm();
    expect(await query('SELECT name FROM symbol_metadata')).toEqual([{ name: META.name }]);
  }
});
