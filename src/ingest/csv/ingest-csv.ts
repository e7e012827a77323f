import { stat } from 'node:fs/promises';
import type { Bars } from '../../bars.ts';
import { BatchLayerError, messageOf } from '../../errors.ts';
import { mapAll } from '../../lake/map-all.ts';
import { openSpill, type Spill } from '../../lake/spill.ts';
import type { ObjectStore } from '../../lake/store.ts';
import { listSymbol } from '../../lake/symbol-files.ts';
import type { Codec } from '../../lake/wasm.ts';
import { type StoreMetrics, withMetrics } from '../../lake/with-metrics.ts';
import { type FailedSymbol, failedSymbol, type OnProgress } from '../../progress.ts';
import { formatSession } from '../../session.ts';
import { checkSymbol } from '../../symbol.ts';
import { openBulkImport } from '../bulk-import.ts';
import { writeDaily } from '../daily-writer.ts';
import { ROW_WORDS, unpackRows } from '../packed-rows.ts';
import { createProblemLog } from '../problem-log.ts';
import type { CsvProblem, CsvProblemLog } from './csv-problems.ts';
import type { CsvProblemKind } from './csv-rows.ts';
import { loadRows } from './load-csv.ts';

export interface IngestCsvOptions {
  /** Write straight to each symbol's `data.parquet` (bulk history) instead of one file a session. */
  readonly consolidated?: boolean;
  /** The symbol of all rows, for files that have no column for it. */
  readonly symbol?: string | undefined;
  readonly codec?: Codec;
  /** Memory for rows on their way from the files to the lake; a temporary file takes what is beyond. */
  readonly maxBytes?: number;
  readonly now?: () => number;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface IngestCsvResult {
  readonly files: number;
  /** Lines after the headers. */
  readonly rows: number;
  /** Rows that are in the lake now, be they new or there before. */
  readonly landed: number;
  /** Rows (or, of `wrong_header`, `no_rows` and `unreadable`, files) that did not land. */
  readonly rejected: number;
  readonly symbols: number;
  readonly firstDate: string | null;
  readonly lastDate: string | null;
  readonly objectsCreated: number;
  readonly objectsReplaced: number;
  readonly objectsUnchanged: number;
  /** All problems counted by kind. */
  readonly problemCounts: Readonly<Partial<Record<CsvProblemKind, number>>>;
  /** The first 1,000 of each kind. */
  readonly problems: readonly CsvProblem[];
  readonly failed: readonly FailedSymbol[];
  readonly metrics: StoreMetrics;
}

const DEFAULT_MAX_BYTES = 128 * 2 ** 20;
const CONCURRENT_SYMBOLS = 4;
const COUNTED = { created: 'objectsCreated', replaced: 'objectsReplaced', unchanged: 'objectsUnchanged' } as const;
/** How much text makes a partition of about 16 MB when the rows are read back. */
const PARTITION_TEXT_BYTES = 12 * 2 ** 20;
const GZIP_RATIO = 8;

/**
 * Streams CSV files of any size into bronze, in bounded memory, whether they are sorted or not.
 *
 * Columns, by name, in any order: symbol, date, open, high, low, close, volume, and if there, vwap and trades. Lines that
 * are wrong are named with file and line and counted by kind; the others land. A symbol that fails is reported and the
 * others go on. Every object is written whole, under a condition.
 *
 * @throws BatchLayerError `BadInput` where a file does not exist, before anything is written
 *
 * @example
 * const { landed, problems } = await ingestCsv(store, ['bars.csv.gz'], { consolidated: true });
 */
export async function ingestCsv(
  lake: ObjectStore,
  paths: readonly string[],
  { symbol, maxBytes = DEFAULT_MAX_BYTES, ...options }: IngestCsvOptions = {},
): Promise<IngestCsvResult> {
  if (symbol !== undefined) checkSymbol(symbol);
  const store = withMetrics(lake);
  const textBytes = await measureFiles(paths);
  const spill = openSpill({ words: ROW_WORDS, maxBytes });
  try {
    const problems = createProblemLog<CsvProblem>();
    const partitions = Math.max(1, Math.ceil(textBytes / PARTITION_TEXT_BYTES));
    const { symbols, rows } = await loadRows(paths, { spill, partitions, problems, symbol, ...options });
    const written = await writeSymbols(store, { spill, symbols, paths, problems, ...options });
    const { unsorted: _, ...rejections } = problems.counts;
    return {
      files: paths.length,
      rows,
      ...written,
      rejected: Object.values(rejections).reduce((sum, count) => sum + count, 0),
      problemCounts: problems.counts,
      problems: problems.first,
      metrics: store.metrics(),
    };
  } finally {
    await spill.close();
  }
}

async function measureFiles(paths: readonly string[]): Promise<number> {
  let bytes = 0;
  for (const path of paths) {
    const found = await stat(path).catch((error) => {
      throw new BatchLayerError('BadInput', `${path}: cannot be read: ${messageOf(error)}`, { cause: error });
    });
    if (!found.isFile()) throw new BatchLayerError('BadInput', `${path}: is no file`);
    bytes += found.size * (path.endsWith('.gz') ? GZIP_RATIO : 1);
  }
  return bytes;
}

interface WriteOptions extends Omit<IngestCsvOptions, 'symbol' | 'maxBytes'> {
  readonly spill: Spill;
  readonly symbols: readonly string[];
  readonly paths: readonly string[];
  readonly problems: CsvProblemLog;
}

type Written = Pick<
  IngestCsvResult,
  'landed' | 'symbols' | 'firstDate' | 'lastDate' | 'objectsCreated' | 'objectsReplaced' | 'objectsUnchanged' | 'failed'
>;

/** Writes partition after partition, the symbols of each at the same time. */
async function writeSymbols(
  store: ObjectStore,
  { spill, symbols, paths, problems, consolidated = false, codec, now = Date.now, onProgress, signal }: WriteOptions,
): Promise<Written> {
  const failed: FailedSymbol[] = [];
  const bulk = openBulkImport(store, { codec, now, signal });
  const total = { landed: 0, symbols: 0, objectsCreated: 0, objectsReplaced: 0, objectsUnchanged: 0 };
  let [first, last, done] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];

  const writeSymbol = async (symbol: string, bars: Bars): Promise<void> => {
    if (consolidated) {
      const outcome = await bulk.add(await listSymbol(store, symbol, { signal }), bars);
      total[COUNTED[outcome]]++;
    } else {
      const { created, corrected, unchanged } = await writeDaily(store, symbol, bars, { codec, signal });
      total.objectsCreated += created;
      total.objectsReplaced += corrected;
      total.objectsUnchanged += unchanged;
    }
    total.landed += bars.session.length;
    total.symbols++;
    first = Math.min(first, bars.session[0]!);
    last = Math.max(last, bars.session.at(-1)!);
  };

  for (const partition of spill.partitions()) {
    const parts = unpackRows(await spill.read(partition), paths);
    for (const { problems: found } of parts) {
      for (const { file, ...problem } of found) problems.add({ ...problem, file: paths[file]! });
    }
    const writeOne = async ({ symbolId, bars }: (typeof parts)[number]): Promise<void> => {
      const symbol = symbols[symbolId]!;
      try {
        if (bars.session.length > 0) await writeSymbol(symbol, bars);
      } catch (error) {
        signal?.throwIfAborted();
        failed.push(failedSymbol(symbol, error));
      }
      onProgress?.({ step: 'write', done: ++done, total: symbols.length });
    };
    await mapAll(parts, writeOne, { concurrency: CONCURRENT_SYMBOLS, signal });
  }
  await bulk.finish();
  const found = first <= last;
  return {
    ...total,
    failed,
    firstDate: found ? formatSession(first) : null,
    lastDate: found ? formatSession(last) : null,
  };
}
