import { type Bars, mergeBars } from '../bars.ts';
import { hasCode } from '../errors.ts';
import { type Consolidated, isApplied, readConsolidated } from './consolidated.ts';
import { type ReadDaily, readDaily } from './daily-file.ts';
import { mapAll } from './map-all.ts';
import { joinDaily } from './merge-symbol.ts';
import type { ObjectStore, StoreCall } from './store.ts';
import { listSymbol, type SymbolFiles } from './symbol-files.ts';

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
  const pending = await readPending(store, { symbol, daily }, current?.applied, call);
  if (pending.length === 0) return current?.bars;
  return current ? mergeBars(current.bars, joinDaily(pending)) : joinDaily(pending);
}

/**
 * The daily files of a symbol that its `data.parquet` has not applied.
 *
 * @throws BatchLayerError `NotFound` where one was merged and cleaned up since it was listed
 */
export async function readPending(
  store: ObjectStore,
  { symbol, daily }: Pick<SymbolFiles, 'symbol' | 'daily'>,
  applied: Consolidated['applied'] = new Map(),
  call: StoreCall = {},
): Promise<readonly ReadDaily[]> {
  const unread = daily.filter((file) => applied.get(file.session)?.etag !== file.etag);
  const read = await mapAll(unread, (file) => readDaily(store, symbol, file, call), {
    concurrency: CONCURRENT_READS,
    signal: call.signal,
  });
  return read.filter((file) => !isApplied(applied.get(file.session), file));
}
