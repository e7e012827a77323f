import { BatchLayerError } from '../errors.ts';
import { encodeUtf8 } from '../lake/columns.ts';
import { mapAll } from '../lake/map-all.ts';
import type { ObjectStore } from '../lake/store.ts';
import { listSymbols } from '../lake/symbol-files.ts';
import type { Codec } from '../lake/wasm.ts';
import { type StoreMetrics, withMetrics } from '../lake/with-metrics.ts';
import { type FailedSymbol, failedSymbol, type OnProgress } from '../progress.ts';
import { checkSymbol, compareSymbols } from '../symbol.ts';
import { commitCheckpoint } from './checkpoint.ts';
import { claimEpoch } from './claim.ts';
import { collectGroups } from './collect-groups.ts';
import { checkIntervals, INTERVALS } from './kernel.ts';
import { openMonthRows } from './month-rows.ts';
import { writeInterval } from './write-interval.ts';

export interface ResampleOptions {
  /** Numbers of sessions a group has. */
  readonly intervals?: readonly number[];
  /** Resample only these; the other symbols' groups stay as they are. */
  readonly symbols?: readonly string[] | undefined;
  /** Write every month file anew, and rebuild a damaged checkpoint. */
  readonly forceFull?: boolean;
  readonly codec?: Codec;
  /** Memory for groups on their way to the month files; a temporary file takes what is beyond. */
  readonly maxBytes?: number;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What became of one interval. */
export interface IntervalResult {
  readonly interval: number;
  readonly epoch: number;
  readonly groups: number;
  readonly filesWritten: number;
  readonly filesUnchanged: number;
  readonly filesDeleted: number;
}

export interface ResampleResult {
  readonly symbols: number;
  readonly bars: number;
  readonly firstDate: string | null;
  readonly lastDate: string | null;
  readonly intervals: readonly IntervalResult[];
  /** Symbols that have daily files only: `consolidate` comes first. */
  readonly unconsolidated: readonly string[];
  readonly failed: readonly FailedSymbol[];
  readonly metrics: StoreMetrics;
}

const DEFAULT_MAX_BYTES = 256 * 2 ** 20;

/**
 * Resamples every symbol's consolidated bars into the month files of silver, all intervals in one pass over the bars.
 *
 * A run takes an epoch of every interval, writes the month files that change, and commits the checkpoints; a crash in
 * between is made good by the next run. A symbol that cannot be read is reported, its groups stay as they were, and the
 * others go on.
 *
 * @throws BatchLayerError `BadInput` for wrong options, `Fenced` where a later run took over, `CorruptObject` for a
 *   damaged checkpoint, and for a damaged month file with groups of symbols that are not resampled in this run
 *
 * @example
 * const { intervals, failed } = await resample(openStore('file:./lake'), { intervals: [3, 5] });
 */
export async function resample(
  lake: ObjectStore,
  {
    intervals = INTERVALS,
    symbols: chosen,
    forceFull = false,
    codec,
    maxBytes = DEFAULT_MAX_BYTES,
    onProgress,
    signal,
  }: ResampleOptions = {},
): Promise<ResampleResult> {
  checkIntervals(intervals);
  chosen?.forEach(checkSymbol);
  const store = withMetrics(lake);
  const claims = await mapAll(intervals, (interval) => claimEpoch(store, interval, { force: forceFull, signal }), {
    concurrency: intervals.length,
  });
  const { symbols, unconsolidated, unknown } = await findSymbols(store, chosen, signal);
  const names = encodeUtf8(symbols);
  const rows = openMonthRows({ maxBytes });
  try {
    const { failed, ...collected } = await collectGroups(store, symbols, { rows, intervals, onProgress, signal });
    const missing = new Set(failed.map(({ symbol }) => symbol));
    const resampled = new Set(symbols.filter((symbol) => !missing.has(symbol)));
    const isKept = chosen ? (symbol: string) => !resampled.has(symbol) : (symbol: string) => missing.has(symbol);
    const results: IntervalResult[] = [];
    for (const [k, interval] of intervals.entries()) {
      const { checkpoint } = claims[k]!;
      const { counts, ...figures } = await writeInterval(store, claims[k]!, {
        months: rows.months(k),
        read: (month) => rows.read(k, month, interval, names),
        isKept: chosen || missing.size > 0 ? isKept : undefined,
        forceFull,
        codec,
        signal,
      });
      const stillMissing = chosen ? checkpoint.missing.filter((symbol) => !resampled.has(symbol)) : [];
      const union = [...new Set([...stillMissing, ...missing])].sort(compareSymbols);
      await commitCheckpoint(store, claims[k]!, { ...figures, missing: union }, { signal });
      results.push({ interval, epoch: checkpoint.epoch, groups: figures.groups, ...counts });
      onProgress?.({ step: 'write', done: k + 1, total: intervals.length });
    }
    return {
      symbols: resampled.size,
      ...collected,
      intervals: results,
      unconsolidated,
      failed: [...unknown, ...failed],
      metrics: store.metrics(),
    };
  } finally {
    await rows.close();
  }
}

async function findSymbols(store: ObjectStore, chosen: readonly string[] | undefined, signal: AbortSignal | undefined) {
  const wanted = chosen && new Set(chosen);
  const symbols: string[] = [];
  const unconsolidated: string[] = [];
  for await (const { symbol, data } of listSymbols(store, { signal })) {
    if (!wanted || wanted.delete(symbol)) (data ? symbols : unconsolidated).push(symbol);
  }
  const unknown = [...(wanted ?? [])].map((symbol) =>
    failedSymbol(symbol, new BatchLayerError('NotFound', `${symbol}: has no bars in bronze`)),
  );
  return { symbols: symbols.sort(compareSymbols), unconsolidated, unknown };
}
