import { changedFrom, type HistoryChange } from '../lake/history.ts';
import { lowerBound } from '../lower-bound.ts';

/** What is known of a symbol's history without reading it. */
export interface HistoryState {
  readonly rows: number;
  readonly firstSession: number;
  readonly lastSession: number;
  /** Of its `data.parquet`. */
  readonly digest: string;
}

type HistoryVersion = Pick<HistoryState, 'rows' | 'digest'>;

/** Whether nothing has changed. */
export function isUnchanged(known: HistoryState | undefined, { digest }: Pick<HistoryState, 'digest'>): boolean {
  return known?.digest === digest;
}

/**
 * Whether a history is what it was, or that with more at its end.
 *
 * @param now `appendedTo` are digests of versions that it only appends to
 */
export function isContinued(
  known: HistoryState | undefined,
  now: HistoryVersion & { readonly appendedTo: readonly string[] },
): known is HistoryState {
  if (known === undefined) return false;
  return isUnchanged(known, now) || (now.appendedTo.includes(known.digest) && known.rows < now.rows);
}

/**
 * The row from which on a symbol's groups of n bars are to be made again: the first row of the first group that has a
 * bar which was not there, or another, when the groups were made last. Rows before it are the same bars.
 *
 * @param known the history then; `undefined` = no groups have been made
 * @param changes of the history there is now
 * @param session its sessions
 */
export function firstChangedRow(
  known: HistoryState | undefined,
  now: HistoryVersion,
  changes: readonly HistoryChange[],
  session: Int32Array,
  n: number,
): number {
  if (known === undefined) return 0;
  let row = known.rows;
  if (!isUnchanged(known, now)) {
    const from = changedFrom(changes, known.digest);
    if (from === undefined) return 0;
    row = Math.min(row, now.rows, lowerBound(session, from));
  }
  return row - (row % n);
}
