import { writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Bars } from '../../../src/bars.ts';
import { type IngestCsvOptions, ingestCsv } from '../../../src/ingest/csv/ingest-csv.ts';
import { consolidate } from '../../../src/lake/consolidate.ts';
import { memoryStore } from '../../../src/lake/memory-store.ts';
import type { ObjectStore } from '../../../src/lake/store.ts';
import { syntheticMarket, toCsv } from '../../../src/runtime/synthetic-market.ts';
import { formatSession } from '../../../src/session.ts';
import { arbitraryBars } from '../../support/arbitrary-bars.ts';
import { keysOf, readBronze, rowsOf } from '../../support/lake-reader.ts';
import { temporaryFolder } from '../../support/temporary.ts';

const HEADER = 'symbol,date,open,high,low,close,volume\n';
const GOOD = 'AAPL,2020-01-02,10,12,9,11,1000\n';

async function ingestText(
  text: string | Uint8Array,
  options: IngestCsvOptions & { name?: string; store?: ObjectStore } = {},
) {
  const { name = 'bars.csv', store = memoryStore(), ...rest } = options;
  const path = `${await temporaryFolder()}/${name}`;
  await writeFile(path, text);
  const result = await ingestCsv(store, [path], { consolidated: true, ...rest });
  return { result, store, path, bronze: await readBronze(store) };
}

describe('ingestCsv takes', () => {
  test.each<[string, string | Uint8Array, IngestCsvOptions & { name?: string }]>([
    ['plain files', HEADER + GOOD, {}],
    ['a missing line break at the end', HEADER + GOOD.trimEnd(), {}],
    ['CRLF, a byte-order mark and empty lines', `\ufeff${HEADER}\n${GOOD}\n\n`.replaceAll('\n', '\r\n'), {}],
    ['.gz files', gzipSync(HEADER + GOOD), { name: 'bars.csv.gz' }],
    [
      'any case, order and spaces of columns',
      'Close, DATE ,volume,Symbol,high,low,open\n11,2020-01-02, 1000,AAPL,12,9,10\n',
      {},
    ],
    ['other columns, also quoted ones with commas', `name,${HEADER}"Apple ""A"", Inc.",${GOOD}`, {}],
    [
      'files without a symbol column',
      'Date,Open,High,Low,Close,Volume\n2020-01-02,10,12,9,11,1000\n',
      { symbol: 'AAPL' },
    ],
    ['quoted values', `${HEADER}"AAPL","2020-01-02","10","12","9","11","1000"\n`, {}],
    ['numbers in other forms', `${HEADER}AAPL,2020-01-02,1e1,12.0,+9,1.1E1,1000.\n`, {}],
  ])('%s', async (_what, text, options) => {
    const { result, bronze } = await ingestText(text, options);
    expect(result).toMatchObject({
      rows: 1,
      landed: 1,
      rejected: 0,
      symbols: 1,
      firstDate: '2020-01-02',
      problems: [],
    });
    expect(rowsOf(bronze.AAPL!)).toEqual([['2020-01-02', 10, 12, 9, 11, 1000, Number.NaN, -1]]);
  });

  test('vwap and trades where they are there', async () => {
    const rows = 'A,2020-01-02,10,12,9,11,1000,10.5,7\nA,2020-01-03,10,12,9,11,1000,,\n';
    const { bronze } = await ingestText(`symbol,date,open,high,low,close,volume,vwap,trades\n${rows}`);
    expect(rowsOf(bronze.A!)).toEqual([
      ['2020-01-02', 10, 12, 9, 11, 1000, 10.5, 7],
      ['2020-01-03', 10, 12, 9, 11, 1000, Number.NaN, -1],
    ]);
  });

  test('symbols that differ in case, and odd but real ones, apart', async () => {
    const symbols = ['AAPW', 'AAPw', 'TRUE', 'NAN', 'NULL', 'CON', 'BRK.B', 'BAC.WS.A', '0'];
    const { bronze } = await ingestText(HEADER + symbols.map((symbol) => GOOD.replace('AAPL', symbol)).join(''));
    expect(Object.keys(bronze).sort()).toEqual([...symbols].sort());
  });
});

describe('ingestCsv names what is wrong with file and line, and the good rows land', () => {
  test.each([
    ['missing_value', 'AAPL,2020-01-03,10,12,9,,1000', 'close is empty'],
    ['missing_value', 'AAPL,2020-01-03,10,12,9,11,', 'volume is empty'],
    ['not_a_number', 'AAPL,2020-01-03,10,12,9,eleven,1000', '"eleven"'],
    ['not_a_number', 'AAPL,2020-01-03,NaN,12,9,11,1000', '"NaN"'],
    ['not_a_number', 'AAPL,2020-01-03,10,Infinity,9,11,1000', '"Infinity"'],
    ['not_a_number', 'AAPL,2020-01-03,0x1f,12,9,11,1000', '"0x1f"'],
    ['not_a_number', 'AAPL,2020-01-03,10,12,9,11,1e999', '"1e999"'],
    ['negative', 'AAPL,2020-01-03,10,12,-9,11,1000', 'low is -9'],
    ['negative', 'AAPL,2020-01-03,10,12,9,11,-1', 'volume is -1'],
    ['inconsistent', 'AAPL,2020-01-03,10,8,9,9,1000', 'high 8'],
    ['inconsistent', 'AAPL,2020-01-03,10,12,11,11,1000', 'low 11'],
    ['inconsistent', 'AAPL,2020-01-03,10,12,9,13,1000', 'close 13'],
    ['bad_date', 'AAPL,2020-02-30,10,12,9,11,1000', '"2020-02-30"'],
    ['bad_date', 'AAPL,2021-02-29,10,12,9,11,1000', '"2021-02-29"'],
    ['bad_date', 'AAPL,03/01/2020,10,12,9,11,1000', '"03/01/2020"'],
    ['bad_date', 'AAPL,,10,12,9,11,1000', '""'],
    ['bad_symbol', '../x,2020-01-03,10,12,9,11,1000', '"../x"'],
    ['bad_symbol', 'A/B,2020-01-03,10,12,9,11,1000', '"A/B"'],
    ['bad_symbol', ',2020-01-03,10,12,9,11,1000', '""'],
    ['bad_symbol', '..,2020-01-03,10,12,9,11,1000', '".."'],
    ['malformed', 'AAPL,2020-01-03,10,12,9', '5 fields'],
    ['malformed', 'AAPL,2020-01-03,10,12,9,11,1000,7', '8 fields'],
    ['malformed', '"AAPL,2020-01-03,10,12,9,11,1000', 'quote'],
  ])('%s: %s', async (kind, row, message) => {
    const { result, path, bronze } = await ingestText(`${HEADER}${row}\n${GOOD}`);
    expect(result).toMatchObject({ rows: 2, landed: 1, rejected: 1, problemCounts: { [kind]: 1 } });
    expect(result.problems).toEqual([{ kind, file: path, line: 2, message: expect.stringContaining(message) }]);
    expect(rowsOf(bronze.AAPL!)).toHaveLength(1);
  });

  test('duplicate: the same bar twice is taken once', async () => {
    const { result, bronze } = await ingestText(HEADER + GOOD + GOOD);
    expect(result).toMatchObject({ landed: 1, rejected: 1, problems: [{ kind: 'duplicate', line: 3 }] });
    expect(rowsOf(bronze.AAPL!)).toHaveLength(1);
  });

  test('conflicting: of different bars of one session none is taken, in any order', async () => {
    const other = GOOD.replace('1000', '2000');
    const next = GOOD.replace('01-02', '01-03');
    for (const rows of [GOOD + other + next, other + next + GOOD, GOOD + GOOD + next + other]) {
      const { result, bronze } = await ingestText(HEADER + rows);
      expect(result.problemCounts.conflicting).toBe(rows.length / GOOD.length - 1);
      expect(result.problems.at(-1)!.message).toContain('2020-01-02');
      expect(rowsOf(bronze.AAPL!).map(([date]) => date)).toEqual(['2020-01-03']);
    }
  });

  test('unsorted: rows are sorted, which is said and is no failure', async () => {
    const { result, bronze } = await ingestText(HEADER + GOOD.replace('01-02', '01-03') + GOOD);
    expect(result).toMatchObject({ landed: 2, rejected: 0, problemCounts: { unsorted: 1 }, problems: [{ line: 3 }] });
    expect(rowsOf(bronze.AAPL!).map(([date]) => date)).toEqual(['2020-01-02', '2020-01-03']);
  });

  test.each([
    ['no_rows', HEADER],
    ['no_rows', ''],
    ['wrong_header', 'symbol,date,open,high,low,volume\n'],
    ['wrong_header', `close,${HEADER}`],
    ['wrong_header', GOOD],
  ])('%s: %j; the other files land', async (kind, text) => {
    const folder = await temporaryFolder();
    await writeFile(`${folder}/wrong.csv`, text);
    await writeFile(`${folder}/good.csv`, HEADER + GOOD);
    const result = await ingestCsv(memoryStore(), [`${folder}/wrong.csv`, `${folder}/good.csv`]);
    expect(result).toMatchObject({
      landed: 1,
      rejected: 1,
      problems: [{ kind, file: `${folder}/wrong.csv`, line: 1 }],
    });
  });

  test('unreadable: what came before a .gz breaks off lands', async () => {
    const market = syntheticMarket({ symbols: 5, bars: 20_000, longest: 8000, lastDate: '2025-12-31' });
    const zipped = gzipSync([...toCsv(market)].join(''));
    const { result } = await ingestText(zipped.subarray(0, zipped.length >> 1), { name: 'bars.csv.gz' });
    expect(result.problemCounts.unreadable).toBe(1);
    expect(result.landed).toBeGreaterThan(1000);
    expect(result.landed).toBeLessThan(20_000);
  });

  test('unsorted is said once a symbol and file, so that it hides nothing', async () => {
    const rows = Array.from({ length: 1500 }, (_, i) => GOOD.replace('2020-01-02', formatSession(18_000 - i)));
    const { result } = await ingestText(HEADER + rows.join('') + rows[700]!.replace('1000', '1'));
    expect(result.problemCounts).toEqual({ unsorted: 1, conflicting: 2 });
    expect(result.problems.map(({ line }) => line)).toEqual([3, 702, 1502]);
  });

  test('wrong_header: a symbol for all rows where the rows have their own', async () => {
    const { result, store } = await ingestText(HEADER + GOOD, { symbol: 'MSFT' });
    expect(result).toMatchObject({ landed: 0, problems: [{ kind: 'wrong_header' }] });
    expect(await keysOf(store)).toEqual([]);
  });

  test('keeps counting after the first 1,000 problems of a kind', async () => {
    const { result } = await ingestText(HEADER + 'A,2020-01-03,x,12,9,11,1\n'.repeat(2500) + GOOD);
    expect(result).toMatchObject({ landed: 1, rejected: 2500, problemCounts: { not_a_number: 2500 } });
    expect(result.problems).toHaveLength(1000);
  });
});

describe('ingestCsv', () => {
  const histories = fc.dictionary(fc.stringMatching(/^[A-Z]{1,3}$/), arbitraryBars({ minLength: 1, maxLength: 8 }), {
    minKeys: 1,
    maxKeys: 6,
  }) as fc.Arbitrary<Record<string, Bars>>;
  const csvOf = (given: Record<string, Bars>) =>
    [...toCsv(Object.entries(given).map(([symbol, bars]) => ({ symbol, bars })))].join('');
  const options = fc.record({ consolidated: fc.boolean(), maxBytes: fc.constantFrom(1, 2000, 2 ** 27) });

  test('daily or consolidated, in memory or spilled, sorted or shuffled: the lake has the bars of the file', async () => {
    const shuffled = histories.chain((given) => {
      const [header, ...rows] = csvOf(given).trimEnd().split('\n');
      return fc
        .shuffledSubarray(rows, { minLength: rows.length })
        .map((lines) => ({ given, text: [header, ...lines].join('\n') }));
    });
    await fc.assert(
      fc.asyncProperty(shuffled, options, async ({ given, text }, how) => {
        const { result, store } = await ingestText(text, how);
        expect(result.rejected).toBe(0);
        await consolidate(store);
        const bronze = await readBronze(store);
        expect(Object.keys(bronze).sort()).toEqual(Object.keys(given).sort());
        for (const [symbol, bars] of Object.entries(given)) expect(rowsOf(bronze[symbol]!)).toEqual(rowsOf(bars));
      }),
      { numRuns: 60 },
    );
  });

  test('again: nothing is written a second time; a correction replaces its session only', async () => {
    for (const consolidated of [true, false]) {
      const store = memoryStore();
      const text = `${HEADER}${GOOD}${GOOD.replace('01-02', '01-03')}`;
      await ingestText(text, { store, consolidated });
      const before = await Array.fromAsync(store.list('bronze/'));
      const again = await ingestText(text, { store, consolidated });
      expect(again.result).toMatchObject({ landed: 2, objectsCreated: 0, objectsReplaced: 0 });
      expect(await Array.fromAsync(store.list('bronze/'))).toEqual(before);
      const { result } = await ingestText(HEADER + GOOD.replace('1000', '3000'), { store, consolidated });
      expect(result).toMatchObject({ objectsCreated: 0, objectsReplaced: 1 });
      await consolidate(store);
      expect(rowsOf((await readBronze(store)).AAPL!).map((row) => row[5])).toEqual([3000, 1000]);
    }
  });

  test('a symbol that cannot be written is reported, the others land', async () => {
    const store = memoryStore();
    const failing: ObjectStore = {
      ...store,
      put: (key, body, call) =>
        key.includes('=BAD/') ? Promise.reject(new Error('disk on fire')) : store.put(key, body, call),
    };
    const { result } = await ingestText(
      `${HEADER}${GOOD}${GOOD.replace('AAPL', 'BAD')}${GOOD.replace('AAPL', 'MSFT')}`,
      { store: failing },
    );
    expect(result).toMatchObject({ landed: 2, symbols: 2, failed: [{ symbol: 'BAD', message: 'disk on fire' }] });
    expect(await keysOf(store, 'bronze/')).toHaveLength(2);
  });

  test('a file that does not exist is BadInput, and nothing is written', async () => {
    const store = memoryStore();
    const folder = await temporaryFolder();
    await writeFile(`${folder}/good.csv`, HEADER + GOOD);
    const missing = ingestCsv(store, [`${folder}/good.csv`, `${folder}/none.csv`]);
    await expect(missing).rejects.toMatchObject({ code: 'BadInput', message: expect.stringContaining('none.csv') });
    expect(await keysOf(store)).toEqual([]);
  });

  test('stops at an abort with the reason of the signal', async () => {
    const controller = new AbortController();
    const stop = ingestText(`${HEADER}${GOOD}`, {
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('stopped')),
    });
    await expect(stop).rejects.toThrow('stopped');
  });
});
