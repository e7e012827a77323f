import { sameBar } from '../../bars.ts';
import { BatchLayerError, hasCode } from '../../errors.ts';
import {
  encodeSession,
  filterSession,
  pickSymbols,
  putSessionFile,
  readSessionFile,
  type SessionBars,
  type SessionFile,
} from '../../lake/session-file.ts';
import type { ObjectStore, StoreCall } from '../../lake/store.ts';
import { formatSession } from '../../session.ts';
import type { BarSource } from './bar-source.ts';
import type { PlannedSession } from './plan-sessions.ts';
import type { FetchedSession } from './session-bars.ts';
import type { SessionWindow } from './session-window.ts';

/** What a session has come to: a source's answer that is kept in the lake, and what of it is news. */
export interface SessionAnswer extends Omit<SessionFile, 'symbols' | 'bars'> {
  readonly planned: PlannedSession;
  readonly fetched: FetchedSession | undefined;
  readonly digest: string;
  /** Bars of the answer. */
  readonly rows: number;
  /** The bars to bring into bronze; `undefined`: everything is there, and known to be. */
  readonly news: SessionBars | undefined;
}

export interface AnswerCall extends StoreCall, Pick<SessionWindow, 'correctable' | 'isFinal'> {
  readonly now: () => number;
}

/** Gets the answer a plan asks for, and keeps it before anything is made of it. */
export async function getAnswer(
  store: ObjectStore,
  source: BarSource,
  planned: PlannedSession,
  { correctable, isFinal, now, signal }: AnswerCall,
): Promise<SessionAnswer> {
  const { session, landed, absent } = planned;
  const restored = await restore(store, planned, { isFinal, signal });
  if (restored) return restored;
  const askedAt = now();
  const fetched = await source.fetchSession(session, { mayBeEmpty: !correctable.has(session), signal });
  checkHasBars(fetched, source);
  const { symbols, missing } = fetched;
  const file = encodeSession({ ...fetched, source: source.name, askedAt });
  const known = { planned, fetched, session, missing, source: source.name, askedAt };
  const answer = { ...known, digest: file.digest, rows: symbols.length };
  const isAbsent = new Set(absent);
  const isSame = file.digest === landed?.digest && !symbols.some((symbol) => isAbsent.has(symbol));
  // A session that is not asked for again has to have it in the ledger that this answer was the last.
  const isTold = correctable.has(session) || (landed !== undefined && isFinal(session, landed.askedAt));
  if (isSame && isTold && missing.join() === landed?.missing.join()) return { ...answer, news: undefined };
  // That there are no bars at all is not believed at once.
  if (symbols.length > 0) await putSessionFile(store, session, file, { signal });
  if (landed === undefined) return { ...answer, news: fetched };
  const before = await readSessionFile(store, session, landed.digest, { signal });
  return { ...answer, news: differences(fetched, before, isAbsent) };
}

/** @throws BatchLayerError `Unavailable` where rows came and none is a bar: that is a source out of order, no day without trading */
function checkHasBars({ session, symbols, rows, quarantined }: FetchedSession, { name }: BarSource): void {
  if (symbols.length > 0 || rows === 0) return;
  const [first] = quarantined;
  const example = first ? `; the first that is wrong is ${first.fault}: ${first.message}` : '';
  throw new BatchLayerError(
    'Unavailable',
    `${formatSession(session)}: none of ${rows} rows of ${name} is a bar of interest${example}; try again later`,
  );
}

/** Keeps the answer that a session has no bars. */
export async function keepEmpty(
  store: ObjectStore,
  { session, fetched, source, askedAt }: SessionAnswer,
  call: StoreCall,
): Promise<void> {
  if (fetched) await putSessionFile(store, session, encodeSession({ ...fetched, source, askedAt }), call);
}

async function restore(
  store: ObjectStore,
  planned: PlannedSession,
  { isFinal, signal }: Pick<AnswerCall, 'isFinal' | 'signal'>,
): Promise<SessionAnswer | undefined> {
  const { session, action, digest, landed, absent } = planned;
  if (action !== 'restore' || digest === undefined) return undefined;
  try {
    const file = await readSessionFile(store, session, digest, { signal });
    // Of an answer that has landed the ledger knows more; one that has not may have been corrected since.
    if (!landed && !isFinal(session, file.askedAt)) return undefined;
    const { missing, source, askedAt } = landed ?? file;
    const news = landed ? pickSymbols(file, new Set(absent)) : file;
    const answer = { planned, fetched: undefined, session, missing, source, askedAt };
    return { ...answer, digest, rows: file.symbols.length, news };
  } catch (error) {
    if (!hasCode(error, 'NotFound', 'CorruptObject')) throw error;
    return undefined;
  }
}

/** The bars of a session that an earlier answer has not, or has otherwise, and those of the symbols given. */
export function differences(session: SessionBars, before: SessionBars, absent: ReadonlySet<string>): SessionBars {
  const places = new Map(before.symbols.map((symbol, i) => [symbol, i]));
  return filterSession(session, (symbol, i) => {
    const at = places.get(symbol);
    return at === undefined || absent.has(symbol) || !sameBar(session.bars, i, before.bars, at);
  });
}
