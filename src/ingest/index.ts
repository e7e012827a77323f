export type { Split } from '../adjust-bars.ts';
export { type Calendar, type CalendarOverride, marketCalendar, parseCalendarOverrides } from '../calendar.ts';
export {
  type ApiMetrics,
  type MarketApi,
  type MarketApiOptions,
  openMarketApi,
  type RateLimit,
} from './api/market-api.ts';
export type { BarSource } from './bar-source.ts';
export { type CorporateActionsResult, ingestCorporateActions } from './corporate-actions.ts';
export type { CsvProblem } from './csv-problems.ts';
export type { CsvProblemKind } from './csv-rows.ts';
export type { BarSink, DatabaseFailure } from './fetch-call.ts';
export { flatFileSource } from './flat-files.ts';
export { type IngestCsvOptions, type IngestCsvResult, ingestCsv } from './ingest-csv.ts';
export { type IngestMetaOptions, type IngestMetaResult, ingestMeta, type MetadataSink } from './ingest-meta.ts';
export {
  type FetchOptions,
  type FetchResult,
  type IngestOhlcvOptions,
  type IngestOhlcvResult,
  ingestFrom,
  ingestOhlcv,
} from './ingest-ohlcv.ts';
export type { MissingBars } from './missing-bars.ts';
export { type FetchedSession, TEST_SYMBOLS } from './session-bars.ts';
export { readSplits } from './splits-table.ts';
export { metadataAt, readSymbolMetadata, type SymbolMetadata } from './symbol-metadata.ts';
