export type { Split } from '../adjust-bars.ts';
export { type Calendar, type CalendarOverride, marketCalendar, parseCalendarOverrides } from '../calendar.ts';
export {
  type ApiMetrics,
  type MarketApi,
  type MarketApiOptions,
  openMarketApi,
  type RateLimit,
} from './api/market-api.ts';
export type { CsvProblem } from './csv/csv-problems.ts';
export type { CsvProblemKind } from './csv/csv-rows.ts';
export { type IngestCsvOptions, type IngestCsvResult, ingestCsv } from './csv/ingest-csv.ts';
export type { DmsProblem, DmsProblemKind } from './dms/dms-problems.ts';
export { type IngestDmsOptions, type IngestDmsResult, ingestDms } from './dms/ingest-dms.ts';
export type { BarSource } from './ohlcv/bar-source.ts';
export type { BarSink, DatabaseFailure } from './ohlcv/fetch-call.ts';
export { flatFileSource } from './ohlcv/flat-files.ts';
export {
  type FetchOptions,
  type FetchResult,
  type IngestOhlcvOptions,
  type IngestOhlcvResult,
  ingestFrom,
  ingestOhlcv,
} from './ohlcv/ingest-ohlcv.ts';
export type { MissingBars } from './ohlcv/missing-bars.ts';
export { type FetchedSession, TEST_SYMBOLS } from './ohlcv/session-bars.ts';
export { type CorporateActionsResult, ingestCorporateActions } from './reference/corporate-actions.ts';
export {
  type IngestMetaOptions,
  type IngestMetaResult,
  ingestMeta,
  type MetadataSink,
} from './reference/ingest-meta.ts';
export { readSplits } from './reference/splits-table.ts';
export { metadataAt, readSymbolMetadata, type SymbolMetadata } from './reference/symbol-metadata.ts';
