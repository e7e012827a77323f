import { randomUUID } from 'node:crypto';
import { checkCount } from '../check-count.ts';
import { BatchLayerError, hasCode } from '../errors.ts';
import { type FailedSymbol, failedSymbol, type OnProgress } from '../progress.ts';
import { sessionAt } from '../session.ts';
import { deleteVersions, planCleanup } from './cleanup.ts';
import { type Columns, encodeUtf8, type TableSchema } from './columns.ts';
import { readConsolidated } from './consolidated.ts';
import { readDaily } from './daily-file.ts';
import { cleanupKey, parseBronzeKey } from './keys.ts';
import { mapAll } from './map-all.ts';
import { encodeTable } from './parquet-encode.ts';
import { type ObjectStore, orNone } from './store.ts';
import { type DailyFile, listChosen, type SymbolFiles } from './symbol-files.ts';
import { type StoreMetrics, withMetrics } from './with-metrics.ts';

export interface VacuumOptions {
  /** Delete; without it the plan is made and nothing is changed. */
  readonly apply?: boolean;
  /** Only these; all that are in bronze where left out. */
  readonly symbols?: readonly string[] | undefined;
  readonly maxWorkers?: number;
  /** Calendar days that daily files are kept. */
  readonly retentionDays?: number;
  /** Milliseconds since 1970-01-01; the system's clock where left out. */
  readonly now?: () => number;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Daily files that stay, by reason. */
export interface KeptFiles {
  /** Within the retention. */
  readonly recent: number;
  /** Older, but their symbol has no `data.parquet`. */
  readonly unconsolidated: number;
  /** Older, but `data.parquet` does not prove that it has applied them: consolidate first. */
  readonly unproven: number;
}

export interface VacuumResult {
  /** Whether files were deleted, or only planned. */
  readonly applied: boolean;
  readonly symbols: number;
  /** Files that may be deleted, and their bytes. */
  readonly files: number;
  readonly bytes: number;
  /** Files that were deleted: those that may be, but for what was replaced meanwhile. */
  readonly deleted: number;
  readonly kept: KeptFiles;
  /** Keys of the first 1,000 files that may be deleted. */
  readonly keys: readonly string[];
  /** Cleanup manifests of this run: what was to be deleted, written before it was. */
  readonly manifests: readonly string[];
  readonly failed: readonly FailedSymbol[];
  readonly metrics: StoreMetrics;
}

/** Columns of a cleanup manifest. */
export const CLEANUP_SCHEMA: TableSchema = [
  { name: 'symbol', type: 'utf8' },
  { name: 'date', type: 'date' },
  { name: 'etag', type: 'utf8' },
  { name: 'bytes', type: 'float64' },
  { name: 'deleted_at', type: 'timestamp' },
];

const BATCH_SYMBOLS = 200;
const MAX_KEYS = 1000;
const CONCURRENT_READS = 8;

/**
 * Deletes old daily files: those before the retention whose very content the symbol's `data.parquet`, read back, has
 * applied. Without `apply` it tells what it would delete.
 *
 * What is about to be deleted is recorded first, in a cleanup manifest; each deletion is of the version that was proven. A
 * symbol that fails is reported and the others go on.
 *
 * @example
 * const { files, bytes } = await vacuum(store);
 * await vacuum(store, { apply: true });
 */
export async function vacuum(
  lake: ObjectStore,
  {
    apply = false,
    symbols,
    maxWorkers = 10,
    retentionDays = 30,
    now = Date.now,
    onProgress,
    signal,
  }: VacuumOptions = {},
): Promise<VacuumResult> {
  checkCount('maxWorkers', maxWorkers, 1);
  checkCount('retentionDays', retentionDays, 0);
  const store = withMetrics(lake);
  const retainFrom = sessionAt(now()) - retentionDays;
  const kept = { recent: 0, unconsolidated: 0, unproven: 0 };
  const counts = { symbols: 0, files: 0, bytes: 0, deleted: 0 };
  const keys: string[] = [];
  const manifests: string[] = [];
  const failed: FailedSymbol[] = [];

  const planOne = async (files: SymbolFiles): Promise<SymbolPlan> => {
    try {
      const plan = await planSymbol(store, files, retainFrom, signal);
      for (const [reason, count] of Object.entries(plan.kept)) kept[reason as keyof KeptFiles] += count;
      return plan;
    } catch (error) {
      signal?.throwIfAborted();
      // What is wrong with the store is wrong for every symbol.
      if (hasCode(error, 'BadInput')) throw error;
      failed.push(failedSymbol(files.symbol, error));
      return { symbol: files.symbol, covered: [], kept: { recent: 0, unconsolidated: 0, unproven: 0 } };
    }
  };
  const vacuumBatch = async (batch: readonly SymbolFiles[]): Promise<void> => {
    const plans = await mapAll(batch, planOne, { concurrency: maxWorkers, signal });
    const covered = plans.flatMap((plan) => plan.covered);
    counts.symbols += batch.length;
    counts.files += covered.length;
    counts.bytes += covered.reduce((sum, { size }) => sum + size, 0);
    keys.push(...covered.slice(0, MAX_KEYS - keys.length).map(({ key }) => key));
    if (apply && covered.length > 0) {
      const key = cleanupKey(now(), randomUUID());
      await store.put(key, encodeCleanup(plans, now()), { ifNoneMatch: '*', signal });
      manifests.push(key);
      const cleanup = await deleteVersions(store, covered, { signal });
      counts.deleted += cleanup.deleted.length;
      const failures = new Map(cleanup.failed.map(({ file, error }) => [parseBronzeKey(file.key)!.symbol, error]));
      for (const [symbol, error] of failures) failed.push(failedSymbol(symbol, error));
    }
    onProgress?.({ step: 'vacuum', done: counts.symbols, ...(symbols ? { total: symbols.length } : {}) });
  };

  const batch: SymbolFiles[] = [];
  for await (const files of listChosen(store, symbols, { signal })) {
    batch.push(files);
    if (batch.length === BATCH_SYMBOLS) await vacuumBatch(batch.splice(0));
  }
  if (batch.length > 0) await vacuumBatch(batch);
  return { applied: apply, ...counts, kept, keys, manifests, failed, metrics: store.metrics() };
}

interface SymbolPlan {
  readonly symbol: string;
  readonly covered: readonly DailyFile[];
  readonly kept: KeptFiles;
}

/** What may be deleted of one symbol. */
async function planSymbol(
  store: ObjectStore,
  { symbol, data, daily }: SymbolFiles,
  retainFrom: number,
  signal: AbortSignal | undefined,
): Promise<SymbolPlan> {
  if (!data && daily.length === 0) throw new BatchLayerError('NotFound', `${symbol}: has no bars in bronze`);
  const old = daily.filter((file) => file.session < retainFrom);
  const kept = { recent: daily.length - old.length, unconsolidated: 0, unproven: 0 };
  const proof = data && old.length > 0 ? await readConsolidated(store, symbol, { signal }) : undefined;
  if (proof === undefined) return { symbol, covered: [], kept: { ...kept, unconsolidated: old.length } };
  // Of a copied lake the etags are others: the content tells.
  const unknown = old.filter(
    ({ session, etag }) => proof.applied.has(session) && proof.applied.get(session)?.etag !== etag,
  );
  // One that another run has cleaned up meanwhile is gone, and that is all.
  const readOne = (file: DailyFile) => orNone(readDaily(store, symbol, file, { signal }));
  const found = await mapAll(unknown, readOne, { concurrency: CONCURRENT_READS, signal });
  const read = found.filter((file) => file !== undefined);
  const covered = planCleanup(proof, old, read);
  return { symbol, covered, kept: { ...kept, unproven: old.length - covered.length } };
}

function encodeCleanup(plans: readonly SymbolPlan[], deletedAt: number): Uint8Array {
  const rows = plans.flatMap(({ symbol, covered }) => covered.map((file) => ({ symbol, ...file })));
  const columns: Columns = {
    length: rows.length,
    values: [
      encodeUtf8(rows.map(({ symbol }) => symbol)),
      Int32Array.from(rows, ({ session }) => session),
      encodeUtf8(rows.map(({ etag }) => etag)),
      Float64Array.from(rows, ({ size }) => size),
      new Float64Array(rows.length).fill(deletedAt),
    ],
  };
  return encodeTable(CLEANUP_SCHEMA, columns).bytes;
}
