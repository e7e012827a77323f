import { monthOf, parseMonth } from '../session.ts';
import { type HistoryState, isContinued } from './changed-rows.ts';
import { ALL_SESSIONS, type GroupedSymbol, NO_SESSION } from './group-symbols.ts';
import type { IntervalState } from './interval-state.ts';

/** A month file to be written, if its groups are not there already. */
export interface PlannedMonth {
  readonly month: number;
  /** All groups of the symbols that were read are made anew, else only those that changed. */
  readonly isRebuilt: boolean;
  /** Write it also where its groups are there already. */
  readonly isForced: boolean;
}

/** What a run does to an interval. */
export interface IntervalPlan {
  readonly months: readonly PlannedMonth[];
  /** Months that stay behind. */
  readonly deferred: readonly number[];
  /** By symbol number: groups from this session on are made, those before it stay; in months that are not rebuilt. */
  readonly since: Int32Array;
  /** The same in months that are. */
  readonly sinceRebuilt: Int32Array;
  /** What the groups of each symbol are made of then. */
  readonly histories: ReadonlyMap<string, HistoryState>;
}

export interface PlanInput {
  /** Index of the interval among those of the run. */
  readonly k: number;
  /** All symbols, by their number. */
  readonly names: readonly string[];
  readonly grouped: readonly GroupedSymbol[];
  /** Symbols that are no longer in bronze. */
  readonly gone: ReadonlySet<string>;
  /** Months that groups were made for. */
  readonly made: readonly number[];
  /** Months whose file is to be made of all symbols. */
  readonly rebuilt: ReadonlySet<number>;
  /** Write everything anew. */
  readonly force: boolean;
  /** Symbols that could not be read when the last commit was made can be now: any month may have groups of theirs. */
  readonly isUncertain: boolean;
  /** Months that cannot be made good in this run, of which not all symbols were read. */
  readonly behind: ReadonlySet<number>;
  /** First month that may be rewritten. */
  readonly from: number;
}

/** Months of an interval that are to be made of all symbols, and those that should be and cannot: of a run over some symbols. */
export function rebuiltMonths(
  { suspects, checkpoint }: Pick<IntervalState, 'suspects' | 'checkpoint'>,
  { isPartial, from }: { readonly isPartial: boolean; readonly from: number },
): { readonly rebuilt: ReadonlySet<number>; readonly behind: ReadonlySet<number> } {
  const wrong = [...suspects, ...checkpoint.deferred.map(parseMonth)];
  const rebuilt = new Set(isPartial ? [] : wrong.filter((month) => month >= from));
  return { rebuilt, behind: new Set(wrong.filter((month) => !rebuilt.has(month))) };
}

/** Plans what becomes of an interval: pure. */
export function planInterval(
  { checkpoint, histories, listed }: Pick<IntervalState, 'checkpoint' | 'histories' | 'listed'>,
  { k, names, grouped, gone, made, rebuilt, force, isUncertain, behind, from }: PlanInput,
): IntervalPlan {
  const since = shared(names.length).fill(NO_SESSION);
  const sinceRebuilt = shared(names.length).fill(NO_SESSION);
  const next = new Map(histories);
  const there = new Set([...listed.keys(), ...made]);
  const concerned = new Set(force || isUncertain ? there : rebuilt);
  const addRange = (first: number, last: number): void => {
    for (let month = monthOf(first); month <= monthOf(last); month++) if (there.has(month)) concerned.add(month);
  };
  const madeIsChanged = rebuilt.size === 0;
  if (madeIsChanged) for (const month of made) concerned.add(month);
  for (const { id, since: sinces, appendedTo, ...history } of grouped) {
    const symbol = names[id]!;
    const known = histories.get(symbol);
    sinceRebuilt[id] = ALL_SESSIONS;
    since[id] = sinces[k]!;
    next.set(symbol, history);
    const isAppended = known === undefined || isContinued(known, { ...history, appendedTo });
    if (since[id] === NO_SESSION || (madeIsChanged && isAppended)) continue;
    const first = Math.min(history.firstSession, known?.firstSession ?? history.firstSession);
    addRange(Math.max(since[id], first), Math.max(history.lastSession, known?.lastSession ?? history.lastSession));
  }
  names.forEach((symbol, id) => {
    if (!gone.has(symbol)) return;
    since[id] = ALL_SESSIONS;
    sinceRebuilt[id] = ALL_SESSIONS;
    const known = histories.get(symbol);
    if (!known) return;
    next.delete(symbol);
    addRange(known.firstSession, known.lastSession);
  });
  const claimed = new Set(checkpoint.writing.map(parseMonth));
  const all = [...new Set([...concerned, ...claimed])].sort((a, b) => a - b);
  // Months of a run that did not commit are written in any case: what it sent late is refused then.
  const isLeft = (month: number): boolean => month < from && !claimed.has(month);
  const months = all
    .filter((month) => !isLeft(month))
    .map((month) => ({ month, isRebuilt: force || rebuilt.has(month), isForced: force || claimed.has(month) }));
  const deferred = new Set([...behind, ...all.filter(isLeft)]);
  return { months, deferred: [...deferred].sort((a, b) => a - b), since, sinceRebuilt, histories: next };
}

function shared(length: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(length * Int32Array.BYTES_PER_ELEMENT));
}
