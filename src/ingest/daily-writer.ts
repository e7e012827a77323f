import { type Bars, sliceBars } from '../bars.ts';
import { hasCode } from '../errors.ts';
import { encodeDaily, type ReadDaily, readDaily } from '../lake/daily-file.ts';
import { dailyKey } from '../lake/keys.ts';
import { mapAll } from '../lake/map-all.ts';
import { conditionOf, type ObjectStore, orNone, type StoreCall } from '../lake/store.ts';
import type { Codec } from '../lake/wasm.ts';

/** What became of a symbol's daily files. */
export interface DailyWrites {
  readonly created: number;
  /** Sessions that had another bar before. */
  readonly corrected: number;
  /** Sessions that had this very bar already. */
  readonly unchanged: number;
}

const CONCURRENT_WRITES = 16;
const MAX_ATTEMPTS = 10;

/**
 * Writes each bar of a symbol to its own daily file.
 *
 * Commit point: a new file is created with If-None-Match, a correction replaces the version that was read; a key is
 * never written blindly, or a delayed write could undo a correction.
 */
export async function writeDaily(
  store: ObjectStore,
  symbol: string,
  bars: Bars,
  { codec, signal }: StoreCall & { readonly codec?: Codec | undefined } = {},
): Promise<DailyWrites> {
  const outcomes = { created: 0, corrected: 0, unchanged: 0 };
  const writeOne = async (_: number, i: number): Promise<void> => {
    outcomes[await writeBar(store, symbol, sliceBars(bars, i, i + 1), { codec, signal })]++;
  };
  await mapAll(bars.session, writeOne, { concurrency: CONCURRENT_WRITES, signal });
  return outcomes;
}

/** Writes the one bar of a symbol to its daily file, as {@link writeDaily} does. */
export async function writeBar(
  store: ObjectStore,
  symbol: string,
  bar: Bars,
  { codec, signal }: StoreCall & { readonly codec?: Codec | undefined } = {},
): Promise<keyof DailyWrites> {
  const session = bar.session[0]!;
  const key = dailyKey(symbol, session);
  let [found, replaces]: [ReadDaily | undefined, readonly string[]] = [undefined, []];
  for (let attempt = 1; ; attempt++) {
    // A new name each time: an earlier try may have been applied, and another bar have come since. Or it is still on its way.
    const { bytes, digest, writes } = encodeDaily(symbol, bar, { replaces, codec });
    if (found?.digest === digest) return 'unchanged';
    try {
      await store.put(key, bytes, { signal, ...conditionOf(found?.etag) });
      return found === undefined ? 'created' : 'corrected';
    } catch (error) {
      if (!hasCode(error, 'Conflict') || attempt === MAX_ATTEMPTS) throw error;
    }
    found = await orNone(readDaily(store, symbol, { key, session }, { signal }));
    replaces = [...writes, ...(found?.writes ?? [])];
  }
}
