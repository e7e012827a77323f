import type { MirrorResult } from '../database/mirror-silver.ts';
import { count, lines, shorten, traffic } from './result-text.ts';
import { textTable } from './text-table.ts';

// What the command line tells people of the database; programs take --json.

export function describeMirror({ intervals, failed, failure, metrics }: MirrorResult): string {
  const pending = intervals.reduce((sum, { filesPending }) => sum + filesPending, 0);
  return lines([
    textTable([
      ['table', 'files written', 'unchanged', 'deleted', 'rows written', 'unchanged', 'deleted'],
      ...intervals.map((of) => [
        `silver_${of.interval}d`,
        of.filesWritten,
        of.filesUnchanged,
        of.filesDeleted,
        of.rowsWritten,
        of.rowsUnchanged,
        of.rowsDeleted,
      ]),
    ]),
    ...(pending > 0
      ? [`${count(pending, 'month file')} pending, as a run of resample is at them: the next run brings them`]
      : []),
    traffic(metrics),
    ...(failed.length > 0 ? [`${count(failed.length)} could not be mirrored, the others went on:`] : []),
    ...shorten(failed, ({ message }) => `  ${message}`, failed.length),
    ...(failure === undefined ? [] : [`stopped before the end: ${failure}`]),
  ]);
}
