import type { HistoryChange } from '../lake/consolidated.ts';
import { lowerBound } from '../lower-bound.ts';

/** What is known of a symbol's history without reading it. */
export interface HistoryState {
  readonly rows: number;
  readonly firstSession: number;
  readonly lastSession: number;
  /** Changes whenever the history changes other than by appending. */
  readonly generation: number;
}

type HistoryFigures = Pick<HistoryState, 'generation' | 'rows'>;

/** Whether a history is what it was, or that with more at its end. */
export function isContinued(known: HistoryState | undefined, now: HistoryFigures): known is HistoryState {
  // Generation 0 is that of files that do not tell.
  return known !== undefined && known.generation === now.generation && now.generation !== 0 && known.rows <= now.rows;
}

/** Whether nothing has changed. */
export function isUnchanged(known: HistoryState | undefined, now: HistoryFigures): boolean {
  return isContinued(known, now) && known.rows === now.rows;
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
  now: HistoryFigures,
  changes: readonly HistoryChange[],
  session: Int32Array,
  n: number,
): number {
  if (known === undefined || known.generation === 0) return 0;
  // Of one generation, one history is the beginning of the other.
  let row = Math.min(known.rows, now.rows);
  if (known.generation !== now.generation) {
    const at = changes.findIndex(({ generation }) => generation === known.generation);
    if (at < 0) return 0;
    for (const { from } of changes.slice(at + 1)) row = Math.min(row, lowerBound(session, from));
  }
  return row - (row % n);
}
