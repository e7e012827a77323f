import { type Bars, mergeBars } from '../bars.ts';
import { hasCode } from '../errors.ts';
import { isApplied, readConsolidated } from './consolidated.ts';
import { readDaily } from './daily-file.ts';
import { mapAll } from './map-all.ts';
import type { ObjectStore, StoreCall } from './store.ts';
import { type DailyFile, listSymbol, type SymbolFiles } from './symbol-files.ts';

const MAX_ATTEMPTS = 10;
const CONCURRENT_READS = 8;

/**
 * A symbol's bars as bronze has them: those of `data.parquet`, and over them those of daily files that are not merged into it
 * yet. Nothing is written.
 *
 * @returns `undefined` where the symbol has no bars
 * @throws BatchLayerError `CorruptObject` for a damaged file
 */
export async function readHistory(
  store: ObjectStore,
  listed: SymbolFiles,
  call: StoreCall = {},
): Promise<Bars | undefined> {
  for (let attempt = 1, files = listed; ; attempt++) {
    try {
      return await attemptHistory(store, files, call);
    } catch (error) {
      // A daily file was merged and cleaned up since it was listed.
      if (!hasCode(error, 'NotFound') || attempt === MAX_ATTEMPTS) throw error;
      files = await listSymbol(store, files.symbol, call);
    }
  }
}

async function attemptHistory(
  store: ObjectStore,
  { symbol, daily }: SymbolFiles,
  call: StoreCall,
): Promise<Bars | undefined> {
  const current = await readConsolidated(store, symbol, call);
  const unread = daily.filter((file) => current?.applied.get(file.session)?.etag !== file.etag);
  const read = await mapAll(unread, (file: DailyFile) => readDaily(store, symbol, file, call), {
    concurrency: CONCURRENT_READS,
    signal: call.signal,
  });
  let bars = current?.bars;
  for (const file of read) {
    if (isApplied(current?.applied.get(file.session), file)) continue;
    bars = bars ? mergeBars(bars, file.bars) : file.bars;
  }
  return bars;
}
