import { isLanded, type LedgerEntry, type SessionLedger } from '../../lake/session-ledger.ts';
import type { SessionWindow } from './session-window.ts';

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
  /** The answer to restore from; `undefined` where there is none. */
  readonly digest: string | undefined;
  /** What is in bronze, as far as the ledger knows; `undefined` where it does not. */
  readonly landed: LedgerEntry | undefined;
  /** The symbols of that which are not there. */
  readonly absent: readonly string[];
  /**
   * Somebody has brought bars of it to bronze, and nothing tells which. A daily file with the right bar says little then, as
   * another one may have been put over it in `data.parquet`: the bars have to be merged there.
   */
  readonly isUncertain: boolean;
}

export interface PlanOptions extends Pick<SessionWindow, 'correctable' | 'isFinal'> {
  /** Name of the source that is asked. */
  readonly source: string;
  readonly force: boolean;
}

/**
 * What a run has to do for each session, ascending. Pure.
 *
 * A session is asked for where no answer of it has landed, where symbols were missing, where its bars may have been corrected
 * since it was asked for, and where it is forced. One whose answer is in the lake needs no call: bars that are not in bronze
 * come from there.
 *
 * @param window the sessions to look at
 */
export function planSessions(
  window: readonly number[],
  { ledger, stored, gone, hasBars }: KnownSessions,
  { source, correctable, isFinal, force }: PlanOptions,
): PlannedSession[] {
  return window.flatMap((session): PlannedSession[] => {
    const entry = ledger.get(session);
    const anew = { session, digest: undefined, landed: undefined, absent: [] };
    if (force) return [{ ...anew, action: 'fetch', isUncertain: true }];
    if (!isLanded(entry)) {
      const [digest, ...others] = stored.get(session) ?? [];
      const isKnown = digest !== undefined && others.length === 0 && !correctable.has(session);
      const isUncertain = entry !== undefined || hasBars(session);
      return [
        isKnown ? { ...anew, action: 'restore', digest, isUncertain } : { ...anew, action: 'fetch', isUncertain },
      ];
    }
    const lost = gone.get(session) ?? [];
    const absent = [...new Set([...entry.missing, ...lost])];
    const known = { session, digest: entry.digest, landed: entry, absent, isUncertain: false };
    // What another source has may be less than this one's, or more: one that is complete is not played off against it.
    const isOwn = entry.source === source;
    if (isOwn && (entry.missing.length > 0 || !isFinal(session, entry.askedAt))) return [{ ...known, action: 'fetch' }];
    return lost.length > 0 ? [{ ...known, action: 'restore' }] : [];
  });
}
