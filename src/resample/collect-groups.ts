import type { Bars } from '../bars.ts';
import { readConsolidated } from '../lake/consolidated.ts';
import { mapAll } from '../lake/map-all.ts';
import type { ObjectStore } from '../lake/store.ts';
import { type FailedSymbol, failedSymbol, type OnProgress } from '../progress.ts';
import { formatSession } from '../session.ts';
import { resampleBars } from './kernel.ts';
import type { MonthRows } from './month-rows.ts';

interface CollectOptions {
  readonly rows: MonthRows;
  readonly intervals: readonly number[];
  readonly onProgress?: OnProgress | undefined;
  readonly signal: AbortSignal | undefined;
}

const CONCURRENT_SYMBOLS = 32;

/** Reads symbol after symbol, some ahead, and puts their groups into months. */
export async function collectGroups(
  store: ObjectStore,
  symbols: readonly string[],
  { rows, intervals, onProgress, signal }: CollectOptions,
) {
  const failed: FailedSymbol[] = [];
  let [bars, first, last] = [0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const read = async (symbol: string): Promise<Bars | undefined> => {
    try {
      return (await readConsolidated(store, symbol, { signal }))?.bars;
    } catch (error) {
      signal?.throwIfAborted();
      failed.push(failedSymbol(symbol, error));
      return undefined;
    }
  };
  const readFrom = (from: number): Promise<(Bars | undefined)[]> => {
    const some = symbols.slice(from, from + CONCURRENT_SYMBOLS);
    const histories = mapAll(some, read, { concurrency: CONCURRENT_SYMBOLS, signal });
    // Read ahead, it may fail while nobody waits for it; whoever does learns of it all the same.
    histories.catch(() => undefined);
    return histories;
  };
  let ahead = readFrom(0);
  for (let from = 0; from < symbols.length; from += CONCURRENT_SYMBOLS) {
    const histories = await ahead;
    ahead = readFrom(from + CONCURRENT_SYMBOLS);
    for (const [i, history] of histories.entries()) {
      if (!history || history.session.length === 0) continue;
      const groups = resampleBars(history, Int32Array.of(0, history.session.length), intervals);
      for (const [k, made] of groups.entries()) await rows.add(k, made, from + i);
      bars += history.session.length;
      first = Math.min(first, history.session[0]!);
      last = Math.max(last, history.session.at(-1)!);
    }
    onProgress?.({ step: 'resample', done: from + histories.length, total: symbols.length });
  }
  const dates =
    first <= last
      ? { firstDate: formatSession(first), lastDate: formatSession(last) }
      : { firstDate: null, lastDate: null };
  return { bars, failed, ...dates };
}
