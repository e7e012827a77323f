import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ingestDms } from '../../../src/ingest/dms/ingest-dms.ts';
import { memoryStore } from '../../../src/lake/memory-store.ts';
import { sessionFrom } from '../../../src/session.ts';
import { queryDuckDB } from '../../support/duckdb.ts';
import { copyStore } from '../../support/lake-bars.ts';
import { keysOf, readBronze, rowsOf } from '../../support/lake-reader.ts';
import {
  contentOf,
  countGroups,
  type ExportRow,
  LOAD1,
  lakeOf,
  openExportLake,
  PREFIX,
  rowsOfSymbol,
  selectHistory,
  selectRows,
  writeLoad,
} from './dms-export.ts';

const LOAD2 = `${PREFIX}/LOAD00000002.parquet`;

describe('ingestDms names what is wrong with file and row, and the good rows land', () => {
  test.each<[string, ExportRow, string]>([
    ['bad_symbol', { symbol: '../x' }, '"../x" is not a symbol'],
    ['bad_symbol', { symbol: 'Ärger' }, '"Ärger" is not a symbol'],
    ['bad_symbol', { symbol: null }, '"" is not a symbol'],
    ['bad_date', { time: null }, '"" is not the time of a bar'],
    ['bad_date', { time: '0900-01-01' }, '-33765897600 s since 1970'],
    ['missing_value', { close: null }, 'close is empty'],
    ['missing_value', { volume: null }, 'volume is empty'],
    ['not_a_number', { open: Number.NaN }, 'open is "NaN": expected a number'],
    ['not_a_number', { volume: Number.POSITIVE_INFINITY }, 'volume is "Infinity"'],
    ['not_a_number', { low: Number.NEGATIVE_INFINITY }, 'low is "-Infinity"'],
    ['negative', { low: -9 }, 'low is -9: expected 0 or more'],
    ['negative', { volume: -0.5 }, 'volume is -0.5'],
    ['inconsistent', { high: 8 }, 'high 8'],
    ['inconsistent', { low: 11.5 }, 'low 11.5'],
  ])('%s: %j', async (kind, row, message) => {
    // Behind the first row group: rows are counted in the file.
    const select = `SELECT * FROM (${selectHistory('AAPL', 5000)}) UNION ALL FROM (${selectRows([row])})`;
    const lake = await lakeOf(select, 'ROW_GROUP_SIZE 2048');
    expect(await countGroups(lake)).toBeGreaterThan(1);
    const result = await ingestDms(lake.store);
    expect(result).toMatchObject({ rows: 5001, landed: 5000, rejected: 1, problemCounts: { [kind]: 1 } });
    expect(result.problems).toEqual([{ kind, file: LOAD1, row: 5000, message: expect.stringContaining(message) }]);
  });

  test('what is wrong with text is told as it is written', async () => {
    const lake = await lakeOf(
      `SELECT 'A' AS symbol, time AS timestamp_1, open, '3' AS high, '1' AS low, ' 2 ' AS close, '' AS vwap, trades, '1e3' AS volume
        FROM (VALUES ('2020-01-02', '2', '5'), ('soon', '2', '5'), ('2020-01-03', 'two', ''), ('2020-01-04', '0x2', ''),
          ('2020-01-05', '', ''), ('2020-01-06', '2', '1.5'), ('2020-01-07', '2', '3000000000'),
          ('2020-01-08', '${'1'.repeat(2000)}', '')) AS rows(time, open, trades)`,
    );
    const result = await ingestDms(lake.store);
    expect(result.problems.map(({ row, kind, message }) => `${row} ${kind} ${message}`)).toEqual([
      '1 bad_date "soon" is not the time of a bar',
      '2 not_a_number open is "two": expected a number',
      '3 not_a_number open is "0x2": expected a number',
      '4 missing_value open is empty',
      '5 not_a_number trades is "1.5": expected a whole number',
      '6 not_a_number trades is "3000000000": expected a whole number',
      `7 not_a_number open is "${'1'.repeat(40)}": expected a number`,
    ]);
    const { A } = await readBronze(lake.store);
    expect(rowsOf(A!)).toEqual([['2020-01-02', 2, 3, 1, 2, 1000, Number.NaN, 5]]);
  });

  test('duplicate: the same bar again, in this file or another, is taken once and no failure', async () => {
    const lake = await lakeOf(selectRows([{}, { time: '2020-01-03' }, {}]));
    await writeLoad(lake, selectRows([{}]), { key: LOAD2 });
    const result = await ingestDms(lake.store);
    expect(result).toMatchObject({ rows: 4, landed: 2, duplicates: 2, rejected: 0, exportVolume: 2000 });
    const message = `the same bar as ${LOAD1}:0`;
    expect(result.problems).toEqual([
      { kind: 'duplicate', file: LOAD1, row: 2, message },
      { kind: 'duplicate', file: LOAD2, row: 0, message },
    ]);
  });

  test('conflicting: of different bars of one session none lands, in any order', async () => {
    const other = { volume: 2000 };
    const next = { time: '2020-01-03' };
    // Midnight of New York, and of UTC: one session.
    for (const rows of [
      [{}, other, next],
      [next, other, {}],
      [{ time: '2020-01-02 05:00:00' }, next, other, {}],
    ]) {
      const lake = await lakeOf(selectRows(rows));
      const result = await ingestDms(lake.store);
      expect(result).toMatchObject({ landed: 1, rejected: rows.length - 1, duplicates: 0 });
      expect(result.problemCounts).toEqual({ conflicting: rows.length - 1 });
      expect(result.problems[0]!.message).toContain('2020-01-02');
      expect(rowsOf((await readBronze(lake.store)).AAPL!).map(([date]) => date)).toEqual(['2020-01-03']);
    }
  });

  test('keeps counting after the first 1,000 problems of a kind', async () => {
    const lake = await lakeOf(`SELECT rows.* FROM (${selectRows([{ low: -1 }])}) AS rows, range(2500)`);
    const result = await ingestDms(lake.store);
    expect(result).toMatchObject({ landed: 0, rejected: 2500, problemCounts: { negative: 2500 }, firstDate: null });
    expect(result.problems).toHaveLength(1000);
  });
});

describe('ingestDms', () => {
  test.each(['interval_type', '"interval"'])('takes daily bars alone where %s tells', async (name) => {
    const values = ["'1d'", "'1 day'", "' Day '", "'1h'", "'5m'", 'NULL', "'1 day 02:00:00'"];
    const lake = await lakeOf(
      `SELECT rows.*, intervals[1 + row_number() OVER () - 1] AS ${name}
        FROM (${selectRows(rowsOfSymbol('AAPL', values.length))}) AS rows, (SELECT [${values}] AS intervals)`,
    );
    expect(await ingestDms(lake.store)).toMatchObject({ rows: 7, landed: 3, skipped: 4, rejected: 0, problems: [] });
    expect(rowsOf((await readBronze(lake.store)).AAPL!)).toHaveLength(3);
  });

  test('says nothing of what is wrong with rows of other intervals, and counts no symbols of theirs', async () => {
    const rows: ExportRow[] = [
      { symbol: 'no symbol' },
      { low: -1 },
      { symbol: 'ONLY.HOURS' },
      { symbol: '../x' },
      { volume: 5 },
    ];
    const lake = await lakeOf(
      `SELECT *, CASE WHEN symbol = '../x' OR volume = 5 THEN '1d' ELSE '1h' END AS interval_type FROM (${selectRows(rows)})`,
    );
    const told: (number | undefined)[] = [];
    const result = await ingestDms(lake.store, {
      onProgress: ({ step, total }) => step === 'write' && told.push(total),
    });
    expect(result).toMatchObject({ rows: 5, landed: 1, skipped: 3, rejected: 1, problemCounts: { bad_symbol: 1 } });
    expect(result.problems[0]).toMatchObject({ row: 3, message: '"../x" is not a symbol' });
    expect(told).toEqual([1]);
  });

  test('tells symbols apart that differ in case, and odd but real ones', async () => {
    const symbols = ['AAPW', 'AAPw', 'TRUE', 'NULL', 'CON', 'BRK.B', 'BAC.WS.A', '0'];
    const lake = await lakeOf(selectRows(symbols.map((symbol, i) => ({ symbol, volume: i }))));
    expect(await ingestDms(lake.store)).toMatchObject({ landed: symbols.length, symbols: symbols.length });
    const bronze = await readBronze(lake.store);
    expect(symbols.map((symbol) => bronze[symbol]?.volume[0])).toEqual(symbols.map((_, i) => i));
  });

  test('5,000 fractional volumes, unsorted: counts and sums are those that DuckDB makes of the export', async () => {
    const lake = await openExportLake();
    for (const part of [0, 1]) {
      const select = `SELECT now() AS "timestamp", 'S' || (i % 13) AS symbol, timezone('America/New_York', DATE '2007-01-01' + (i // 13)::INTEGER) AS timestamp_1,
        10.0 AS open, 10.5 AS high, 9.0 AS low, 9.5 AS close, (hash(i) % 1000000007) / 1000 AS volume FROM range(5000) AS rows(i) WHERE hash(i) % 2 = ${part} ORDER BY hash(i + 7)`;
      await writeLoad(lake, select, {
        key: `${PREFIX}/LOAD0000000${part + 1}.parquet`,
        options: 'ROW_GROUP_SIZE 2048',
      });
    }
    const result = await ingestDms(lake.store, { maxBytes: 1 });
    // As decimals the volumes are what they were made of, and their sums exact.
    const sums = (files: string) =>
      queryDuckDB(
        `SELECT symbol, count(*) AS n, sum(volume::DECIMAL(20, 3))::VARCHAR AS volume FROM read_parquet('${files}') GROUP BY symbol ORDER BY symbol`,
      );
    expect(await sums(`${lake.folder}/bronze/raw_ohlcv/*/data.parquet`)).toEqual(await sums(lake.files));
    const proofs = await queryDuckDB(
      `SELECT symbol, rows::BIGINT AS n, volume = bronze_volume AND kept = 0 AS same FROM '${lake.folder}/processing_metadata/dms_import.parquet'`,
    );
    const counts = await queryDuckDB(
      `SELECT symbol, count(*) AS n, true AS same FROM '${lake.files}' GROUP BY symbol ORDER BY symbol`,
    );
    expect(proofs).toEqual(counts);
    const [total] = await queryDuckDB(`SELECT sum(volume::DECIMAL(20, 3))::DOUBLE AS volume FROM '${lake.files}'`);
    expect(result).toMatchObject({
      files: 2,
      rows: 5000,
      landed: 5000,
      symbols: 13,
      kept: 0,
      firstDate: '2007-01-01',
      lastDate: '2008-01-20',
    });
    expect(result.exportVolume).toBe(result.bronzeVolume);
    expect(result.exportVolume).toBeCloseTo(total!.volume as number, 3);
  });

  test('any rows, in any order and files, in memory or spilled: each lands, or is a duplicate, rejected or skipped', async () => {
    const row = fc.record({
      symbol: fc.constantFrom('A', 'a', 'B.C', 'no symbol'),
      time: fc.integer({ min: 1, max: 28 }).map((day) => `2024-02-${String(day).padStart(2, '0')}`),
      volume: fc.constantFrom(1, 2.5, 2.5, -1, Number.NaN),
      high: fc.constantFrom(12, 12, 12, 8),
    });
    const files = fc.array(fc.array(row, { maxLength: 40 }), { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(files, fc.constantFrom(1, 2000, 2 ** 27), async (given, maxBytes) => {
        const lake = await openExportLake();
        for (const [i, rows] of given.entries()) {
          const select = rows.length > 0 ? selectRows(rows) : `${selectRows([{}])} LIMIT 0`;
          await writeLoad(lake, select, { key: `${PREFIX}/LOAD${i}.parquet` });
        }
        const { rows, landed, duplicates, rejected, skipped, failed, exportVolume, bronzeVolume } = await ingestDms(
          lake.store,
          { maxBytes },
        );
        const good = given
          .flat()
          .filter(({ symbol, volume, high }) => symbol !== 'no symbol' && volume > 0 && high === 12);
        const bySession = Object.groupBy(good, ({ symbol, time }) => `${symbol} ${time}`);
        const [same, different] = [true, false].map((isSame) =>
          Object.entries(bySession).filter(
            ([, found]) => (new Set(found!.map(({ volume }) => volume)).size === 1) === isSame,
          ),
        );
        const bronze = Object.entries(await readBronze(lake.store)).flatMap(([symbol, bars]) =>
          rowsOf(bars).map(([date, , , , , volume]) => [`${symbol} ${date}`, volume]),
        );
        expect(new Map(bronze as [string, number][])).toEqual(
          new Map(same!.map(([name, found]) => [name, found![0]!.volume])),
        );
        expect({ rows, landed, failed, skipped, exportVolume }).toEqual({
          rows: given.flat().length,
          landed: same!.length,
          failed: [],
          skipped: 0,
          exportVolume: bronzeVolume,
        });
        const conflicting = different!.reduce((sum, [, found]) => sum + found!.length, 0);
        expect(rejected).toBe(given.flat().length - good.length + conflicting);
        expect(landed + duplicates + rejected).toBe(rows);
      }),
      { numRuns: 25, seed: 21 },
    );
  });

  test('again: nothing is written a second time, and what it says is the same', async () => {
    const lake = await lakeOf(
      selectRows([...rowsOfSymbol('A', 30), ...rowsOfSymbol('B', 40), { symbol: 'A', low: -1 }]),
    );
    const first = await ingestDms(lake.store);
    expect(first).toMatchObject({ objectsCreated: 2, objectsReplaced: 0, objectsUnchanged: 0 });
    const [before, content] = [await Array.fromAsync(lake.store.list('bronze/')), await contentOf(lake.store)];
    const proofs = await lake.store.head('processing_metadata/dms_import.parquet');
    const again = await ingestDms(lake.store);
    const { metrics, ...said } = again;
    expect(said).toEqual({ ...first, objectsCreated: 0, objectsUnchanged: 2, metrics: undefined });
    expect(await Array.fromAsync(lake.store.list('bronze/'))).toEqual(before);
    expect(await lake.store.head('processing_metadata/dms_import.parquet')).toEqual(proofs);
    expect(await contentOf(lake.store)).toEqual(content);
  });

  test('the same export gives the same lake, in whatever files and order it is', async () => {
    const rows = [...rowsOfSymbol('A', 300), ...rowsOfSymbol('B', 200)];
    const [whole, parts] = [await lakeOf(selectRows(rows)), await openExportLake()];
    await writeLoad(parts, selectRows(rows.filter((_, i) => i % 3 > 0).toReversed()));
    await writeLoad(parts, selectRows(rows.filter((_, i) => i % 3 === 0)), { key: LOAD2 });
    await ingestDms(whole.store);
    await ingestDms(parts.store, { maxBytes: 1 });
    expect(await contentOf(parts.store)).toEqual(await contentOf(whole.store));
  });

  test('tells how far it is: rows read, then symbols written', async () => {
    const lake = await lakeOf(selectHistory('A', 400));
    await writeLoad(lake, selectHistory('B', 200), { key: LOAD2 });
    const told: string[] = [];
    await ingestDms(lake.store, { onProgress: ({ step, done, total }) => told.push(`${step} ${done}/${total}`) });
    expect(told).toEqual(['read 400/600', 'read 600/600', 'write 1/2', 'write 2/2']);
  });

  test('reads the files under another prefix, and no others than LOAD*.parquet', async () => {
    const { store } = await lakeOf(selectRows([{}]));
    const elsewhere = memoryStore();
    const { body } = await store.get(LOAD1);
    await elsewhere.put('old/LOAD1.parquet', body);
    for (const key of ['old/20240101.parquet', 'old/LOAD1.csv', 'old/more/LOAD2.parquet', 'older/LOAD3.parquet']) {
      await elsewhere.put(key, new Uint8Array(10));
    }
    for (const prefix of ['old', 'old/'])
      expect(await ingestDms(elsewhere, { prefix })).toMatchObject({ files: 1, landed: 1 });
  });

  test('stops at an abort with the reason of the signal', async () => {
    const lake = await lakeOf(selectRows(rowsOfSymbol('A', 10)));
    for (const step of ['read', 'write']) {
      const store = await copyStore(lake.store, memoryStore());
      const controller = new AbortController();
      const stop = ingestDms(store, {
        signal: controller.signal,
        onProgress: (progress) => progress.step === step && controller.abort(new Error('stopped')),
      });
      await expect(stop).rejects.toThrow('stopped');
      expect(await keysOf(store, 'processing_metadata/')).toEqual([]);
    }
    const aborted = ingestDms(lake.store, { signal: AbortSignal.abort(new Error('too late')) });
    await expect(aborted).rejects.toThrow('too late');
  });

  test('a symbol that cannot be written is reported, the others land', async () => {
    const lake = await lakeOf(selectRows([{ symbol: 'BAD' }, { symbol: 'GOOD' }]));
    const failing: typeof lake.store = {
      ...lake.store,
      put: (key, body, call) =>
        key.includes('=BAD/') ? Promise.reject(new Error('disk on fire')) : lake.store.put(key, body, call),
    };
    const result = await ingestDms(failing);
    expect(result).toMatchObject({ landed: 1, symbols: 1, failed: [{ symbol: 'BAD', message: 'disk on fire' }] });
    expect(Object.keys(await readBronze(lake.store))).toEqual(['GOOD']);
  });
});

test('sessions of an export are those of its dates at daylight saving', async () => {
  const days = ['2024-03-08', '2024-03-11', '2024-11-01', '2024-11-04'];
  const lake = await lakeOf(
    `SELECT TIMESTAMPTZ '2024-12-01 00:00:00+00' AS "timestamp", 'A' AS symbol, timezone('America/New_York', day::TIMESTAMP) AS timestamp_1,
      1 AS open, 1 AS high, 1 AS low, 1 AS close, 1 AS volume FROM (SELECT unnest([${days.map((day) => `DATE '${day}'`)}]) AS day)`,
  );
  await ingestDms(lake.store);
  expect([...(await readBronze(lake.store)).A!.session]).toEqual(days.map(sessionFrom));
});
