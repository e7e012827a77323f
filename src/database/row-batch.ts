import { allocateBars, type Bars, copyBar, sliceBars } from '../bars.ts';
import type { StoreCall } from '../lake/store.ts';
import type { Database } from './connection.ts';
import { BATCH_ROWS, upsertBars } from './upsert-bars.ts';

/** Gathers bars of many symbols, and writes them many at once. */
export interface RowBatch {
  add(symbol: string, bars: Bars): Promise<void>;
  flush(): Promise<void>;
  /** Rows that are in the database now and were not, or were others. */
  written(): number;
}

/** @param call `keepFrom` is the first month that the database keeps */
export function openBatch(database: Database, call: StoreCall & { readonly keepFrom: number }): RowBatch {
  let [symbols, bars] = emptyRows();
  let written = 0;
  let writing: Promise<void> | undefined;
  const write = async (): Promise<void> => {
    const rows = { symbols, bars: sliceBars(bars, 0, symbols.length) };
    [symbols, bars] = emptyRows();
    const counts = await upsertBars(database, rows, call);
    written += counts.written;
  };
  /** One batch after the other: who adds while one is written fills the next, and waits when that is full too. */
  const writeNext = (): Promise<void> => {
    writing ??= write().finally(() => {
      writing = undefined;
    });
    return writing;
  };
  return {
    async add(symbol, added) {
      for (let i = 0; i < added.session.length; i++) {
        while (symbols.length === BATCH_ROWS) await writeNext();
        copyBar(added, i, bars, symbols.length);
        symbols.push(symbol);
      }
    },
    async flush() {
      while (writing || symbols.length > 0) await writeNext();
    },
    written: () => written,
  };
}

function emptyRows(): [symbols: string[], bars: Bars] {
  return [[], allocateBars(BATCH_ROWS, { vwap: true, trades: true })];
}
