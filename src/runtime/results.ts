import type { ConsolidateResult, LakeProblem, VacuumResult } from '../lake/index.ts';
import type { ResampleResult, VerifyResult } from '../resample/index.ts';
import type { DemoResult } from './demo.ts';
import { count, failures, lines, shorten, traffic } from './result-text.ts';
import { textTable } from './text-table.ts';

// What the command line tells people; programs take --json.

export function describeConsolidate(result: ConsolidateResult): string {
  return lines([
    `${count(result.symbols, 'symbol')}: ${count(result.written)} written, ${count(result.unchanged)} unchanged`,
    `daily files: ${count(result.dailyFilesApplied)} merged, ${count(result.dailyFilesDeleted)} deleted (${count(result.bytesDeleted, 'byte')})`,
    ...result.warnings.map((warning) => `warning: ${warning}`),
    traffic(result.metrics),
    ...failures(result.failed),
  ]);
}

export function describeResample(result: ResampleResult): string {
  const range = result.firstDate ? `, ${result.firstDate} to ${result.lastDate}` : '';
  const waiting = result.unconsolidated.length;
  const deferred = result.intervals.reduce((sum, { filesDeferred }) => sum + filesDeferred, 0);
  return lines([
    `${count(result.bars, 'bar')} of ${count(result.symbols, 'symbol')}${range}; ${count(result.changed)} changed`,
    intervalTable(result),
    ...(deferred > 0
      ? [`${count(deferred, 'month file')} deferred by --lookback or --symbols: run resample without`]
      : []),
    ...(waiting > 0 ? [`${count(waiting, 'symbol')} with daily files only: run batch-layer consolidate first`] : []),
    traffic(result.metrics),
    ...failures(result.failed),
  ]);
}

export function describeVacuum(result: VacuumResult): string {
  const { applied, symbols, files, bytes, deleted, kept, keys, manifests } = result;
  const hint = applied || files === 0 ? [] : ['nothing was deleted: run it again with --apply'];
  return lines([
    `${count(symbols, 'symbol')}: ${count(files, 'daily file')} (${count(bytes, 'byte')}) may be deleted${applied ? `, ${count(deleted)} were` : ''}`,
    `kept: ${count(kept.recent)} recent, ${count(kept.unproven)} not proven to be in data.parquet, ${count(kept.unconsolidated)} without data.parquet`,
    ...shorten(keys, (key) => `  ${key}`, files),
    ...manifests.map((key) => `recorded in ${key}`),
    ...hint,
    traffic(result.metrics),
    ...failures(result.failed),
  ]);
}

export function describeVerify(result: VerifyResult): string {
  const { symbols, bars, dailyFiles, pending, intervals, files, groups, problems, repaired } = result;
  const list = (found: readonly LakeProblem[], what: string) =>
    found.length === 0
      ? []
      : [
          `${count(found.length, 'problem')}${what}:`,
          ...shorten(found, ({ kind, message }) => `  ${kind}: ${message}`, found.length),
        ];
  return lines([
    `bronze: ${count(bars, 'bar')} of ${count(symbols, 'symbol')}; ${count(dailyFiles, 'daily file')}, ${count(pending)} to be consolidated`,
    `silver: ${count(groups, 'group')} in ${count(files, 'file')} of ${count(intervals.length, 'interval')}`,
    traffic(result.metrics),
    ...list(repaired, ' repaired'),
    ...(problems.length === 0 ? ['nothing is wrong'] : list(problems, '')),
  ]);
}

export function describeDemo({ steps, resampled, preview, failed, lake, path }: DemoResult): string {
  return lines([
    textTable([['step', 'result', 'seconds'], ...steps.map(({ step, text, seconds }) => [step, text, seconds])]),
    '',
    intervalTable(resampled),
    '',
    `${preview.symbol} in groups of 5 sessions, the last of them (complete = no: still open):`,
    textTable([
      ['date', 'end_date', 'open', 'high', 'low', 'close', 'volume', 'bars', 'complete'],
      ...preview.rows.map((row) => [
        row.date,
        row.endDate,
        row.open,
        row.high,
        row.low,
        row.close,
        row.volume,
        row.bars,
        row.complete ? 'yes' : 'no',
      ]),
    ]),
    '',
    `The lake is in ${path}. Any Parquet reader opens it, such as DuckDB:`,
    `  SELECT * FROM read_parquet('${path}/silver/silver_5d/*/*/*.parquet', hive_partitioning = true)`,
    `  WHERE symbol = '${preview.symbol}' ORDER BY date DESC LIMIT 5;`,
    'or this command line:',
    `  npx batch-layer resample --intervals 10 --lake ${lake}`,
    ...failures(failed),
  ]);
}

function intervalTable({ intervals }: ResampleResult): string {
  return textTable([
    ['interval', 'groups', 'files written', 'unchanged', 'deleted', 'where'],
    ...intervals.map(({ interval, groups, filesWritten, filesUnchanged, filesDeleted }) => {
      return [`${interval}d`, groups, filesWritten, filesUnchanged, filesDeleted, `silver/silver_${interval}d/`];
    }),
  ]);
}
