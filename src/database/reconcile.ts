import { sliceBars } from '../bars.ts';
import { hasCode } from '../errors.ts';
import { mapAll } from '../lake/map-all.ts';
import { readHistory } from '../lake/read-history.ts';
import type { ObjectStore, StoreCall } from '../lake/store.ts';
import { listSymbols, type SymbolFiles } from '../lake/symbol-files.ts';
import { type FailedSymbol, failedSymbol, type OnProgress } from '../progress.ts';
import { firstDayOf } from '../session.ts';
import { compareSymbols } from '../symbol.ts';
import type { Database } from './connection.ts';
import {
  type DatabaseTotals,
  monthsOf,
  readMonths,
  readTotals,
  sameTotal,
  type Total,
  totalIn,
  totalOf,
} from './month-totals.ts';
import { firstKeptMonth } from './retention-window.ts';
import { openBatch } from './row-batch.ts';

export interface ReconcileOptions {
  readonly now?: (() => number) | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ReconcileResult {
  /** Symbols of bronze, and their bars in the months that were compared. */
  readonly symbols: number;
  readonly bars: number;
  /** Pairs of a symbol and a month whose bars were not the same. */
  readonly differing: number;
  /** Rows of these that the database has now and had not, or had otherwise. */
  readonly written: number;
  /** Rows of the database that bronze has no bar of: they are left as they are. */
  readonly extra: number;
  /** Pairs that differ still, because others wrote them at the same time; the next run compares them again. */
  readonly contested: number;
  /** Symbols that could not be read from bronze; the others went on. */
  readonly failed: readonly FailedSymbol[];
}

const CONCURRENT_SYMBOLS = 16;

/**
 * Makes the database have the bars of bronze, of the months it keeps (three years and one month, and older ones that are not
 * archived yet): symbol by symbol and month by month, counts and sums of hashes are compared, and what differs is written and
 * compared again.
 *
 * Bronze never loses a bar, so a row that only the database has is counted and left: a wrong lake must not empty a database.
 *
 * @throws BatchLayerError what the store or the database throws where it does not answer; what was written stays
 * @example
 * const { written, extra } = await reconcile(store, database);
 */
export async function reconcile(
  store: ObjectStore,
  database: Database,
  { now = Date.now, onProgress, signal }: ReconcileOptions = {},
): Promise<ReconcileResult> {
  const keepFrom = firstKeptMonth(now());
  const { raw, archived } = await readMonths(database, { signal });
  const totals = await readTotals(database, raw, { onProgress, signal });
  const isCompared = (month: number): boolean => totals.has(month) || (month >= keepFrom && !archived.includes(month));
  const from = firstDayOf(Math.min(keepFrom, ...raw));
  const batch = openBatch(database, { keepFrom, signal });
  const expected: Expected[] = [];
  const failed: FailedSymbol[] = [];
  const counts = { symbols: 0, bars: 0 };

  const compareSymbol = async (files: SymbolFiles): Promise<void> => {
    const { symbol } = files;
    const bars = await readHistory(store, files, { signal });
    for (const { month, first, end } of bars ? monthsOf(bars, from) : []) {
      if (!isCompared(month)) continue;
      counts.bars += end - first;
      const total = totalOf(bars!, first, end);
      const isSame = sameTotal(totalIn(totals, month, symbol), total);
      // What is left in the end is of symbols that have no bars of that month in bronze.
      totals.get(month)?.delete(symbol);
      if (isSame) continue;
      expected.push({ symbol, month, ...total });
      await batch.add(symbol, sliceBars(bars!, first, end));
    }
  };

  const compareOrReport = async (files: SymbolFiles): Promise<void> => {
    try {
      await compareSymbol(files);
    } catch (error) {
      signal?.throwIfAborted();
      if (!hasCode(error, 'CorruptObject')) throw error;
      failed.push(failedSymbol(files.symbol, error));
      for (const month of totals.values()) month.delete(files.symbol);
    }
    onProgress?.({ step: 'reconcile', done: ++counts.symbols });
  };

  await mapAll(listSymbols(store, { signal }), compareOrReport, { concurrency: CONCURRENT_SYMBOLS, signal });
  await batch.flush();
  const { extra, contested } = await compareAgain(database, expected, { signal });
  return {
    ...counts,
    differing: expected.length,
    written: batch.written(),
    extra: extra + countRows(totals),
    contested,
    failed: failed.sort((a, b) => compareSymbols(a.symbol, b.symbol)),
  };
}

/** What the database has to have of a symbol and a month. */
interface Expected extends Total {
  readonly symbol: string;
  readonly month: number;
}

async function compareAgain(
  database: Database,
  expected: readonly Expected[],
  call: StoreCall,
): Promise<{ readonly extra: number; readonly contested: number }> {
  const counts = { extra: 0, contested: 0 };
  const totals = await readTotals(database, [...new Set(expected.map(({ month }) => month))], call);
  for (const { symbol, month, ...total } of expected) {
    const there = totalIn(totals, month, symbol);
    if (there.rows > total.rows) counts.extra += there.rows - total.rows;
    else if (!sameTotal(there, total)) counts.contested++;
  }
  return counts;
}

function countRows(totals: DatabaseTotals): number {
  let rows = 0;
  for (const month of totals.values()) for (const total of month.values()) rows += total.rows;
  return rows;
}
