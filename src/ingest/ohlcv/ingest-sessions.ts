import { BatchLayerError, hasCode, messageOf } from '../../errors.ts';
import type { ObjectStore } from '../../lake/store.ts';
import type { OnProgress } from '../../progress.ts';
import { formatSession } from '../../session.ts';
import type { BarSource } from './bar-source.ts';
import { fetchAhead } from './fetch-ahead.ts';
import type { BarCounts, FetchCall } from './fetch-call.ts';
import { landBulk, landDaily } from './land-sessions.ts';
import { type MissingBars, missingRow, missingSession } from './missing-bars.ts';
import { type PlannedSession, planSessions } from './plan-sessions.ts';
import { putQuarantine } from './quarantine.ts';
import { getAnswer, keepEmpty, type SessionAnswer } from './session-answer.ts';
import { openLanding } from './session-landing.ts';
import { chooseWindow, notOver, type WindowOptions } from './session-window.ts';
import { missesBar } from './source-row.ts';
import { NOTHING_KNOWN, type Survey, surveySessions } from './survey-sessions.ts';

export interface IngestSessionsOptions extends FetchCall, WindowOptions {}

export interface SessionsResult extends BarCounts {
  /** The sessions that were looked at: first, last, and how many; `null` where there is none. */
  readonly firstDate: string | null;
  readonly lastDate: string | null;
  readonly sessions: number;
  /** Those that the source was asked for, that came from its earlier answers, and that needed nothing. */
  readonly sessionsFetched: number;
  readonly sessionsRestored: number;
  readonly sessionsKnown: number;
  /** Those that could not be had. */
  readonly sessionsMissing: number;
  /** Sessions of the calendar that turned out to have no bars. */
  readonly sessionsEmpty: readonly string[];
  /** Why it could not be found out what bronze has, so that only the last closed session was asked for. */
  readonly fallback: string | null;
}

/** So many new sessions are cheaper merged into `data.parquet` at once than as files of their own, to be merged later. */
const BULK_SESSIONS = 5;
/** Rows of new sessions that wait in memory: 136 MB. */
const MAX_WAITING_ROWS = 2_000_000;
const SESSIONS_AHEAD = 3;
/** The exchange has never been closed for more sessions than these without telling before. */
const MAX_EMPTY = 4;

/**
 * Brings the sessions of a window that bronze has not, or may have otherwise by now, from a source into bronze.
 *
 * An answer is kept in the lake before anything is made of it; then its bars go to bronze, to the database, and only then the
 * ledger and the watermarks tell of it. A session or symbol that fails is told, and found again by the next run.
 *
 * @throws BatchLayerError `BadInput`, such as a wrong key; and what the store throws where it does not answer
 */
export async function ingestSessions(
  store: ObjectStore,
  source: BarSource,
  options: IngestSessionsOptions,
): Promise<SessionsResult & { readonly survey: Survey; readonly window: readonly number[] }> {
  const { calendar, force = false, missing, now, onProgress, signal } = options;
  const { sessions, notClosed, lastClosed, correctable, isFinal } = chooseWindow(calendar, now(), options);
  for (const session of notClosed) missing.add(missingSession(session, notOver(calendar, session)));
  const { survey, fallback } = await surveyOrFallBack(store, sessions, signal);
  const window = fallback === null ? sessions : fallbackWindow(sessions, lastClosed, options);
  const planned = planSessions(window, survey, { source: source.name, correctable, isFinal, force });
  const isBulk = planned.filter(({ landed }) => landed === undefined).length >= BULK_SESSIONS;
  const { sink, databaseFailures, watermarks } = options;
  const { lastBars: known } = survey;
  const settled = (session: number) => !correctable.has(session);
  const landing = openLanding(store, {
    sink,
    databaseFailures,
    watermarks,
    known,
    settled,
    missing,
    now,
    signal,
  });
  const counts = {
    sessionsFetched: 0,
    sessionsRestored: 0,
    sessionsMissing: 0,
    fetched: 0,
    skipped: 0,
    quarantined: 0,
  };
  const quarantine = new Set<string>();
  const empty: SessionAnswer[] = [];
  const sessionsEmpty: string[] = [];

  const getOne = async (one: PlannedSession): Promise<SessionAnswer | MissingBars> => {
    try {
      return await getAnswer(store, source, one, { correctable, isFinal, now, signal });
    } catch (error) {
      signal?.throwIfAborted();
      // Only what is about this session: a wrong key, or a defect, is no matter of sessions.
      if (!hasCode(error, 'Unavailable', 'NotEntitled', 'NotFound', 'CorruptObject')) throw error;
      return missingSession(one.session, error);
    }
  };

  const countAnswer = async ({ session, fetched, rows, news }: SessionAnswer): Promise<void> => {
    counts[fetched ? 'sessionsFetched' : 'sessionsRestored']++;
    landing.counts.unchanged += rows - (news?.symbols.length ?? 0);
    if (!fetched) return;
    counts.fetched += fetched.rows;
    counts.skipped += fetched.skipped;
    counts.quarantined += fetched.quarantined.length;
    const absent = new Set(fetched.missing);
    for (const row of fetched.quarantined) {
      if (missesBar(row) && absent.delete(row.row.symbol as string)) missing.add(missingRow(row));
    }
    const rowsAside = { source: source.name, rows: fetched.quarantined, signal };
    const key = await putQuarantine(store, `date=${formatSession(session)}`, rowsAside);
    if (key) quarantine.add(key);
  };

  const waiting: SessionAnswer[] = [];
  let waitingRows = 0;
  const landWaiting = async (): Promise<void> => {
    if (waiting.length === 0) return;
    const answers = waiting.splice(0);
    waitingRows = 0;
    const news = answers.map((answer) => answer.news!);
    const total = new Set(news.flatMap(({ symbols }) => symbols)).size;
    const onSymbol = countUp(onProgress, 'land', total);
    await landing.land(answers, () => landBulk(store, news, { now, signal, onSymbol }));
  };

  let done = 0;
  for await (const answer of fetchAhead(planned, getOne, { ahead: SESSIONS_AHEAD })) {
    onProgress?.({ step: 'fetch', done: ++done, total: planned.length });
    if ('code' in answer) {
      counts.sessionsMissing++;
      missing.add(answer);
      continue;
    }
    if (answer.rows === 0 && answer.fetched) {
      empty.push(answer);
      continue;
    }
    await countAnswer(answer);
    const { news, planned: one } = answer;
    if (!news) continue;
    if (one.isUncertain || (isBulk && one.landed === undefined)) {
      waiting.push(answer);
      waitingRows += news.symbols.length;
      if (waitingRows >= MAX_WAITING_ROWS) await landWaiting();
    } else {
      const onSymbol = countUp(onProgress, 'land', news.symbols.length);
      await landing.land([answer], () => landDaily(store, news, { now, signal, onSymbol }));
    }
  }
  await landWaiting();
  for (const answer of empty) {
    const { session } = answer;
    if (empty.length > MAX_EMPTY || hadBars(survey, session)) {
      counts.sessionsMissing++;
      missing.add(missingSession(session, doubtful(session, empty.length)));
      continue;
    }
    await countAnswer(answer);
    sessionsEmpty.push(formatSession(session));
    await keepEmpty(store, answer, { signal });
    await landing.land([answer], async () => ({ stored: 0, unchanged: 0, failed: [] }));
  }
  await landing.finish();
  const [first, last] = [window[0], window.at(-1)];
  return {
    firstDate: first === undefined ? null : formatSession(first),
    lastDate: last === undefined ? null : formatSession(last),
    sessions: window.length,
    sessionsKnown: window.length - planned.length,
    ...counts,
    ...landing.counts,
    sessionsEmpty,
    quarantine: [...quarantine],
    fallback,
    survey,
    window,
  };
}

async function surveyOrFallBack(
  store: ObjectStore,
  window: readonly number[],
  signal: AbortSignal | undefined,
): Promise<{ readonly survey: Survey; readonly fallback: string | null }> {
  if (window.length === 0) return { survey: NOTHING_KNOWN, fallback: null };
  try {
    return { survey: await surveySessions(store, window, { signal }), fallback: null };
  } catch (error) {
    signal?.throwIfAborted();
    if (hasCode(error, 'BadInput')) throw error;
    return { survey: NOTHING_KNOWN, fallback: messageOf(error) };
  }
}

function countUp(onProgress: OnProgress | undefined, step: string, total: number): () => void {
  let done = 0;
  return () => onProgress?.({ step, done: ++done, total });
}

/** What is asked for where it could not be found out what bronze has: what was asked for by date, else the last session. */
function fallbackWindow(
  sessions: readonly number[],
  lastClosed: number,
  { from, to }: WindowOptions,
): readonly number[] {
  if (from !== undefined) return sessions;
  return to === undefined ? [lastClosed] : sessions.slice(-1);
}

/** Whether bronze has, or may have, bars of a session: then there was trading, whatever a source says now. */
function hadBars({ ledger, hasBars }: Survey, session: number): boolean {
  return (ledger.get(session)?.rows ?? 0) > 0 || hasBars(session);
}

function doubtful(session: number, count: number): BatchLayerError {
  const which =
    count > MAX_EMPTY ? `no bars of it, nor of ${count - 1} others` : 'no bars of it, and the lake may have some';
  const advice = 'it may be out of order, or not reach back so far; try again later';
  return new BatchLayerError('Unavailable', `${formatSession(session)}: the source has ${which}: ${advice}`);
}
