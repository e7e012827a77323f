import { type Bars, sliceBars } from '../bars.ts';
import { hasCode } from '../errors.ts';
import { mapAll } from '../lake/map-all.ts';
import { readHistory } from '../lake/read-history.ts';
import type { ObjectStore } from '../lake/store.ts';
import { listChosen, listFiles, type SymbolFiles } from '../lake/symbol-files.ts';
import { type FailedSymbol, failedSymbol, type OnProgress } from '../progress.ts';
import { firstDayOf, formatSession } from '../session.ts';
import { compareSymbols } from '../symbol.ts';
import { bindLake } from './bind-lake.ts';
import type { Database } from './connection.ts';
import {
  type DatabaseTotals,
  monthsOf,
  readMonths,
  readTotals,
  sameTotal,
  type Total,
  type TotalsCall,
  totalIn,
  totalOf,
} from './month-totals.ts';
import { firstKeptMonth } from './retention-window.ts';
import { openBatch } from './row-batch.ts';

/** {@link reconcile}'s options. */
export interface ReconcileOptions {
  /** Only these; all where left out. */
  readonly symbols?: readonly string[] | undefined;
  /** Also the months that are archived, however many: in memory some 130 MB for a million pairs of a symbol and a month. */
  readonly archive?: boolean | undefined;
  /** Milliseconds since 1970-01-01: it says what is recent. The system's clock where left out. */
  readonly now?: (() => number) | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What comparing came to. */
export interface ReconcileResult {
  /** The first day, YYYY-MM-DD, of what was compared; older months than the window only where the database has them. */
  readonly from: string;
  /** Symbols of bronze, those that failed among them, and their bars in the months that were compared. */
  readonly symbols: number;
  readonly bars: number;
  /** Pairs of a symbol and a month whose bars were not the same. */
  readonly differing: number;
  /** Rows of these that the database has now and had not, or had otherwise. */
  readonly written: number;
  /** Rows of the database that bronze has no bar of: they are left as they are. */
  readonly extra: number;
  /** Pairs that others wrote at the same time, to bronze or to the database; the next run compares them again. */
  readonly contested: number;
  /** Symbols that could not be read from bronze; the others went on. */
  readonly failed: readonly FailedSymbol[];
}

const CONCURRENT_SYMBOLS = 16;

/**
 * Makes the database have the bars of bronze, of the months it keeps (three years and one month, and older ones that are not
 * archived yet; with `archive` those that are, too): symbol by symbol and month by month, counts and sums of hashes are compared,
 * and what differs is written and compared again.
 *
 * Bronze never loses a bar, so a row that only the database has is counted and left: a wrong lake must not empty a database.
 *
 * @throws BatchLayerError `BadInput` where the database is that of another lake; what the store or the database throws where it
 * does not answer, and what was written stays
 * @example
 * const { written, extra } = await reconcile(store, database);
 */
export async function reconcile(
  store: ObjectStore,
  database: Database,
  { symbols, archive = false, now = Date.now, onProgress, signal }: ReconcileOptions = {},
): Promise<ReconcileResult> {
  await bindLake(store, database, { signal });
  const keepFrom = firstKeptMonth(now());
  const { raw, archived } = await readMonths(database, { signal });
  const months = archive ? [...archived, ...raw] : raw;
  const totals = await readTotals(database, months, { archive, onProgress, signal });
  const isCompared = (month: number): boolean => totals.has(month) || (month >= keepFrom && !archived.includes(month));
  const from = firstDayOf(Math.min(keepFrom, ...months));
  const batch = openBatch(database, { keepFrom, signal });
  const expected: Expected[] = [];
  const failed: FailedSymbol[] = [];
  const counts = { symbols: 0, bars: 0 };

  const compareSymbol = async (files: SymbolFiles): Promise<void> => {
    const { symbol } = files;
    if (!files.data && files.daily.length === 0) return;
    const bars = await readOrReport(files);
    counts.symbols++;
    onProgress?.({ step: 'reconcile', done: counts.symbols });
    for (const { month, first, end } of bars ? monthsOf(bars, from) : []) {
      if (!isCompared(month)) continue;
      counts.bars += end - first;
      const total = totalOf(bars!, first, end);
      const isSame = sameTotal(totalIn(totals, month, symbol), total);
      // What is left in the end is of symbols that have no bars of that month in bronze.
      totals.get(month)?.delete(symbol);
      if (isSame) continue;
      expected.push({ files, month, ...total });
      await batch.add(symbol, sliceBars(bars!, first, end));
    }
  };

  const readOrReport = async (files: SymbolFiles): Promise<Bars | undefined> => {
    try {
      return await readHistory(store, files, { signal });
    } catch (error) {
      signal?.throwIfAborted();
      if (!hasCode(error, 'CorruptObject')) throw error;
      failed.push(failedSymbol(files.symbol, error));
      for (const month of totals.values()) month.delete(files.symbol);
      return undefined;
    }
  };

  const listed = listChosen(store, symbols, { signal });
  await mapAll(listed, compareSymbol, { concurrency: CONCURRENT_SYMBOLS, signal });
  await batch.flush();
  const { extra, contested } = await compareAgain(store, database, expected, { archive, signal });
  // Of chosen symbols nothing is known of the others.
  const unknown = symbols ? pickSymbols(totals, new Set(symbols)) : totals;
  return {
    from: formatSession(from),
    ...counts,
    differing: expected.length,
    written: batch.written(),
    extra: extra + countRows(unknown),
    contested,
    failed: failed.sort((a, b) => compareSymbols(a.symbol, b.symbol)),
  };
}

/** What the database has to have of a symbol and a month. */
interface Expected extends Total {
  /** What bronze had of the symbol. */
  readonly files: SymbolFiles;
  readonly month: number;
}

async function compareAgain(
  store: ObjectStore,
  database: Database,
  expected: readonly Expected[],
  { archive, signal }: TotalsCall,
): Promise<{ readonly extra: number; readonly contested: number }> {
  const counts = { extra: 0, contested: 0 };
  if (expected.length === 0) return counts;
  const months = [...new Set(expected.map(({ month }) => month))];
  const totals = await readTotals(database, months, { archive, signal });
  // After the database: what a fetch wrote meanwhile was in bronze before.
  const now = await listFiles(store, { signal });
  for (const { files, month, ...total } of expected) {
    const there = totalIn(totals, month, files.symbol);
    if (versionOf(files) !== versionOf(now.get(files.symbol))) counts.contested++;
    else if (there.rows > total.rows) counts.extra += there.rows - total.rows;
    else if (!sameTotal(there, total)) counts.contested++;
  }
  return counts;
}

/** Names what bronze has of a symbol: other bars, another name. */
function versionOf(files: SymbolFiles | undefined): string {
  return [files?.data, ...(files?.daily ?? [])].map((file) => file?.etag).join();
}

function pickSymbols(totals: DatabaseTotals, symbols: ReadonlySet<string>): DatabaseTotals {
  const pick = (month: ReadonlyMap<string, Total>) => new Map([...month].filter(([symbol]) => symbols.has(symbol)));
  return new Map([...totals].map(([month, of]) => [month, pick(of)]));
}

function countRows(totals: DatabaseTotals): number {
  let rows = 0;
  for (const month of totals.values()) for (const total of month.values()) rows += total.rows;
  return rows;
}
