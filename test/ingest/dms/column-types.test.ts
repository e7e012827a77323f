import { describe, expect, test } from 'vitest';
import { ingestDms } from '../../../src/ingest/dms/ingest-dms.ts';
import { queryDuckDB } from '../../support/duckdb.ts';
import { readBronze, rowsOf } from '../../support/lake-reader.ts';
import { countGroups, type ExportLake, LOAD1, lakeOf } from './dms-export.ts';
import { retypeColumn } from './retype-column.ts';

// 6,000 rows of 3 symbols, unsorted, in several row groups. Prices and volumes are whole numbers of 1/8: the same in all types.
const ROWS = `SELECT ['AAPL', 'AAPW', 'AAPw'][1 + i % 3] AS symbol, DATE '2020-01-01' + (i // 3)::INTEGER AS day,
    10 + i % 7 / 8 AS low, 11 + i % 5 / 8 AS open, 12 - i % 3 / 8 AS close, 13 + i % 11 / 8 AS high, 1000 + i AS volume, i
  FROM range(6000) AS rows(i)`;
const NEW_YORK = "timezone('America/New_York', day::TIMESTAMP)";
const TYPES = {
  time: 'day::TIMESTAMP',
  symbol: 'symbol',
  price: 'DOUBLE',
  volume: 'BIGINT',
  bookkeeping: "TIMESTAMP '2024-06-01 12:34:56.789'",
  more: '',
};

function selectAs(types: Partial<typeof TYPES>): string {
  const { time, symbol, price, volume, bookkeeping, more } = { ...TYPES, ...types };
  const prices = ['open', 'high', 'low', 'close'].map((name) => `${name}::${price} AS ${name}`).join(', ');
  return `SELECT ${bookkeeping} AS "timestamp", ${symbol} AS symbol, ${prices}, ${volume.startsWith('(') ? volume : `volume::${volume}`} AS volume,
    ${time} AS timestamp_1${more} FROM (${ROWS}) ORDER BY hash(i)`;
}

/** What bronze is to have, as DuckDB makes it of the rows before they were exported. */
async function expected(): Promise<Record<string, unknown[][]>> {
  const rows = await queryDuckDB(
    `SELECT symbol, strftime(day, '%Y-%m-%d') AS date, open::DOUBLE AS open, high::DOUBLE AS high, low::DOUBLE AS low,
      close::DOUBLE AS close, volume::DOUBLE AS volume FROM (${ROWS}) ORDER BY day`,
  );
  const bySymbol = Object.groupBy(rows, ({ symbol }) => String(symbol));
  return Object.fromEntries(
    Object.entries(bySymbol).map(([symbol, found]) => [
      symbol,
      found!.map(({ date, open, high, low, close, volume }) => [date, open, high, low, close, volume]),
    ]),
  );
}

async function bronzeOf(lake: ExportLake): Promise<Record<string, unknown[][]>> {
  const bronze = await readBronze(lake.store);
  return Object.fromEntries(
    Object.entries(bronze).map(([symbol, bars]) => [symbol, rowsOf(bars).map((row) => row.slice(0, 6))]),
  );
}

describe('ingestDms takes', () => {
  test.each<[string, Partial<typeof TYPES>, string?]>([
    ['what DMS writes', {}],
    ['uncompressed pages', {}, 'COMPRESSION uncompressed'],
    ['Zstandard', {}, 'COMPRESSION zstd'],
    ['gzip, and pages of the second version', {}, 'COMPRESSION gzip, PARQUET_VERSION v2'],
    [
      'times in milliseconds; prices as FLOAT; volumes as INTEGER',
      { time: 'day::TIMESTAMP_MS', price: 'FLOAT', volume: 'INTEGER' },
    ],
    [
      'times in nanoseconds; prices as DECIMAL in 32 bits; volumes as SMALLINT',
      { time: 'day::TIMESTAMP_NS', price: 'DECIMAL(9, 3)', volume: 'SMALLINT' },
    ],
    [
      'times with the UTC flag; prices as DECIMAL in 64 bits; volumes as unsigned INTEGER',
      { time: "timezone('UTC', day::TIMESTAMP)", price: 'DECIMAL(18, 6)', volume: 'UINTEGER' },
    ],
    [
      "times of New York's midnight; prices as DECIMAL in 128 bits; volumes as unsigned BIGINT",
      { time: NEW_YORK, price: 'DECIMAL(38, 10)', volume: 'UBIGINT' },
    ],
    [
      "times of New York's midnight without the flag; prices as text; volumes as DOUBLE",
      { time: `timezone('UTC', ${NEW_YORK})`, price: 'VARCHAR', volume: 'DOUBLE' },
    ],
    ['dates; volumes as DECIMAL', { time: 'day', volume: 'DECIMAL(38, 8)' }],
    ['dates as text; volumes as text', { time: "strftime(day, '%Y-%m-%d')", volume: 'VARCHAR' }],
    ['times as text; symbols as bytes', { time: "strftime(day, '%Y-%m-%d 00:00:00')", symbol: 'symbol::BLOB' }],
    [
      'times as text with an offset; symbols with spaces after them',
      { time: `strftime(timezone('UTC', ${NEW_YORK}), '%Y-%m-%d %H:%M:%S+00')`, symbol: "rpad(symbol, 10, ' ')" },
    ],
    [
      'symbols as a dictionary; a bookkeeping column of text',
      { symbol: "symbol::ENUM('AAPL', 'AAPW', 'AAPw')", bookkeeping: "'2024-06-01 12:34:56.789'" },
    ],
    ["a bookkeeping column that is a bar's time of another day", { bookkeeping: 'day::TIMESTAMP + INTERVAL 1 YEAR' }],
    ['other columns', { more: ", 'I' AS Op, [1, 2]::VARCHAR AS list, true AS flag, TIME '09:30' AS at, uuid() AS id" }],
  ])('%s', async (_what, types, options = 'COMPRESSION snappy') => {
    const lake = await lakeOf(selectAs(types), `${options}, ROW_GROUP_SIZE 2048`);
    expect(await countGroups(lake)).toBeGreaterThan(1);
    const result = await ingestDms(lake.store);
    expect(result).toMatchObject({
      rows: 6000,
      landed: 6000,
      symbols: 3,
      problems: [],
      failed: [],
      rejected: 0,
      skipped: 0,
    });
    expect(await bronzeOf(lake)).toEqual(await expected());
  });

  test('INT96, as old writers have times', async () => {
    // The 12 bytes of an interval are months, days, milliseconds; those of INT96 two words of nanoseconds and the Julian day.
    const nanos = 6 * 3600 * 1e9;
    const [low, high] = [nanos % 2 ** 32, Math.floor(nanos / 2 ** 32)];
    const julian = "(datediff('day', DATE '1970-01-01', day) + 2440588)";
    const time = `to_months(${low}) + to_days(${high}) + to_milliseconds(${julian})`;
    const lake = await lakeOf(selectAs({ time }), 'ROW_GROUP_SIZE 2048');
    await retypeColumn(`${lake.folder}/${LOAD1}`, 'timestamp_1', { 1: 3 });
    const [row] = await queryDuckDB(`SELECT DISTINCT strftime(timestamp_1, '%H:%M:%S') AS at FROM '${lake.files}'`);
    expect(row).toEqual({ at: '06:00:00' });
    expect(await ingestDms(lake.store)).toMatchObject({ landed: 6000, problems: [] });
    expect(await bronzeOf(lake)).toEqual(await expected());
  });

  test('DECIMAL in bytes of any number', async () => {
    // Big-endian, as few bytes as there need be: 1000 to 6999 are two bytes.
    const volume = "(unhex(printf('%04x', volume::INTEGER)))";
    const lake = await lakeOf(selectAs({ volume }), 'ROW_GROUP_SIZE 2048');
    await retypeColumn(`${lake.folder}/${LOAD1}`, 'volume', { 1: 6, 6: 5, 7: 2, 8: 6 });
    expect(await ingestDms(lake.store)).toMatchObject({ landed: 6000, problems: [] });
    const found = await bronzeOf(lake);
    const hundredths = Object.entries(await expected()).map(([symbol, rows]) => [
      symbol,
      rows.map((row) => [...row.slice(0, 5), (row[5] as number) / 100]),
    ]);
    expect(found).toEqual(Object.fromEntries(hundredths));
  });

  test('vwap and trades where they are there, null or NaN for none', async () => {
    const more = `, CASE i % 3 WHEN 0 THEN NULL WHEN 1 THEN 'NaN'::DOUBLE ELSE 11.25 END AS vwap, CASE i % 2 WHEN 0 THEN NULL ELSE i END AS trades`;
    const lake = await lakeOf(selectAs({ more }), 'ROW_GROUP_SIZE 2048');
    expect(await ingestDms(lake.store)).toMatchObject({ landed: 6000, problems: [] });
    const { AAPL, AAPW, AAPw } = await readBronze(lake.store);
    expect([AAPL!.vwap, AAPW!.vwap]).toEqual([undefined, undefined]);
    expect(new Set(AAPw!.vwap)).toEqual(new Set([11.25]));
    expect([...AAPL!.trades!.subarray(0, 4)]).toEqual([-1, 3, -1, 9]);
  });

  test('decimals as the doubles next to them, whatever their size', async () => {
    const texts = [
      '0.1',
      '123456789012345678901234567.8901234567',
      '9007199254740993.0000000000',
      '0.0000000001',
      '99999.9999999999',
    ];
    const rows = texts.map((text, i) => `(DATE '2020-01-01' + ${i}, ${text}::DECIMAL(38, 10))`);
    const lake = await lakeOf(
      `SELECT 'A' AS symbol, day AS timestamp_1, 1 AS open, 1 AS high, 1 AS low, 1 AS close, volume FROM (VALUES ${rows.join()}) AS rows(day, volume)`,
    );
    expect(await ingestDms(lake.store)).toMatchObject({ landed: texts.length });
    const { A } = await readBronze(lake.store);
    expect([...A!.volume]).toEqual(texts.map(Number));
  });
});
