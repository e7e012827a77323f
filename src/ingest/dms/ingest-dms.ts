import { openSpill } from '../../lake/spill.ts';
import { checkPrefix, type ObjectStore } from '../../lake/store.ts';
import type { Codec } from '../../lake/wasm.ts';
import { type StoreMetrics, withMetrics } from '../../lake/with-metrics.ts';
import type { FailedSymbol, OnProgress } from '../../progress.ts';
import { formatSession } from '../../session.ts';
import { ROW_WORDS } from '../packed-rows.ts';
import { createProblemLog } from '../problem-log.ts';
import type { DmsProblem, DmsProblemKind } from './dms-problems.ts';
import { exactSum } from './exact-sum.ts';
import { type LandedExport, landExport } from './land-export.ts';
import { loadExport } from './load-export.ts';
import { openExport } from './open-export.ts';
import { writeProofs } from './proof-table.ts';
import type { SymbolProof } from './prove-symbol.ts';

export interface IngestDmsOptions {
  /** Where the export is in the lake's own store; its files are `{prefix}/LOAD*.parquet`. */
  readonly prefix?: string | undefined;
  readonly codec?: Codec | undefined;
  /** Memory for rows on their way from the files to the lake; a temporary file takes what is beyond. */
  readonly maxBytes?: number | undefined;
  /** Milliseconds since 1970-01-01; the system's clock where left out. */
  readonly now?: (() => number) | undefined;
  /** Steps: `read` (rows), then `write` (symbols). */
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface IngestDmsResult {
  readonly files: number;
  /** Rows of all files. */
  readonly rows: number;
  /** Bars of the export whose session is in bronze now, new or there before, `kept` ones included. */
  readonly landed: number;
  readonly symbols: number;
  readonly firstDate: string | null;
  readonly lastDate: string | null;
  /** Rows that say the same as another one, which landed. */
  readonly duplicates: number;
  /** Rows that are wrong, or at odds with another one, and did not land. */
  readonly rejected: number;
  /** Rows of bars that are not daily ones. */
  readonly skipped: number;
  /** Bars that bronze had otherwise, and kept. */
  readonly kept: number;
  /** Exact sums over the bars that landed, in the export and in bronze: the same, but for those kept. */
  readonly exportVolume: number;
  readonly bronzeVolume: number;
  /** Of the sessions with kept bars alone. */
  readonly keptExportVolume: number;
  readonly keptBronzeVolume: number;
  readonly objectsCreated: number;
  readonly objectsReplaced: number;
  readonly objectsUnchanged: number;
  /** All problems counted by kind. */
  readonly problemCounts: Readonly<Partial<Record<DmsProblemKind, number>>>;
  /** The first 1,000 of each kind. */
  readonly problems: readonly DmsProblem[];
  /** Symbols that could not be written, or of which bronze, read back, has not what the export says. */
  readonly failed: readonly FailedSymbol[];
  readonly metrics: StoreMetrics;
}

/** Where AWS DMS put the old system's table. */
export const DMS_PREFIX = 'public/raw_ohlcv';
const DEFAULT_MAX_BYTES = 128 * 2 ** 20;
const PARTITION_BYTES = 16 * 2 ** 20;
const WORD_BYTES = 8;

/**
 * Brings the old system's table, as AWS DMS exported it to Parquet (`LOAD*.parquet`), into each symbol's `data.parquet`, in
 * bounded memory, whether its rows are sorted or not.
 *
 * Columns: symbol, timestamp_1 (the bar's time), open, high, low, close, volume, and if there, vwap, trades, and interval_type or
 * interval (rows of other bars than `1d` are passed over). DMS's own `timestamp` is when a row was exported, and never read. A
 * time at 00:00:00 UTC is of that date's session, any other one of the date that New York had then.
 *
 * The export is older than all else: a session that bronze has a bar of keeps that bar. So a run can be repeated, and killed at
 * any time. Rows that are wrong are named with file and row, and the others land. At last every symbol is read back and compared
 * with the export; `processing_metadata/dms_import.parquet` has what came of it, symbol by symbol.
 *
 * @throws BatchLayerError `BadInput` where there is no export, or a file has not the columns; `CorruptObject` naming a file that is
 * damaged. Nothing is written before all files are read.
 *
 * @example
 * const { landed, kept, failed } = await ingestDms(openStore('s3://bucket'));
 */
export async function ingestDms(
  lake: ObjectStore,
  {
    prefix = DMS_PREFIX,
    codec,
    maxBytes = DEFAULT_MAX_BYTES,
    now = Date.now,
    onProgress,
    signal,
  }: IngestDmsOptions = {},
): Promise<IngestDmsResult> {
  checkPrefix(prefix);
  const store = withMetrics(lake);
  const files = await openExport(store, prefix, { signal });
  const rows = files.reduce((sum, file) => sum + file.rows, 0);
  const problems = createProblemLog<DmsProblem>();
  const spill = openSpill({ words: ROW_WORDS, maxBytes });
  try {
    const partitions = Math.max(1, Math.ceil((rows * ROW_WORDS * WORD_BYTES) / PARTITION_BYTES));
    const { symbols, skipped } = await loadExport(store, files, { spill, partitions, problems, onProgress, signal });
    const keys = files.map(({ key }) => key);
    const landed = await landExport(store, { spill, symbols, files: keys, problems, codec, now, onProgress, signal });
    const summary = summarize(landed);
    const { duplicate: duplicates = 0, ...rejections } = problems.counts;
    const rejected = Object.values(rejections).reduce((sum, count) => sum + count, 0);
    const accounted = summary.landed + landed.barsFailed + duplicates + rejected + skipped;
    // A defect of this library; not of the export, whatever is in it.
    if (accounted !== rows) throw new Error(`${rows} rows were read: ${accounted} of them are accounted for`);
    await writeProofs(store, landed.proofs, { signal });
    return {
      files: files.length,
      rows,
      ...summary,
      duplicates,
      rejected,
      skipped,
      problemCounts: problems.counts,
      problems: problems.first,
      metrics: store.metrics(),
    };
  } finally {
    await spill.close();
  }
}

function summarize({ proofs, outcomes, failed, firstSession, lastSession }: LandedExport) {
  const count = (name: 'rows' | 'kept') => proofs.reduce((sum, proof) => sum + proof[name], 0);
  const isFound = firstSession <= lastSession;
  return {
    landed: count('rows'),
    symbols: proofs.length,
    firstDate: isFound ? formatSession(firstSession) : null,
    lastDate: isFound ? formatSession(lastSession) : null,
    kept: count('kept'),
    exportVolume: addVolumes(proofs, 'volume'),
    bronzeVolume: addVolumes(proofs, 'bronzeVolume'),
    keptExportVolume: addVolumes(proofs, 'keptVolume'),
    keptBronzeVolume: addVolumes(proofs, 'keptBronzeVolume'),
    objectsCreated: outcomes.created,
    objectsReplaced: outcomes.replaced,
    objectsUnchanged: outcomes.unchanged,
    failed,
  };
}

function addVolumes(
  proofs: readonly SymbolProof[],
  name: 'volume' | 'bronzeVolume' | 'keptVolume' | 'keptBronzeVolume',
): number {
  const sum = exactSum();
  for (const proof of proofs) sum.addSum(proof[name]);
  return sum.value();
}
