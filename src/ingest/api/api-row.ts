import type { SourceRow } from '../ohlcv/source-row.ts';

/** A row of the aggregates endpoints, as it comes; nothing of it is sure. */
export interface ApiRow {
  /** Ticker; of grouped answers only. */
  readonly T?: unknown;
  readonly o?: unknown;
  readonly h?: unknown;
  readonly l?: unknown;
  readonly c?: unknown;
  readonly v?: unknown;
  readonly vw?: unknown;
  readonly n?: unknown;
  readonly t?: unknown;
  readonly otc?: unknown;
}

export function toSourceRow(row: ApiRow | null, symbol: unknown): SourceRow {
  const { o: open, h: high, l: low, c: close, v: volume, vw: vwap, n: trades, t: time } = row ?? {};
  return { symbol, open, high, low, close, volume, vwap, trades, time };
}
