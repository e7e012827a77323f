import { allocateBars } from '../../bars.ts';
import { hasCode } from '../../errors.ts';
import { readManifest } from '../../lake/manifest.ts';
import { mapAll, settleAll } from '../../lake/map-all.ts';
import { readRecentBars } from '../../lake/recent-bars.ts';
import { listSessionFiles, readSessionFile } from '../../lake/session-file.ts';
import { isLanded, readSessionLedger } from '../../lake/session-ledger.ts';
import type { ObjectStore, StoreCall } from '../../lake/store.ts';
import { listFiles } from '../../lake/symbol-files.ts';
import { type BronzeIndex, createBarFinder, createSessionFinder } from './bar-finder.ts';
import type { KnownSessions } from './plan-sessions.ts';

/** What the lake has, as far as it matters to which sessions to fetch. */
export interface Survey extends KnownSessions, BronzeIndex {
  /** Of sessions that have landed: the last one of which bronze has a symbol's bar. */
  readonly lastBars: ReadonlyMap<string, number>;
}

const CONCURRENT_READS = 4;

/** What is known where nothing could be found out. */
export const NOTHING_KNOWN: Survey = {
  ledger: new Map(),
  stored: new Map(),
  gone: new Map(),
  hasBars: () => true,
  lastBars: new Map(),
  files: new Map(),
  manifest: { entries: new Map(), etag: undefined },
  recent: { bars: allocateBars(0), symbols: new Map(), etag: undefined },
};

/**
 * Looks at bronze, in one listing and three reads, and at the session files of the window: what of them is not in bronze?
 *
 * @param window sessions, ascending
 */
export async function surveySessions(store: ObjectStore, window: readonly number[], call: StoreCall): Promise<Survey> {
  const [from, to] = [window[0]!, window.at(-1)!];
  const [ledger, stored, manifest, recent, files] = await settleAll([
    readSessionLedger(store, call),
    listSessionFiles(store, { from, to, ...call }),
    readManifest(store, call),
    readRecentBars(store, call),
    listFiles(store, call),
  ]);
  const hasBar = createBarFinder({ files, manifest, recent });
  const gone = new Map<number, readonly string[]>();
  const lastBars = new Map<string, number>();
  const unreadable = new Set<number>();
  const findGone = async (session: number): Promise<void> => {
    const entry = ledger.get(session);
    if (!isLanded(entry)) return;
    const symbols = await readSymbols(store, session, entry.digest, call);
    // An answer that cannot be read tells nothing: the session is asked for again, as if it had not landed.
    if (symbols === undefined) {
      unreadable.add(session);
      return;
    }
    const absent: string[] = [];
    for (const symbol of symbols) {
      if (!hasBar(symbol, session)) absent.push(symbol);
      else if (session > (lastBars.get(symbol) ?? -1)) lastBars.set(symbol, session);
    }
    gone.set(session, absent);
  };
  await mapAll(window, findGone, { concurrency: CONCURRENT_READS, signal: call.signal });
  const known = new Map(ledger);
  for (const session of unreadable) {
    known.set(session, { ...ledger.get(session)!, digest: '' });
    stored.delete(session);
  }
  const hasBars = createSessionFinder({ files, manifest, recent });
  return { hasBars, ledger: known, stored, gone, lastBars, files, manifest, recent };
}

async function readSymbols(
  store: ObjectStore,
  session: number,
  digest: string,
  call: StoreCall,
): Promise<readonly string[] | undefined> {
  try {
    return (await readSessionFile(store, session, digest, call)).symbols;
  } catch (error) {
    if (!hasCode(error, 'NotFound', 'CorruptObject')) throw error;
    return undefined;
  }
}
