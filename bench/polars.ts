import type { DataFrame } from 'nodejs-polars';

// It is read when Polars begins; DuckDB has as many.
process.env.POLARS_MAX_THREADS = '2';
const { default: pl } = await import('nodejs-polars');

export const POLARS = `Polars of nodejs-polars ${pl.version}`;

/** The bars of a lake as one frame; each symbol's are in order. */
export function readFrame(lake: string): DataFrame {
  const columns = ['symbol', 'date', 'open', 'high', 'low', 'close', 'volume', 'vwap'];
  return pl.scanParquet(`${lake}/bronze/raw_ohlcv/*/data.parquet`).select(columns).collectSync();
}

/** Row numbers once, for all intervals. */
export function numberFrame(bars: DataFrame): DataFrame {
  const rn = pl.col('date').cumCount().over('symbol').minus(1).cast(pl.Int32).alias('rn');
  return bars.withColumns(rn);
}

/** The groups of an interval, with the columns of the peers' SQL. */
export function groupFrame(numbered: DataFrame, n: number): DataFrame {
  const rn = pl.col('rn');
  return numbered
    .lazy()
    .withColumns(rn.minus(rn.modulo(n)).alias('first_rn'))
    .groupBy(['symbol', 'first_rn'])
    .agg(
      pl.col('date').first(),
      pl.col('date').last().alias('end_date'),
      pl.col('open').first(),
      pl.col('high').max(),
      pl.col('low').min(),
      pl.col('close').last(),
      pl.col('volume').sum(),
      pl.col('vwap').mul(pl.col('volume')).sum().div(pl.col('volume').sum()).alias('vwap'),
      pl.len().cast(pl.Int32).alias('bars'),
      pl.len().eq(n).alias('complete'),
    )
    .collectSync();
}
