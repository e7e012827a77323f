import type { MirrorResult } from '../database/mirror-silver.ts';
import { count, lines, shorten, traffic } from './result-text.ts';
import { textTable } from './text-table.ts';

// What the command line tells people of the database; programs take --json.

export function describeMirror({ intervals, failed, failure, metrics }: MirrorResult): string {
  const pending = intervals.reduce((sum, of) => sum + of.pending.length, 0);
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
    ...(pending > 0 ? [`${count(pending, 'month file')} that a run of resample is at: mirrored by the next run`] : []),
    traffic(metrics),
    ...(failed.length > 0 ? [`${count(failed.length, 'month file')} could not be mirrored:`] : []),
    ...shorten(failed, ({ message }) => `  ${message}`, failed.length),
    ...(failure === undefined ? [] : [`stopped before the end: ${failure}`]),
  ]);
}
