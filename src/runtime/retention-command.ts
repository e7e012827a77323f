import type { Command } from 'commander';
import { archiveBars, type RetentionResult } from '../database/archive-bars.ts';
import { addCommand, type Execute, example, exitCodeOf } from './command.ts';
import { DATABASE_HELP, databaseOption, withDatabase } from './database-options.ts';
import { count, lines, shorten } from './result-text.ts';

/** `retention`. */
export function addRetention(program: Command, execute: Execute): void {
  addCommand(
    program,
    'retention',
    "Move bars of more than three years and one month ago to the database's archive. Without --apply: tell which.",
  )
    .option('--apply', 'archive, not only plan')
    .addOption(databaseOption())
    .addHelpText(
      'after',
      `${example(
        'batch-layer retention',
        'batch-layer retention --apply',
        'batch-layer retention --apply --db postgresql://retention@host/market',
      )}
Month by month, each whole or not at all: it may be stopped anywhere and run again. A month that somebody writes or reads for
longer than 5 seconds is left for the next run. What was done is in data_retention_log.
${DATABASE_HELP}`,
    )
    .action((options, command) =>
      execute(command, (context) =>
        withDatabase(options.db, context, async (database) => {
          const result = await archiveBars(database, { apply: options.apply, ...context });
          const { months, failed } = result;
          return {
            result,
            text: describeRetention(result),
            exitCode: exitCodeOf(failed.length, months.length - failed.length),
          };
        }),
      ),
    );
}

function describeRetention({
  applied,
  cutoff,
  months,
  rows,
  volume,
  archivedByOthers,
  failed,
}: RetentionResult): string {
  if (months.length === 0) return `no month before ${cutoff} is in raw_ohlcv: nothing to archive`;
  const moved = months.filter(({ archived }) => archived || !applied);
  return lines([
    `${count(moved.length, 'month')} before ${cutoff} ${applied ? 'archived' : 'to be archived'}: ${count(rows, 'bar')}, volume ${count(volume)}`,
    ...shorten(moved, (month) => `  ${month.month}: ${count(month.rows, 'bar')}`, moved.length),
    ...(archivedByOthers > 0 ? [`${count(archivedByOthers, 'month')} archived by another run meanwhile`] : []),
    ...(applied ? [] : ['nothing was archived: run it again with --apply']),
    ...(failed.length > 0 ? [`${count(failed.length, 'month')} failed, to be archived by the next run:`] : []),
    ...shorten(failed, ({ month, code, message }) => `  ${month} ${code}: ${message}`, failed.length),
  ]);
}
