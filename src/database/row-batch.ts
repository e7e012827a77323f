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
  const flush = async (): Promise<void> => {
    const rows = { symbols, bars: sliceBars(bars, 0, symbols.length) };
    [symbols, bars] = emptyRows();
    if (rows.symbols.length === 0) return;
    const counts = await upsertBars(database, rows, call);
    written += counts.written;
  };
  return {
    async add(symbol, added) {
      for (let i = 0; i < added.session.length; i++) {
        if (symbols.length === BATCH_ROWS) await flush();
        copyBar(added, i, bars, symbols.length);
        symbols.push(symbol);
      }
    },
    flush,
    written: () => written,
  };
}

function emptyRows(): [symbols: string[], bars: Bars] {
  return [[], allocateBars(BATCH_ROWS, { vwap: true, trades: true })];
}
