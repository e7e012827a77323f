export {
  type ArchivedMonth,
  type ArchiveOptions,
  archiveBars,
  type FailedMonth,
  type RetentionResult,
} from './archive-bars.ts';
export { barSink } from './bar-sink.ts';
export { bindLake } from './bind-lake.ts';
export { type Database, type DatabaseOptions, openDatabase } from './connection.ts';
export type { DatabaseLogin } from './database-url.ts';
export { databaseWatermarks } from './database-watermarks.ts';
export { metadataSink } from './metadata-sink.ts';
export { type MigrateOptions, migrateDatabase } from './migrate.ts';
export type { FailedFile } from './mirror-months.ts';
export { type MirroredInterval, type MirrorOptions, type MirrorResult, mirrorSilver } from './mirror-silver.ts';
export { type ReconcileOptions, type ReconcileResult, reconcile } from './reconcile.ts';
