import { sameBar } from '../bars.ts';
import { BatchLayerError, hasCode } from '../errors.ts';
import {
  encodeSession,
  filterSession,
  pickSymbols,
  putSessionFile,
  readSessionFile,
  type SessionBars,
} from '../lake/session-file.ts';
import type { ObjectStore, StoreCall } from '../lake/store.ts';
import { formatSession } from '../session.ts';
import type { BarSource } from './bar-source.ts';
import type { PlannedSession } from './plan-sessions.ts';
import type { FetchedSession } from './session-bars.ts';

/** What a session has come to: a source's answer that is kept in the lake, and what of it is news. */
export interface SessionAnswer {
  readonly planned: PlannedSession;
  readonly fetched: FetchedSession | undefined;
  readonly digest: string;
  /** Bars of the answer. */
  readonly rows: number;
  /** Symbols that a row came of, but no bar. */
  readonly missing: readonly string[];
  /** The bars to bring into bronze; `undefined`: everything is there, and known to be. */
  readonly news: SessionBars | undefined;
}

/** Gets the answer a plan asks for, and keeps it before anything is made of it. */
export async function getAnswer(
  store: ObjectStore,
  source: BarSource,
  planned: PlannedSession,
  call: StoreCall & { readonly mayBeEmpty: boolean },
): Promise<SessionAnswer> {
  if (planned.action === 'restore') {
    const restored = await restore(store, planned, call);
    if (restored) return restored;
  }
  const fetched = await source.fetchSession(planned.session, call);
  checkHasBars(fetched, source);
  const file = encodeSession(fetched);
  const answer = { planned, fetched, digest: file.digest, rows: fetched.symbols.length, missing: fetched.missing };
  const { absent } = planned;
  const isSame = absent !== undefined && file.digest === planned.digest;
  const hasAbsent = new Set(absent);
  if (isSame && !fetched.symbols.some((symbol) => hasAbsent.has(symbol))) return { ...answer, news: undefined };
  // That there are no bars at all is not believed at once.
  if (answer.rows > 0) await putSessionFile(store, planned.session, file, call);
  if (absent === undefined) return { ...answer, news: fetched };
  const before = await readSessionFile(store, planned.session, planned.digest!, call);
  return { ...answer, news: differences(fetched, before, hasAbsent) };
}

/** @throws BatchLayerError `Unavailable` where rows came and none is a bar: that is a source out of order, no day without trading */
function checkHasBars({ session, symbols, rows, quarantined }: FetchedSession, { name }: BarSource): void {
  const [first] = quarantined;
  if (symbols.length > 0 || first === undefined) return;
  const what = `${formatSession(session)}: none of ${rows} rows of ${name} is a bar`;
  throw new BatchLayerError('Unavailable', `${what}: the first is ${first.fault}: ${first.message}; try again later`);
}

/** Keeps the answer that a session has no bars. */
export async function keepEmpty(
  store: ObjectStore,
  { planned, fetched }: SessionAnswer,
  call: StoreCall,
): Promise<void> {
  if (fetched) await putSessionFile(store, planned.session, encodeSession(fetched), call);
}

async function restore(
  store: ObjectStore,
  planned: PlannedSession,
  call: StoreCall,
): Promise<SessionAnswer | undefined> {
  const { session, digest, absent } = planned;
  try {
    const file = await readSessionFile(store, session, digest!, call);
    const news = absent === undefined ? file : pickSymbols(file, new Set(absent));
    return { planned, fetched: undefined, digest: digest!, rows: file.symbols.length, missing: file.missing, news };
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
