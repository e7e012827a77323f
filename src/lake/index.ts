export { type BarsFile, BRONZE_SCHEMA, encodeBars, readBarsFile } from './bronze.ts';
export type { ColumnSpec, ColumnType, TableSchema } from './columns.ts';
export { type ConsolidateOptions, type ConsolidateResult, consolidate } from './consolidate.ts';
export { type Consolidated, readConsolidated } from './consolidated.ts';
export { fileStore } from './file-store.ts';
export {
  BRONZE_PREFIX,
  checkpointKey,
  dailyKey,
  dataKey,
  MANIFEST_KEY,
  RECENT_BARS_KEY,
  silverKey,
  silverPrefix,
} from './keys.ts';
export { type Manifest, type ManifestEntry, readManifest } from './manifest.ts';
export { memoryStore } from './memory-store.ts';
export { openStore } from './open-store.ts';
export { readBars } from './read-bars.ts';
export { type S3StoreOptions, s3Store } from './s3-store.ts';
export { isInShard, parseShard, type Shard } from './shard.ts';
export { GROUP_STREAM_SCHEMA, SILVER_SCHEMA } from './silver.ts';
export type {
  DeleteCall,
  Deletion,
  ListCall,
  ObjectInfo,
  ObjectStore,
  PutCall,
  RangeCall,
  RequestKind,
  StoreCall,
  StoredObject,
  StoreRequest,
} from './store.ts';
export { type KeptFiles, type VacuumOptions, type VacuumResult, vacuum } from './vacuum.ts';
export type { LakeProblem, ProblemKind } from './verify-bronze.ts';
export type { Codec } from './wasm.ts';
export { lakeWatermarks, type Watermark, type WatermarkStore } from './watermarks.ts';
export { type MeteredStore, type StoreMetrics, withMetrics } from './with-metrics.ts';
export { type RetryOptions, withRetry } from './with-retry.ts';
export { type WriteBarsOptions, writeBars } from './write-bars.ts';
