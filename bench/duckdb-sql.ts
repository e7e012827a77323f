import { silverPrefix } from '../src/lake/keys.ts';

// The peers' SQL. Both give our groups, but for vwap, where they leave bars without one out instead of giving null;
// test/support/oracle.ts holds the SQL that is compared value for value.

/** As the old system's SQL: row numbers anew for every interval, first and last by order. (rn − 1) / n is // in DuckDB. */
export function seedsSql(source: string, n: number): string {
  return `
    WITH numbered AS (SELECT *, row_number() OVER (PARTITION BY symbol ORDER BY date) AS rn FROM ${source}),
    grp AS (SELECT *, (rn - 1) // ${n} AS grp_id FROM numbered)
    SELECT symbol, min(date) AS date, max(date) AS end_date, first(open ORDER BY date) AS open, max(high) AS high,
      min(low) AS low, last(close ORDER BY date) AS close, sum(volume) AS volume,
      sum(vwap * volume) / sum(volume) AS vwap, count(*)::INTEGER AS bars, count(*) = ${n} AS complete
    FROM grp GROUP BY symbol, grp_id`;
}

/** Row numbers once, for all intervals. */
export function numberedTable(source: string): string {
  return `CREATE OR REPLACE TEMP TABLE numbered AS
    SELECT symbol, date, open, high, low, close, volume, vwap,
      (row_number() OVER (PARTITION BY symbol ORDER BY date) - 1)::INTEGER AS rn FROM ${source}`;
}

/** Tuned: over {@link numberedTable}, arg_min and arg_max instead of ordered aggregates. */
export function tunedSql(n: number): string {
  return `
    SELECT symbol, min(date) AS date, max(date) AS end_date, arg_min(open, rn) AS open, max(high) AS high,
      min(low) AS low, arg_max(close, rn) AS close, sum(volume) AS volume,
      sum(vwap * volume) / sum(volume) AS vwap, count(*)::INTEGER AS bars, count(*) = ${n} AS complete
    FROM numbered GROUP BY symbol, rn // ${n}`;
}

/** Writes a query's groups as month files, sorted as ours are. */
export function copyToMonths(sql: string, lake: string, n: number): string {
  return `COPY (SELECT *, strftime(date, '%Y') AS year, strftime(date, '%m') AS month FROM (${sql}) ORDER BY symbol, date)
    TO '${lake}/${silverPrefix(n).slice(0, -1)}' (FORMAT parquet, PARTITION_BY (year, month), OVERWRITE_OR_IGNORE)`;
}
