import { writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { allocateBars, type Bars } from '../../src/bars.ts';
import { BRONZE_SCHEMA, barsToColumns } from '../../src/lake/bronze.ts';
import { concatBytes, sliceColumns } from '../../src/lake/columns.ts';
import { digestColumns } from '../../src/lake/digest.ts';
import { splitFooter } from '../../src/lake/footer.ts';
import { decodeTable } from '../../src/lake/parquet-decode.ts';
import { createEncoder, encodeTable, ROW_GROUP_ROWS } from '../../src/lake/parquet-encode.ts';
import { queryDuckDB } from '../support/duckdb.ts';
import { temporaryFolder } from '../support/temporary.ts';

function longHistory(length: number): Bars {
  const bars = allocateBars(length, { vwap: true });
  for (let i = 0; i < length; i++) {
    bars.session[i] = i;
    bars.close[i] = i / 7;
    bars.vwap![i] = i % 4 === 0 ? Number.NaN : i;
  }
  return bars;
}

const columns = barsToColumns('AAPL', longHistory(2 * ROW_GROUP_ROWS + 5));

describe('encodeTable', () => {
  const { bytes, digest } = encodeTable(BRONZE_SCHEMA, columns, { codec: 'zstd', metadata: { epoch: '3' } });

  test('makes row groups of 65,536 rows, read as they were written, by others too', async () => {
    const { rowGroups, metadata } = splitFooter(bytes, 'file');
    expect(rowGroups.map(({ rows }) => rows)).toEqual([ROW_GROUP_ROWS, ROW_GROUP_ROWS, 5]);
    expect(metadata.has('ARROW:schema')).toBe(true);
    const table = decodeTable(BRONZE_SCHEMA, bytes, 'file');
    expect(table.columns).toEqual(columns);
    expect(table.metadata).toMatchObject({ epoch: '3', rows: String(columns.length) });
    const path = `${await temporaryFolder()}/long.parquet`;
    await writeFile(path, bytes);
    const sums = 'count(*)::INTEGER AS n, sum(close) AS close, count(vwap)::INTEGER AS vwap, max(date) AS last';
    const close = columns.values[5] as Float64Array;
    expect(await queryDuckDB(`SELECT ${sums} FROM '${path}'`)).toEqual([
      {
        n: columns.length,
        close: expect.closeTo(
          close.reduce((sum, value) => sum + value, 0),
          0,
        ),
        vwap: columns.length - Math.ceil(columns.length / 4),
        last: new Date((columns.length - 1) * 86_400_000),
      },
    ]);
  });

  test('gives statistics of what files are searched by, and of nothing else', async () => {
    const path = `${await temporaryFolder()}/statistics.parquet`;
    await writeFile(path, bytes);
    const of = `SELECT path_in_schema AS name FROM parquet_metadata('${path}') WHERE stats_min_value IS NOT NULL`;
    expect(await queryDuckDB(`SELECT DISTINCT name FROM (${of}) ORDER BY name`)).toEqual([
      { name: 'date' },
      { name: 'symbol' },
    ]);
  });

  test('gives the digest of the table, or takes it', () => {
    expect(digest).toEqual(digestColumns(BRONZE_SCHEMA, columns));
    const given = encodeTable(BRONZE_SCHEMA, columns, { codec: 'zstd', metadata: { epoch: '3' }, digest });
    expect(given).toEqual({ bytes, digest });
  });

  test('of a table that is too large for one piece makes row group after row group, as streams do', () => {
    const large = barsToColumns('AAPL', longHistory(600_000));
    const file = encodeTable(BRONZE_SCHEMA, large);
    const encoder = createEncoder(BRONZE_SCHEMA);
    const parts: Uint8Array[] = [];
    for (let from = 0; from < large.length; from += ROW_GROUP_ROWS) {
      parts.push(
        encoder.write(sliceColumns(BRONZE_SCHEMA, large, from, Math.min(from + ROW_GROUP_ROWS, large.length))),
      );
    }
    const streamed = concatBytes([...parts, encoder.finish().bytes]);
    expect(Buffer.compare(file.bytes, streamed)).toBe(0);
    const { columns: decoded, digest: found } = decodeTable(BRONZE_SCHEMA, file.bytes, 'large');
    expect(found).toBe(digestColumns(BRONZE_SCHEMA, large).digest);
    expect(digestColumns(BRONZE_SCHEMA, decoded)).toEqual(file.digest);
  });
});
