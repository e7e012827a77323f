export { adjustBars } from './adjust-bars.ts';
export { allocateBars, type Bars, mergeBars, sliceBars } from './bars.ts';
export { BatchLayerError, type ErrorCode, hasCode } from './errors.ts';
export { type IngestCsvResult, ingestCsv, ingestMeta, ingestOhlcv, openMarketApi } from './ingest/index.ts';
export {
  type ConsolidateResult,
  consolidate,
  fileStore,
  memoryStore,
  type ObjectStore,
  openStore,
  readBars,
  writeBars,
} from './lake/index.ts';
export type { FailedSymbol, OnProgress } from './progress.ts';
export {
  INTERVALS,
  type ResampleResult,
  resample,
  resampleBars,
  resampleTransform,
} from './resample/index.ts';
export { formatSession, parseSession } from './session.ts';
