import { queryDuckDB } from './duckdb.ts';

/** How silver of one interval compares with what DuckDB makes of the same bronze files. */
export interface Comparison {
  readonly interval: number;
  readonly groups: number;
  readonly expected: number;
  /** Rows that only one of the two has. */
  readonly differences: number;
  /** Rows in a file of another month than that of their first session. */
  readonly misplaced: number;
}

/** Compares every value of every group with DuckDB's own answer. */
export async function compareWithDuckDB(lake: string, interval: number): Promise<Comparison> {
  const silver = `read_parquet('${lake}/silver/silver_${interval}d/*/*/*.parquet', hive_partitioning = true)`;
  const columns = 'symbol, date, end_date, open, high, low, close, volume, vwap, bars, complete';
  const [row] = await queryDuckDB(`
    WITH numbered AS (
      SELECT *, row_number() OVER (PARTITION BY symbol ORDER BY date) AS row_number
      FROM read_parquet('${lake}/bronze/raw_ohlcv/*/data.parquet')
    ),
    grouped AS (SELECT *, floor((row_number - 1) / ${interval})::BIGINT AS g FROM numbered),
    expected AS (
      SELECT symbol, min(date) AS date, max(date) AS end_date,
        first(open ORDER BY date) AS open, max(high) AS high, min(low) AS low, last(close ORDER BY date) AS close,
        sum(volume ORDER BY date) AS volume,
        CASE WHEN sum(volume) > 0 AND NOT bool_or(volume <> 0 AND vwap IS NULL)
          THEN sum(CASE WHEN volume = 0 THEN 0 ELSE vwap * volume END ORDER BY date) / sum(volume ORDER BY date)
        END AS vwap,
        count(*)::INTEGER AS bars, count(*) = ${interval} AS complete
      FROM grouped GROUP BY symbol, g
    ),
    found AS (SELECT ${columns} FROM ${silver})
    SELECT
      (SELECT count(*) FROM found) AS groups,
      (SELECT count(*) FROM expected) AS expected,
      (SELECT count(*) FROM ((FROM found EXCEPT ALL SELECT ${columns} FROM expected)
        UNION ALL (SELECT ${columns} FROM expected EXCEPT ALL FROM found))) AS differences,
      (SELECT count(*) FROM ${silver} WHERE year(date) <> year::INTEGER OR month(date) <> month::INTEGER) AS misplaced`);
  const number = (name: string) => Number(row![name]);
  return {
    interval,
    groups: number('groups'),
    expected: number('expected'),
    differences: number('differences'),
    misplaced: number('misplaced'),
  };
}

/**
 * Compares bronze with a CSV file as DuckDB reads it, in the columns every bar has: rows of bronze that the file has not,
 * and rows of the file that bronze has not (those with wrong values among them, where DuckDB could read them at all).
 */
export async function compareBronzeWithCsv(lake: string, csv: string) {
  const numbers = ['open', 'high', 'low', 'close', 'volume'];
  const columns = ['symbol', 'date', ...numbers].join(', ');
  const casts = numbers.map((name) => `TRY_CAST(${name} AS DOUBLE) AS ${name}`).join(', ');
  const [row] = await queryDuckDB(`
    WITH source AS (SELECT DISTINCT symbol, TRY_CAST(date AS DATE) AS date, ${casts}
      FROM read_csv('${csv}', header = true, all_varchar = true, ignore_errors = true)),
    bronze AS (SELECT ${columns} FROM read_parquet('${lake}/bronze/raw_ohlcv/*/data.parquet'))
    SELECT (SELECT count(*) FROM bronze) AS bars,
      (SELECT count(*) FROM (FROM bronze EXCEPT ALL FROM source)) AS not_in_file,
      (SELECT count(*) FROM (FROM source EXCEPT ALL FROM bronze)) AS not_in_bronze`);
  return { bars: Number(row!.bars), notInFile: Number(row!.not_in_file), notInBronze: Number(row!.not_in_bronze) };
}
