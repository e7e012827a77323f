import type { Command } from 'commander';
import { DMS_PREFIX } from '../ingest/dms/ingest-dms.ts';
import { DMS_IMPORT_KEY } from '../ingest/dms/proof-table.ts';
import { type IngestDmsResult, ingestDms } from '../ingest/index.ts';
import { openStore } from '../lake/index.ts';
import { addCommand, type Execute, example, exitCodeOf } from './command.ts';
import { lakeOption } from './options.ts';
import { count, failures, lines, shorten, total, traffic } from './result-text.ts';

/** `ingest dms`. */
export function addDms(ingest: Command, execute: Execute): void {
  addCommand(
    ingest,
    'dms',
    "The old system's table as AWS DMS exported it to Parquet, for sessions that the lake has not.",
  )
    .option('--prefix <prefix>', 'where LOAD*.parquet are, in the lake', DMS_PREFIX)
    .addOption(lakeOption())
    .addHelpText(
      'after',
      `${example('batch-layer ingest dms --lake s3://bucket', 'batch-layer ingest dms --prefix exports/2025/raw_ohlcv')}
A bar's time is in timestamp_1; timestamp is DMS bookkeeping. A session that the lake has a bar of keeps it, so that the command can
be run again, also after it was stopped. Every symbol is read back and compared with the export. Rows that are wrong are named with
file and row (counted from 0); the others land, and the exit code is 3.`,
    )
    .action((options, command) =>
      execute(command, async (context) => {
        const result = await ingestDms(openStore(options.lake), { prefix: options.prefix, ...context });
        return {
          result,
          text: describeDms(result),
          exitCode: exitCodeOf(result.failed.length, result.symbols, result.rejected),
        };
      }),
    );
}

export function describeDms(result: IngestDmsResult): string {
  const { rows, files, landed, symbols, firstDate, lastDate, duplicates, rejected, skipped, kept } = result;
  const range = firstDate ? `, ${firstDate} to ${lastDate}` : '';
  return lines([
    `${count(rows, 'row')} of ${count(files, 'file')}: ${count(landed, 'bar')} of ${count(symbols, 'symbol')} in bronze${range}`,
    `rows: ${count(duplicates)} there twice, ${count(skipped)} of other intervals, ${count(rejected)} rejected`,
    `volume: ${decimal(result.exportVolume)} in the export, ${decimal(result.bronzeVolume)} in bronze, of the same sessions`,
    ...(kept > 0
      ? [
          `kept: ${count(kept, 'bar')} that bronze has otherwise, with volume ${decimal(result.keptBronzeVolume)} (${decimal(result.keptExportVolume)} in the export)`,
        ]
      : []),
    `objects: ${count(result.objectsCreated)} created, ${count(result.objectsReplaced)} replaced, ${count(result.objectsUnchanged)} unchanged`,
    `by symbol: ${DMS_IMPORT_KEY}`,
    ...describeProblems(result),
    traffic(result.metrics),
    ...failures(result.failed),
  ]);
}

function describeProblems({ problems, problemCounts }: IngestDmsResult): string[] {
  if (problems.length === 0) return [];
  const kinds = Object.entries(problemCounts).map(([kind, n]) => `${kind} ${count(n)}`);
  return [
    `problems: ${kinds.join(', ')}`,
    ...shorten(
      problems,
      ({ file, row, kind, message }) => `  ${file}, row ${row}: ${kind}: ${message}`,
      total(problemCounts),
    ),
  ];
}

function decimal(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 6 });
}
