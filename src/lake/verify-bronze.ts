import type { Bars } from '../bars.ts';
import { BatchLayerError } from '../errors.ts';
import type { OnProgress } from '../progress.ts';
import { formatSession } from '../session.ts';
import { type Consolidated, isApplied, readConsolidated } from './consolidated.ts';
import { readDaily } from './daily-file.ts';
import { appendedTo } from './history.ts';
import { CLEANUP_PREFIX, dataKey, MANIFEST_KEY, RECENT_BARS_KEY } from './keys.ts';
import { fingerprintDaily, type Manifest, type ManifestEntry, readManifest, updateManifest } from './manifest.ts';
import { mapAll } from './map-all.ts';
import { decodeTable } from './parquet-decode.ts';
import { copyRecent, isEndOf, type RecentBars, readRecentBars, updateRecentBars } from './recent-bars.ts';
import type { ObjectStore, StoreCall } from './store.ts';
import { listSymbols, type SymbolFiles } from './symbol-files.ts';
import { CLEANUP_SCHEMA } from './vacuum.ts';

/**
 * What can be wrong with a lake.
 *
 * - `corrupt`: an object cannot be read, its digest is another, its bars are out of order, or not those its key names.
 * - `stray`: an object in bronze or silver that no key of the layout names; readers that take all files would take it too.
 * - `manifest`: the consolidation manifest, or the recent bars, do not say what the objects say.
 * - `checkpoint`: an interval's checkpoint is damaged, or does not name the month files there are.
 * - `silver`: a month file does not hold the groups that bronze makes: run `resample`.
 */
export type ProblemKind = 'corrupt' | 'stray' | 'manifest' | 'checkpoint' | 'silver';

/** Something wrong with one object of a lake. */
export interface LakeProblem {
  readonly kind: ProblemKind;
  readonly key: string;
  readonly message: string;
}

/** What the manifest and the recent bars should say of a symbol. */
export interface BronzeEntry extends ManifestEntry {
  readonly recent: Bars;
}

export interface BronzeCheck {
  readonly symbols: number;
  readonly bars: number;
  readonly dailyFiles: number;
  /** Daily files that no `data.parquet` has applied yet. */
  readonly pending: number;
  readonly problems: readonly LakeProblem[];
  /** Symbols whose `data.parquet` cannot be read. */
  readonly damaged: readonly string[];
  /** Of the symbols that are sound. */
  readonly entries: readonly BronzeEntry[];
}

const CONCURRENT_FILES = 8;

/**
 * Reads every object of bronze and checks it: digests, order, duplicates, that each is what its key names, that what is
 * recorded as applied is among the bars, and that the manifest and the recent bars say the same.
 */
export async function verifyBronze(
  store: ObjectStore,
  {
    maxWorkers,
    onProgress,
    signal,
  }: StoreCall & { readonly maxWorkers: number; readonly onProgress?: OnProgress | undefined },
): Promise<BronzeCheck> {
  const problems: LakeProblem[] = [];
  const entries: BronzeEntry[] = [];
  const damaged: string[] = [];
  const counts = { symbols: 0, bars: 0, dailyFiles: 0, pending: 0 };
  const check = async <T>(key: string, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof BatchLayerError) || error.code === 'Unavailable') throw error;
      problems.push({ kind: 'corrupt', key, message: error.message });
      return undefined;
    }
  };

  const verifySymbol = async ({ symbol, data, daily }: SymbolFiles): Promise<void> => {
    const key = dataKey(symbol);
    const found = data && (await check(key, () => readConsolidated(store, symbol, { signal })));
    const verifyDaily = async (file: SymbolFiles['daily'][number]): Promise<void> => {
      const read = await check(file.key, () => readDaily(store, symbol, file, { signal }));
      if (read && !isApplied(found?.applied.get(file.session), read)) counts.pending++;
    };
    await mapAll(daily, verifyDaily, { concurrency: CONCURRENT_FILES, signal });
    if (data && !found) damaged.push(symbol);
    counts.symbols++;
    counts.dailyFiles += daily.length;
    if (found) {
      counts.bars += found.bars.session.length;
      problems.push(...checkApplied(key, found));
      entries.push(entryOf(symbol, found, daily));
    }
    onProgress?.({ step: 'bronze', done: counts.symbols });
  };
  const onStray = (key: string): void => {
    problems.push({ kind: 'stray', key, message: `${key}: is no key of bronze; move it elsewhere` });
  };
  await mapAll(listSymbols(store, { signal, onStray }), verifySymbol, { concurrency: maxWorkers, signal });
  for await (const { key } of store.list(CLEANUP_PREFIX, { signal })) {
    await check(key, async () => decodeTable(CLEANUP_SCHEMA, (await store.get(key, { signal })).body, key));
  }
  problems.push(...compareManifest(await readManifest(store, { signal }), entries));
  problems.push(...compareRecent(await readRecentBars(store, { signal }), entries));
  return { ...counts, problems, damaged, entries };
}

/** Makes the manifest and the recent bars say what the objects were found to say. */
export async function rebuildManifest(
  store: ObjectStore,
  entries: readonly BronzeEntry[],
  { now, signal }: StoreCall & { readonly now: number },
): Promise<void> {
  const found = new Set(entries.map(({ symbol }) => symbol));
  const isKept = (symbol: string): boolean => found.has(symbol);
  const recent = entries.map(({ symbol, digest, recent }) => ({ symbol, digest, bars: recent }));
  await updateRecentBars(store, recent, { isKept, signal });
  const dated = entries.map((entry) => ({ ...entry, updatedAt: now }));
  await updateManifest(store, dated, { isKept, signal });
}

function checkApplied(key: string, { bars, applied }: Consolidated): LakeProblem[] {
  const sessions = new Set(bars.session);
  const missing = [...applied.keys()].filter((session) => !sessions.has(session));
  if (missing.length === 0) return [];
  const dates = missing.map(formatSession).join(', ');
  return [{ kind: 'corrupt', key, message: `${key}: has no bars of ${dates}, whose daily files it has applied` }];
}

function entryOf(
  symbol: string,
  { bars, applied, changes, digest, etag }: Consolidated & { readonly digest: string; readonly etag: string },
  daily: SymbolFiles['daily'],
): BronzeEntry {
  const isApplied = daily.every((file) => applied.get(file.session)?.etag === file.etag);
  return {
    symbol,
    digest,
    etag,
    appendedTo: appendedTo(changes, bars.session),
    recent: copyRecent(bars),
    firstSession: bars.session[0] ?? 0,
    lastSession: bars.session.at(-1) ?? 0,
    rows: bars.session.length,
    // Of files that wait to be applied there is none, so that the next consolidation looks at them.
    dailyFingerprint: isApplied ? fingerprintDaily(daily) : '',
    updatedAt: 0,
  };
}

function compareManifest(manifest: Manifest, entries: readonly ManifestEntry[]): LakeProblem[] {
  const problem = (message: string): LakeProblem => ({ kind: 'manifest', key: MANIFEST_KEY, message });
  if (manifest.damage) return [problem(manifest.damage)];
  const found = new Map(entries.map((entry) => [entry.symbol, entry]));
  const problems: LakeProblem[] = [];
  for (const entry of entries) {
    const said = manifest.entries.get(entry.symbol);
    const wrong = said && COMPARED.filter((name) => String(said[name]) !== String(entry[name]));
    if (!said) problems.push(problem(`${MANIFEST_KEY}: does not know ${entry.symbol}`));
    else if (wrong && wrong.length > 0) {
      const expected = wrong.map((name) => `${name} ${said[name]} (expected ${entry[name]})`).join(', ');
      problems.push(problem(`${MANIFEST_KEY}: says of ${entry.symbol}: ${expected}`));
    }
  }
  for (const symbol of manifest.entries.keys()) {
    if (!found.has(symbol)) problems.push(problem(`${MANIFEST_KEY}: knows ${symbol}, which has no sound data.parquet`));
  }
  return problems;
}

/** Rows of another version are only behind, and those of symbols that are gone only too many. */
function compareRecent({ bars, symbols, damage }: RecentBars, entries: readonly BronzeEntry[]): LakeProblem[] {
  const problem = (message: string): LakeProblem => ({ kind: 'manifest', key: RECENT_BARS_KEY, message });
  if (damage) return [problem(damage)];
  return entries.flatMap(({ symbol, digest, recent }) => {
    const rows = symbols.get(symbol);
    if (rows?.digest !== digest || isEndOf({ ...rows, bars }, recent)) return [];
    return [problem(`${RECENT_BARS_KEY}: its bars of ${symbol} are not the last of its data.parquet`)];
  });
}

// Not the etag: of a copied lake it is another, of the same content.
const COMPARED = ['rows', 'firstSession', 'lastSession', 'digest', 'appendedTo'] as const;
