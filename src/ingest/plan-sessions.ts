import { isLanded, type LedgerEntry, type SessionLedger } from '../lake/session-ledger.ts';

/** What is known of the sessions a run is about. */
export interface KnownSessions {
  readonly ledger: SessionLedger;
  /** Digests of the session files there are. */
  readonly stored: ReadonlyMap<number, readonly string[]>;
  /** Of sessions that have landed: symbols whose bars are in the session file and no longer in bronze. */
  readonly gone: ReadonlyMap<number, readonly string[]>;
  /** Whether bronze has, or may have, bars of a session. */
  readonly hasBars: (session: number) => boolean;
}

/** A session that has something to be done. */
export interface PlannedSession {
  readonly session: number;
  /** `fetch`: ask the source. `restore`: its answer is in the lake already. */
  readonly action: 'fetch' | 'restore';
  /** The answer to restore from, or the last one that has landed, to compare with. */
  readonly digest: string | undefined;
  /** The last answer is in bronze, but for these symbols; `undefined`: nothing is known to be there. */
  readonly absent: readonly string[] | undefined;
  /**
   * Somebody has brought bars of it to bronze, and nothing tells which. A daily file with the right bar says little then, as
   * another one may have been put over it in `data.parquet`: the bars have to be merged there.
   */
  readonly isUncertain: boolean;
}

/**
 * What a run has to do for each session, ascending. Pure.
 *
 * A session is asked for where no answer of it has landed, where symbols were missing, where bars may still be corrected, and
 * where it is forced. One whose answer is in the lake needs no call: bars that are not in bronze come from there.
 *
 * @param window the sessions to look at
 * @param options `source` is asked; `correctable` are sessions whose bars may still be corrected
 */
export function planSessions(
  window: readonly number[],
  { ledger, stored, gone, hasBars }: KnownSessions,
  {
    source,
    correctable,
    force,
  }: { readonly source: string; readonly correctable: ReadonlySet<number>; readonly force: boolean },
): PlannedSession[] {
  return window.flatMap((session): PlannedSession[] => {
    const entry = ledger.get(session);
    const anew = { session, digest: undefined, absent: undefined };
    if (force) return [{ ...anew, action: 'fetch', isUncertain: true }];
    if (!isLanded(entry)) {
      const [digest, ...others] = stored.get(session) ?? [];
      const isKnown = digest !== undefined && others.length === 0 && !correctable.has(session);
      const isUncertain = entry !== undefined || hasBars(session);
      return [
        isKnown ? { ...anew, action: 'restore', digest, isUncertain } : { ...anew, action: 'fetch', isUncertain },
      ];
    }
    // What another source has may be less than this one's, or more: one that is complete is not played off against it.
    const isOwn = entry.source === source;
    const missing = isOwn ? entry.missing : [];
    return planLanded({ ...entry, missing }, gone.get(session) ?? [], isOwn && correctable.has(session));
  });
}

function planLanded(
  { session, digest, missing }: LedgerEntry,
  gone: readonly string[],
  isCorrectable: boolean,
): PlannedSession[] {
  const absent = [...new Set([...missing, ...gone])];
  const known = { session, digest, absent, isUncertain: false };
  if (isCorrectable || missing.length > 0) return [{ ...known, action: 'fetch' }];
  return absent.length > 0 ? [{ ...known, action: 'restore' }] : [];
}
