export { type BarsFile, BRONZE_SCHEMA, encodeBars, readBarsFile } from './bronze.ts';
export type { ColumnSpec, ColumnType, TableSchema } from './columns.ts';
export { type ConsolidateOptions, type ConsolidateResult, consolidate } from './consolidate.ts';
export { type Consolidated, readConsolidated } from './consolidated.ts';
export { fileStore } from './file-store.ts';
export { BRONZE_PREFIX, checkpointKey, dailyKey, dataKey, MANIFEST_KEY, silverKey, silverPrefix } from './keys.ts';
export { type Manifest, type ManifestEntry, readManifest } from './manifest.ts';
export { memoryStore } from './memory-store.ts';
export { openStore } from './open-store.ts';
export { readBars } from './read-bars.ts';
export { GROUP_STREAM_SCHEMA, SILVER_SCHEMA } from './silver.ts';
export type {
  DeleteCall,
  ObjectInfo,
  ObjectStore,
  PutCall,
  RangeCall,
  StoreCall,
  StoredObject,
} from './store.ts';
export type { Codec } from './wasm.ts';
export { type WriteBarsOptions, writeBars } from './write-bars.ts';
