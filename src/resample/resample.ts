import { checkCount } from '../check-count.ts';
import { BatchLayerError, hasCode } from '../errors.ts';
import { mapAll } from '../lake/map-all.ts';
import { readRecentBars } from '../lake/recent-bars.ts';
import { checkShard, type Shard, WHOLE } from '../lake/shard.ts';
import type { ObjectStore } from '../lake/store.ts';
import type { Codec } from '../lake/wasm.ts';
import { type StoreMetrics, withMetrics } from '../lake/with-metrics.ts';
import type { FailedSymbol, OnProgress } from '../progress.ts';
import { monthOf } from '../session.ts';
import { checkSymbol, compareSymbols } from '../symbol.ts';
import { collectGroups, collectRecent, summarize } from './collect-groups.ts';
import { type BronzeSymbol, findBronze } from './find-bronze.ts';
import type { GroupedSymbol } from './group-symbols.ts';
import { type IntervalState, readIntervalState } from './interval-state.ts';
import { checkIntervals, INTERVALS } from './kernel.ts';
import { openMonthRows } from './month-rows.ts';
import { planInterval, rebuiltMonths } from './plan-interval.ts';
import { type IntervalNeeds, sourceOf } from './plan-symbols.ts';
import { openThreads, type Threads, threadsFor } from './threads.ts';
import { SuspectMonth } from './write-interval.ts';
import { type IntervalResult, writeIntervals } from './write-intervals.ts';

export interface ResampleOptions {
  /** Numbers of sessions a group has. */
  readonly intervals?: readonly number[];
  /** Resample only these; the other symbols' groups stay as they are. */
  readonly symbols?: readonly string[] | undefined;
  /** Make every group anew and write every month file, also over a damaged checkpoint or another number of shards. */
  readonly forceFull?: boolean;
  /**
   * Rewrite the last so many months only, counted back from the last bar; what is older stays as it is until a run without
   * this. Groups never move: rows are counted from a symbol's first bar in any case.
   */
  readonly lookbackMonths?: number | undefined;
  /** Resample the symbols of one shard only, into month files of its own. */
  readonly shard?: Shard | undefined;
  /** All cores for large work, one for small where left out. */
  readonly threads?: number | undefined;
  readonly codec?: Codec;
  /** Memory for groups on their way to the month files; a temporary file takes what is beyond. */
  readonly maxBytes?: number;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ResampleResult {
  /** Symbols whose groups are those of their bars now. */
  readonly symbols: number;
  /** Of these, the symbols that bars were read of. */
  readonly changed: number;
  readonly bars: number;
  readonly firstDate: string | null;
  readonly lastDate: string | null;
  readonly intervals: readonly IntervalResult[];
  /** Symbols that have daily files only: `consolidate` comes first. */
  readonly unconsolidated: readonly string[];
  readonly failed: readonly FailedSymbol[];
  readonly metrics: StoreMetrics;
}

const MAX_ATTEMPTS = 10;
const DEFAULT_MAX_BYTES = 640 * 2 ** 20;

/**
 * Resamples every symbol's consolidated bars into the month files of silver, all intervals in one pass over the bars.
 *
 * What has changed since the last run is made, and the month files that are concerned are rewritten; the result is that of a
 * full run, the same files with the same digests. A run takes an epoch of every interval before it writes, and commits the
 * checkpoints after; a crash in between is made good by the next run. A symbol that cannot be read is reported, its groups
 * stay as they were, and the others go on.
 *
 * @throws BatchLayerError `BadInput` for wrong options, `Fenced` where a later run took over, `CorruptObject` for a
 *   damaged checkpoint, and for a damaged month file with groups of symbols that are not resampled in this run
 *
 * @example
 * const { intervals, failed } = await resample(openStore('file:./lake'), { intervals: [3, 5] });
 */
export async function resample(lake: ObjectStore, options: ResampleOptions = {}): Promise<ResampleResult> {
  const { intervals = INTERVALS, symbols, shard = WHOLE, lookbackMonths, threads } = options;
  checkIntervals(intervals);
  symbols?.forEach(checkSymbol);
  checkShard(shard);
  if (lookbackMonths !== undefined) checkCount('lookbackMonths', lookbackMonths, 1);
  if (threads !== undefined) checkCount('threads', threads, 1);
  const store = withMetrics(lake);
  const suspects = new Map<number, Set<number>>(intervals.map((interval) => [interval, new Set()]));
  for (let attempt = 1; ; attempt++) {
    try {
      const result = await attemptResample(store, suspects, { ...options, intervals, shard });
      return { ...result, metrics: store.metrics() };
    } catch (error) {
      if (attempt === MAX_ATTEMPTS) throw error;
      if (error instanceof SuspectMonth) {
        const known = suspects.get(error.interval)!;
        if (known.has(error.month)) throw adviseOf(error);
        known.add(error.month);
      } else if (!hasCode(error, 'Conflict')) throw error;
    }
  }
}

type Attempt = ResampleOptions & { readonly intervals: readonly number[]; readonly shard: Shard };

/** One try: it ends with `Conflict` where another run was faster, before any month file was written. */
async function attemptResample(
  store: ObjectStore,
  suspects: ReadonlyMap<number, ReadonlySet<number>>,
  {
    intervals,
    symbols: chosen,
    forceFull = false,
    lookbackMonths,
    shard,
    threads: maxThreads,
    codec,
    maxBytes = DEFAULT_MAX_BYTES,
    onProgress,
    signal,
  }: Attempt,
): Promise<Omit<ResampleResult, 'metrics'>> {
  // The checkpoints come first: whoever claims an interval has seen bars that are no older than the last claim.
  const states = await mapAll(
    intervals,
    (interval) => readState(store, interval, suspects.get(interval)!, { shard, force: forceFull, signal }),
    { concurrency: intervals.length, signal },
  );
  const bronze = await findBronze(store, { chosen, shard, signal });
  const wanted = chosen && new Set(chosen);
  const selected = bronze.symbols.filter(({ symbol }) => wanted?.has(symbol) ?? true);
  const names = namesOf(bronze.symbols, states);
  const lastKnown = lastKnownSession(bronze.symbols, states);
  const known = { isPartial: chosen !== undefined, from: firstMonth(lookbackMonths, lastKnown) };
  const rebuilt = states.map((state) => rebuiltMonths(state, known));
  const needs = states.map((state, k): IntervalNeeds => {
    return {
      interval: intervals[k]!,
      known: forceFull ? new Map() : soundOf(state),
      isWhole: rebuilt[k]!.rebuilt.size > 0,
    };
  });
  const rows = openMonthRows({ maxBytes });
  let threads: Threads | undefined;
  try {
    const { all, some } = await chooseSources(store, selected, needs, signal);
    threads = await openThreads(maxThreads ?? threadsFor(all.reduce((sum, { size }) => sum + size, 0)));
    const ids = new Map(names.map((symbol, id) => [symbol, id]));
    const options = { intervals: needs, ids, rows, threads, onProgress, signal };
    const read = await collectGroups(store, all, options);
    const recent = some.bars ? await collectRecent(some.symbols, some.bars, { ...options, index: read.parts }) : [];
    const grouped: readonly GroupedSymbol[] = [...read.grouped, ...recent];
    const last = grouped.reduce((latest, { lastSession }) => Math.max(latest, lastSession), lastKnown);
    const from = firstMonth(lookbackMonths, last);
    const failed = new Set(read.failed.map(({ symbol }) => symbol));
    const there = new Set(bronze.symbols.map(({ symbol }) => symbol));
    const gone = new Set(chosen ? [] : names.filter((symbol) => !there.has(symbol)));
    const made = new Set(grouped.map(({ id }) => names[id]!));
    const isMadeGood = (symbol: string): boolean => made.has(symbol) || (!chosen && !there.has(symbol));
    const plans = states.map((state, k) =>
      planInterval(state, {
        ...{ k, names, grouped, gone, made: rows.months(k), force: forceFull, from },
        ...rebuilt[k]!,
        isUncertain: state.checkpoint.missing.some(isMadeGood),
      }),
    );
    const written = await writeIntervals(store, states, plans, {
      ...{ names, rows, threads, codec, onProgress, signal },
      made,
      failed,
      isPartial: chosen !== undefined,
    });
    const done = selected.filter(({ symbol }) => !failed.has(symbol)).map(({ symbol }) => symbol);
    const histories = done.flatMap((symbol) => plans[0]!.histories.get(symbol) ?? []);
    return {
      symbols: done.length,
      changed: grouped.length,
      ...summarize(histories),
      intervals: written,
      unconsolidated: bronze.unconsolidated,
      failed: [...bronze.unknown, ...read.failed],
    };
  } finally {
    await Promise.all([rows.close(), threads?.close()]);
  }
}

async function readState(
  store: ObjectStore,
  interval: number,
  suspects: ReadonlySet<number>,
  call: Parameters<typeof readIntervalState>[2],
): Promise<IntervalState> {
  const state = await readIntervalState(store, interval, call);
  return { ...state, suspects: new Set([...state.suspects, ...suspects]) };
}

/** Histories whose groups can be gone on from: those of symbols that could not be read are made anew. */
function soundOf({ histories, checkpoint }: IntervalState): IntervalState['histories'] {
  if (checkpoint.missing.length === 0) return histories;
  const sound = new Map(histories);
  for (const symbol of checkpoint.missing) sound.delete(symbol);
  return sound;
}

/** Which symbols to read, and which the recent bars are enough for. */
async function chooseSources(
  store: ObjectStore,
  symbols: readonly BronzeSymbol[],
  needs: readonly IntervalNeeds[],
  signal: AbortSignal | undefined,
) {
  const isWanted = symbols.some((symbol) => sourceOf(symbol, needs) === 'recent');
  const bars = isWanted ? await readRecentBars(store, { signal }) : undefined;
  const by = Object.groupBy(symbols, (symbol) => sourceOf(symbol, needs, bars));
  return { all: by.all ?? [], some: { symbols: by.recent ?? [], bars } };
}

function namesOf(symbols: readonly BronzeSymbol[], states: readonly IntervalState[]): string[] {
  const names = new Set(symbols.map(({ symbol }) => symbol));
  for (const { histories } of states) for (const symbol of histories.keys()) names.add(symbol);
  return [...names].sort(compareSymbols);
}

/** The last session that the manifest and the checkpoints know of. */
function lastKnownSession(symbols: readonly BronzeSymbol[], states: readonly IntervalState[]): number {
  let last = Number.NEGATIVE_INFINITY;
  for (const { entry } of symbols) if (entry) last = Math.max(last, entry.lastSession);
  for (const { histories } of states)
    for (const { lastSession } of histories.values()) last = Math.max(last, lastSession);
  return last;
}

/** The first month that may be rewritten. */
function firstMonth(lookbackMonths: number | undefined, lastSession: number): number {
  if (lookbackMonths === undefined || lastSession === Number.NEGATIVE_INFINITY) return Number.NEGATIVE_INFINITY;
  return monthOf(lastSession) - lookbackMonths + 1;
}

function adviseOf(error: SuspectMonth): BatchLayerError {
  const advice = 'it has groups of symbols that are not resampled now; delete it, and resample those symbols too';
  return new BatchLayerError('CorruptObject', `${error.message}; ${advice}`, { cause: error });
}
