import { type Bars, sameBar, sliceBars } from '../bars.ts';
import { lowerBound } from '../lower-bound.ts';
import { sameBytes } from './columns.ts';

/** A write after which a history was not the same as before. */
export interface HistoryChange {
  /** Digest of the history before it. */
  readonly of: string;
  /** Bars that one had. */
  readonly rows: number;
  /** The first session that differs between the two: its bar is another one, or only one of them has it. */
  readonly from: number;
}

/** Changes that are remembered: whoever knows a history from before them reads all of it. */
export const MAX_CHANGES = 64;
const MAX_APPENDED_TO = 8;

/**
 * The changes of a history that becomes `bars`: one more, unless it stays the same.
 *
 * @param before the history until now; `undefined` = none
 */
export function recordChange(
  before: { readonly bars: Bars; readonly digest: string; readonly changes: readonly HistoryChange[] } | undefined,
  bars: Bars,
): readonly HistoryChange[] {
  if (before === undefined) return [];
  const from = firstDifference(before.bars, bars);
  if (from === undefined) return before.changes;
  return [...before.changes, { of: before.digest, rows: before.bars.session.length, from }].slice(-MAX_CHANGES);
}

/**
 * The session before which a history has the same bars as the version of it with this digest; `undefined` where that
 * version is not among those its changes name.
 */
export function changedFrom(changes: readonly HistoryChange[], digest: string): number | undefined {
  const at = changes.findLastIndex(({ of }) => of === digest);
  return at < 0 ? undefined : Math.min(...changes.slice(at).map(({ from }) => from));
}

/**
 * Digests of earlier versions that a history only appends to, newest first, 8 at most.
 *
 * @param session all its sessions
 */
export function appendedTo(changes: readonly HistoryChange[], session: Int32Array): string[] {
  const digests: string[] = [];
  let from = Number.POSITIVE_INFINITY;
  for (const change of changes.toReversed()) {
    from = Math.min(from, change.from);
    // What is before `from` is the same in both, so that version is the beginning where it has nothing else.
    if (digests.length === MAX_APPENDED_TO || lowerBound(session, from) !== change.rows) break;
    digests.push(change.of);
  }
  return digests;
}

export function sameBars(a: Bars, b: Bars): boolean {
  return firstDifference(a, b) === undefined;
}

function firstDifference(a: Bars, b: Bars): number | undefined {
  const same = countSame(a, b);
  const [ofA, ofB] = [a.session[same], b.session[same]];
  if (ofA === undefined || ofB === undefined) return ofA ?? ofB;
  return Math.min(ofA, ofB);
}

/** How many bars two histories have in common before the first that differs. */
function countSame(a: Bars, b: Bars): number {
  const length = Math.min(a.session.length, b.session.length);
  if (hasSameBytes(sliceBars(a, 0, length), sliceBars(b, 0, length))) return length;
  let same = 0;
  while (same < length && sameBar(a, same, b, same)) same++;
  return same;
}

// Quicker than bar by bar; where bytes differ the bars may still be the same (a column of absent values, and none).
function hasSameBytes(a: Bars, b: Bars): boolean {
  const names = Object.keys({ ...a, ...b }) as (keyof Bars)[];
  return names.every((name) => a[name] && b[name] && sameBytes(a[name], b[name]));
}
