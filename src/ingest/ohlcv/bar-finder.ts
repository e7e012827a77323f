import type { Manifest } from '../../lake/manifest.ts';
import type { RecentBars } from '../../lake/recent-bars.ts';
import type { DailyFile, SymbolFiles } from '../../lake/symbol-files.ts';
import { lowerBound } from '../../lower-bound.ts';

/** What a listing of bronze, and its indexes, tell of which bars there are. */
export interface BronzeIndex {
  readonly files: ReadonlyMap<string, SymbolFiles>;
  readonly manifest: Manifest;
  readonly recent: RecentBars;
}

/**
 * Tells whether bronze has a symbol's bar of a session, without reading it: there is a daily file, or `data.parquet` has the
 * session. Of the last 64 sessions of a symbol that is certain; an older one counts as there from the first on, and where the
 * indexes are behind their file everything does. Pure.
 */
export function createBarFinder({
  files,
  manifest,
  recent,
}: BronzeIndex): (symbol: string, session: number) => boolean {
  return (symbol, session) => {
    const found = files.get(symbol);
    if (found === undefined) return false;
    if (hasDaily(found.daily, session)) return true;
    if (found.data === undefined) return false;
    const entry = manifest.entries.get(symbol);
    if (entry?.etag !== found.data.etag) return true;
    if (session < entry.firstSession || session > entry.lastSession) return false;
    const rows = recent.symbols.get(symbol);
    if (rows?.digest !== entry.digest) return true;
    const ends = recent.bars.session.subarray(rows.from, rows.to);
    return session < ends[0]! || ends[lowerBound(ends, session)] === session;
  };
}

function hasDaily(daily: readonly DailyFile[], session: number): boolean {
  // The newest come last, and are asked for most.
  return daily.findLast((file) => file.session <= session)?.session === session;
}

/** Tells whether bronze has bars of a session, of whatever symbol: certainly where it says no. Pure. */
export function createSessionFinder({ files, manifest, recent }: BronzeIndex): (session: number) => boolean {
  const found = new Set(recent.bars.session);
  for (const { daily } of files.values()) for (const { session } of daily) found.add(session);
  // What came before the recent bars: between the first session of a symbol and them.
  let [first, last] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { symbol, data } of files.values()) {
    if (data === undefined) continue;
    const entry = manifest.entries.get(symbol);
    const rows = recent.symbols.get(symbol);
    const isKnown = entry?.etag === data.etag && rows?.digest === entry.digest;
    // The recent bars of a short history are all of it.
    if (isKnown && entry.rows === rows.to - rows.from) continue;
    first = Math.min(first, isKnown ? entry.firstSession : Number.NEGATIVE_INFINITY);
    last = Math.max(last, isKnown ? recent.bars.session[rows.from]! : Number.POSITIVE_INFINITY);
  }
  return (session) => found.has(session) || (first <= session && session <= last);
}
