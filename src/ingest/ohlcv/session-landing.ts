import { randomUUID } from 'node:crypto';
import { BatchLayerError } from '../../errors.ts';
import { filterSession } from '../../lake/session-file.ts';
import { claimSessions, commitSessions, type Landed } from '../../lake/session-ledger.ts';
import type { ObjectStore } from '../../lake/store.ts';
import type { Watermark } from '../../lake/watermarks.ts';
import type { FailedSymbol } from '../../progress.ts';
import { formatSession } from '../../session.ts';
import { type FetchCall, writeToSink } from './fetch-call.ts';
import type { Landing } from './land-sessions.ts';
import { missingSession } from './missing-bars.ts';
import type { SessionAnswer } from './session-answer.ts';

export interface LandingOptions extends Omit<FetchCall, 'calendar' | 'force' | 'onProgress'> {
  /** The last session of which bronze has a symbol's bar, as far as is known. */
  readonly known: ReadonlyMap<string, number>;
  /** Whether the bars of a session are no longer corrected. */
  readonly settled: (session: number) => boolean;
}

/** Brings answers into bronze and tells of it, in the order that loses nothing. */
export interface SessionLanding {
  /** @param bring writes the bars of all these answers to bronze */
  land(answers: readonly SessionAnswer[], bring: () => Promise<Landing>): Promise<void>;
  /** Brings the watermarks up to what is in bronze: also to what a run before brought there and did not tell. */
  finish(): Promise<void>;
  readonly counts: { stored: number; unchanged: number };
}

export function openLanding(
  store: ObjectStore,
  { sink, databaseFailures, watermarks, known, settled, missing, now, signal }: LandingOptions,
): SessionLanding {
  const run = randomUUID();
  const lastBars = new Map(known);
  const counts = { stored: 0, unchanged: 0 };

  const advance = (answers: readonly SessionAnswer[], failed: readonly FailedSymbol[]): void => {
    const lost = new Set(failed.map(({ symbol }) => symbol));
    for (const { news } of answers) {
      for (const symbol of news?.symbols ?? []) {
        if (!lost.has(symbol)) lastBars.set(symbol, Math.max(news!.session, lastBars.get(symbol) ?? -1));
      }
    }
  };

  return {
    counts,
    async land(answers, bring) {
      const sessions = answers.map(({ session }) => session);
      const claimed = await claimSessions(store, run, sessions, { now, signal });
      const { stored, unchanged, failed } = await bring();
      counts.stored += stored;
      counts.unchanged += unchanged;
      const date = sessions.length === 1 ? formatSession(sessions[0]!) : null;
      for (const symbol of failed) missing.add({ date, ...symbol });
      const lost = new Set(failed.map(({ symbol }) => symbol));
      for (const { session, news } of answers) {
        // What bronze has not, the database does not get either.
        const rows = news && lost.size > 0 ? filterSession(news, (symbol) => !lost.has(symbol)) : news;
        if (rows) await writeToSink({ sink, databaseFailures, signal }, formatSession(session), rows);
      }
      // Commit point: from here on these bars are not asked for again.
      const landed = answers.map((answer) => landedOf(answer, failed));
      const contested = await commitSessions(store, run, landed, { claimed, settled, now, signal });
      for (const session of contested) missing.add(missingSession(session, metAnotherRun(session)));
      advance(answers, failed);
    },
    finish: () =>
      watermarks.advance(
        [...lastBars].map(([symbol, session]) => markOf(symbol, session)),
        { signal },
      ),
  };
}

function landedOf(
  { session, source, askedAt, digest, rows, missing, news }: SessionAnswer,
  failed: readonly FailedSymbol[],
): Landed {
  const symbols = new Set(news?.symbols);
  const lost = failed.flatMap(({ symbol }) => (symbols.has(symbol) ? [symbol] : []));
  return { session, source, askedAt, digest, rows, missing: [...new Set([...missing, ...lost])] };
}

function markOf(symbol: string, lastSession: number): Watermark {
  return { symbol, lastSession, checkedFrom: -1, checkedThrough: -1 };
}

function metAnotherRun(session: number): BatchLayerError {
  const message = 'another run brought in bars of it at the same time; the next run compares them again';
  return new BatchLayerError('Conflict', `${formatSession(session)}: ${message}`);
}
