import { mkdir, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { describe, expect, test } from 'vitest';
import { type Bars, sliceBars } from '../../src/bars.ts';
import { BRONZE_SCHEMA, columnsToBars, encodeBars, readBarsFile } from '../../src/lake/bronze.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { decodeTable } from '../../src/lake/parquet-decode.ts';
import { formatSession } from '../../src/session.ts';
import { arbitraryBars } from '../support/arbitrary-bars.ts';
import { queryDuckDB } from '../support/duckdb.ts';
import { forge } from '../support/forge-parquet.ts';
import { temporaryFolder } from '../support/temporary.ts';

const [sample] = fc.sample(arbitraryBars({ minLength: 60 }), { numRuns: 1, seed: 7 });

function rowsOf(symbol: string, bars: Bars) {
  return Array.from(bars.session, (session, i) => ({
    symbol,
    date: new Date(`${formatSession(session)}T00:00:00Z`),
    open: bars.open[i],
    high: bars.high[i],
    low: bars.low[i],
    close: bars.close[i],
    volume: bars.volume[i],
    vwap: bars.vwap === undefined || Number.isNaN(bars.vwap[i]) ? null : bars.vwap[i],
    trades: bars.trades === undefined || bars.trades[i] === -1 ? null : bars.trades[i],
  }));
}

describe('bronze files', () => {
  test.each(['snappy', 'zstd', 'uncompressed'] as const)('give back the bars they were made of (%s)', (codec) => {
    fc.assert(
      fc.property(arbitraryBars(), (bars) => {
        const { bytes, digest } = encodeBars('BRK.B', bars, { codec, metadata: { epoch: '3' } });
        const decoded = decodeTable(BRONZE_SCHEMA, bytes, 'test');
        expect(columnsToBars(decoded.columns)).toEqual(bars);
        expect(decoded.digest).toBe(digest);
        expect(decoded.metadata).toMatchObject({ epoch: '3', rows: String(bars.session.length) });
      }),
      { numRuns: 60 },
    );
  });

  test('the same bars give the same bytes', () => {
    expect(encodeBars('AAPL', sample!).bytes).toEqual(encodeBars('AAPL', sample!).bytes);
  });

  test('the digest tells any change of any value apart', () => {
    const { digest } = encodeBars('AAPL', sample!);
    expect(encodeBars('AAPM', sample!).digest).not.toBe(digest);
    for (const name of Object.keys(sample!) as (keyof Bars)[]) {
      const values = sample![name]!.slice();
      values[17]!++;
      expect(encodeBars('AAPL', { ...sample!, [name]: values }).digest).not.toBe(digest);
    }
  });

  test('are read by DuckDB, hive partition and all', async () => {
    const folder = await temporaryFolder();
    await mkdir(`${folder}/symbol=AAPL`);
    await writeFile(`${folder}/symbol=AAPL/data.parquet`, encodeBars('AAPL', sample!).bytes);
    await mkdir(`${folder}/symbol=BRK.B`);
    await writeFile(
      `${folder}/symbol=BRK.B/date=2024-01-02.parquet`,
      encodeBars('BRK.B', sliceBars(sample!, 0, 1)).bytes,
    );
    const from = (glob: string) => `read_parquet('${folder}/*/${glob}', hive_partitioning = true)`;
    expect(await queryDuckDB(`SELECT * FROM ${from('data.parquet')}`)).toEqual(rowsOf('AAPL', sample!));
    expect(
      await queryDuckDB(`SELECT symbol, count(*)::INTEGER AS n FROM ${from('*.parquet')} GROUP BY symbol ORDER BY n`),
    ).toEqual([
      { symbol: 'BRK.B', n: 1 },
      { symbol: 'AAPL', n: 60 },
    ]);
    const types = await queryDuckDB(`DESCRIBE SELECT * FROM '${folder}/symbol=AAPL/*.parquet'`);
    expect(types.map(({ column_type }) => column_type)).toEqual([
      'VARCHAR',
      'DATE',
      ...new Array(6).fill('DOUBLE'),
      'INTEGER',
    ]);
  });

  test.each(['snappy', 'zstd', 'uncompressed'] as const)('are read by hyparquet (%s)', async (codec) => {
    const { bytes } = encodeBars('AAPL', sample!, { codec });
    const file = new Uint8Array(bytes).buffer;
    expect(await parquetReadObjects({ file, compressors })).toEqual(rowsOf('AAPL', sample!));
  });

  test('are refused, with their key, where a byte is cut off, flipped or of another symbol', async () => {
    const store = memoryStore();
    const { bytes } = encodeBars('AAPL', sample!);
    const check = async (body: Uint8Array) => {
      await store.put('file.parquet', body);
      await expect(readBarsFile(store, 'file.parquet', 'AAPL')).rejects.toMatchObject({
        code: 'CorruptObject',
        message: expect.stringContaining('file.parquet'),
      });
    };
    for (const length of [0, 3, 11, bytes.length >> 1, bytes.length - 1]) await check(bytes.subarray(0, length));
    await check(encodeBars('AAPM', sample!).bytes);
    await check(new TextEncoder().encode('symbol,date\nAAPL,2020-01-02\n'));
    const descending = { ...sample!, session: sample!.session.slice().reverse() };
    await check(encodeBars('AAPL', descending).bytes);
  });

  test('a flipped bit anywhere is CorruptObject that names the file', () => {
    const { bytes } = encodeBars('AAPL', sliceBars(sample!, 0, 3), { metadata: { epoch: '3' } });
    expect(columnsToBars(decodeTable(BRONZE_SCHEMA, bytes, 'file').columns)).toEqual(sliceBars(sample!, 0, 3));
    const corrupt = expect.objectContaining({ code: 'CorruptObject', message: expect.stringContaining('flipped') });
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => decodeTable(BRONZE_SCHEMA, flipped, 'flipped')).toThrow(corrupt);
    }
  });

  test('of a file without a digest of its bytes, a flipped bit gives the same bars or CorruptObject', () => {
    const bytes = forge(encodeBars('AAPL', sample!).bytes, {});
    let refused = 0;
    for (let at = 0; at < bytes.length; at++) {
      const flipped = bytes.slice();
      flipped[at]! ^= 1 << (at % 8);
      try {
        const { columns } = decodeTable(BRONZE_SCHEMA, flipped, 'flipped');
        expect(columnsToBars(columns)).toEqual(sample);
      } catch (error) {
        expect(error).toMatchObject({ code: 'CorruptObject' });
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(bytes.length / 2);
  });
});
