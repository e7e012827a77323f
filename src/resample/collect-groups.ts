import { release } from '../lake/columns.ts';
import { dataKey } from '../lake/keys.ts';
import { mapAll } from '../lake/map-all.ts';
import type { RecentBars } from '../lake/recent-bars.ts';
import type { ObjectStore } from '../lake/store.ts';
import { type FailedSymbol, failedSymbol, type OnProgress } from '../progress.ts';
import { formatSession } from '../session.ts';
import type { HistoryState } from './changed-rows.ts';
import type { BronzeSymbol } from './find-bronze.ts';
import { sortGroups } from './group-rows.ts';
import { type GroupedSymbol, makeGroups, NO_SESSION, type SymbolBytes } from './group-symbols.ts';
import type { MonthRows } from './month-rows.ts';
import type { IntervalNeeds } from './plan-symbols.ts';
import type { Threads } from './threads.ts';

interface CollectOptions {
  readonly intervals: readonly IntervalNeeds[];
  /** Number of each symbol in the rows. */
  readonly ids: ReadonlyMap<string, number>;
  readonly rows: MonthRows;
  readonly threads: Threads;
  readonly onProgress?: OnProgress | undefined;
  readonly signal: AbortSignal | undefined;
}

/** What groups were made of. */
export interface Collected {
  readonly grouped: readonly GroupedSymbol[];
  readonly failed: readonly FailedSymbol[];
  /** Parts that were added to the rows. */
  readonly parts: number;
}

const CONCURRENT_READS = 16;
/** What is read before groups are made of it. */
const CHUNK_BYTES = 4 * 2 ** 20;
const CHUNK_SYMBOLS = 256;
/** Memory for a chunk that the next one fits into too. */
const SPARE = 1.25;

/** Reads symbols in chunks, some ahead, and puts their groups into months. */
export async function collectGroups(
  store: ObjectStore,
  symbols: readonly Omit<BronzeSymbol, 'entry'>[],
  { intervals, ids, rows, threads, onProgress, signal }: CollectOptions,
): Promise<Collected> {
  const failed: FailedSymbol[] = [];
  const grouped: GroupedSymbol[] = [];
  const spare: SharedArrayBuffer[] = [];
  let done = 0;

  const readOne = async ({ symbol }: { readonly symbol: string }): Promise<Uint8Array | undefined> => {
    try {
      return (await store.get(dataKey(symbol), { signal })).body;
    } catch (error) {
      signal?.throwIfAborted();
      failed.push(failedSymbol(symbol, error));
      return undefined;
    }
  };
  const groupChunk = async (chunk: readonly Omit<BronzeSymbol, 'entry'>[], index: number): Promise<void> => {
    const bodies = await mapAll(chunk, readOne, { concurrency: CONCURRENT_READS, signal });
    const packed = pack(bodies, spare.pop());
    const some = chunk.flatMap(({ symbol }, i): SymbolBytes[] => {
      const [from, to] = [packed.starts[i]!, packed.starts[i + 1]!];
      const known = intervals.map((interval) => interval.known.get(symbol));
      if (!bodies[i]) return [];
      return [{ symbol, id: ids.get(symbol)!, from, to, ...(known.some((state) => state) ? { known } : {}) }];
    });
    const made = await threads.groupSymbols({
      intervals: intervals.map(({ interval }) => interval),
      isWhole: intervals.map(({ isWhole }) => isWhole),
      bytes: packed.bytes,
      symbols: some,
    });
    spare.push(packed.bytes);
    grouped.push(...made.grouped);
    failed.push(...made.failed);
    await rows.add(index, made.groups);
    done += chunk.length;
    onProgress?.({ step: 'resample', done, total: symbols.length });
  };
  // One chunk more than there are threads is being read.
  const chunks = [...chunksOf(symbols)];
  await mapAll(chunks, groupChunk, { concurrency: threads.count + 1, signal });
  return { grouped, failed, parts: chunks.length };
}

/** Makes the new groups of symbols whose recent bars are enough, as the part `index` of the rows. */
export async function collectRecent(
  symbols: readonly BronzeSymbol[],
  { bars, symbols: places }: RecentBars,
  { index, intervals, ids, rows }: Pick<CollectOptions, 'intervals' | 'ids' | 'rows'> & { readonly index: number },
): Promise<readonly GroupedSymbol[]> {
  const firsts = intervals.map(() => new Int32Array(symbols.length));
  const ends = Int32Array.from(symbols, ({ symbol }) => places.get(symbol)!.to);
  const grouped = symbols.map(({ symbol, entry }, i): GroupedSymbol => {
    const { rows: count, firstSession, lastSession, digest, appendedTo } = entry!;
    const since = intervals.map(({ interval, known }, k) => {
      const before = known.get(symbol)!.rows;
      if (before === count) firsts[k]![i] = ends[i]!;
      else firsts[k]![i] = ends[i]! - (count - (before - (before % interval)));
      return before === count ? NO_SESSION : bars.session[firsts[k]![i]!]!;
    });
    return { id: ids.get(symbol)!, rows: count, firstSession, lastSession, digest, appendedTo, since };
  });
  const made = makeGroups(
    bars,
    { from: firsts, to: ends },
    intervals.map(({ interval }) => interval),
  );
  await rows.add(
    index,
    sortGroups(
      made,
      Int32Array.from(grouped, ({ id }) => id),
    ),
  );
  return grouped;
}

/** Histories in figures. */
export function summarize(histories: Iterable<HistoryState>): {
  readonly bars: number;
  readonly firstDate: string | null;
  readonly lastDate: string | null;
} {
  let [bars, first, last] = [0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { rows, firstSession, lastSession } of histories) {
    bars += rows;
    first = Math.min(first, firstSession);
    last = Math.max(last, lastSession);
  }
  if (bars === 0) return { bars, firstDate: null, lastDate: null };
  return { bars, firstDate: formatSession(first), lastDate: formatSession(last) };
}

function* chunksOf<T extends { readonly size: number }>(symbols: readonly T[]): Generator<readonly T[]> {
  let [chunk, bytes]: [T[], number] = [[], 0];
  for (const symbol of symbols) {
    chunk.push(symbol);
    bytes += symbol.size;
    if (bytes < CHUNK_BYTES && chunk.length < CHUNK_SYMBOLS) continue;
    yield chunk;
    [chunk, bytes] = [[], 0];
  }
  if (chunk.length > 0) yield chunk;
}

/** Bodies end to end, in memory that all threads see; body i from `starts[i]` to `starts[i + 1]`. */
function pack(bodies: readonly (Uint8Array | undefined)[], spare: SharedArrayBuffer | undefined) {
  const starts = [0];
  for (const body of bodies) starts.push(starts.at(-1)! + (body?.length ?? 0));
  const length = starts.at(-1)!;
  const bytes = spare && spare.byteLength >= length ? spare : new SharedArrayBuffer(Math.ceil(length * SPARE));
  const all = new Uint8Array(bytes);
  bodies.forEach((body, i) => {
    if (!body) return;
    all.set(body, starts[i]);
    release(body);
  });
  return { bytes, starts };
}
