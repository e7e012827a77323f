import { Command, Option } from 'commander';
import { ingestCsv } from '../ingest/index.ts';
import { consolidate, openStore, vacuum } from '../lake/index.ts';
import type { OnProgress } from '../progress.ts';
import { INTERVALS, resample, verify } from '../resample/index.ts';
import { runDemo } from './demo.ts';
import {
  countOption,
  lakeOption,
  lookbackOption,
  maxWorkersOption,
  parseIntervals,
  parseLake,
  parseSymbol,
  retentionOption,
  shardOfArrayJob,
  shardOption,
  symbolsOption,
} from './options.ts';
import {
  describeConsolidate,
  describeDemo,
  describeIngest,
  describeResample,
  describeVacuum,
  describeVerify,
} from './results.ts';

/** Exit codes; `incomplete` is done, with some rows or symbols failed. */
export const EXIT = { done: 0, failed: 1, badUsage: 2, incomplete: 3 } as const;

/** What a command came to. */
export interface Outcome {
  readonly result: object;
  /** For people. */
  readonly text: string;
  readonly exitCode: number;
}

/** What a command is run with. */
export interface Context {
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal | undefined;
}

/** Runs a command's work, prints what it came to and keeps the exit code. */
export type Execute = (command: Command, work: (context: Context) => Promise<Outcome>) => Promise<void>;

/** The commands and their options. */
export function createProgram(execute: Execute): Command {
  const program = new Command('batch-layer')
    .description('Daily stock bars in a Parquet lake: ingest, consolidate, resample; vacuum and verify.')
    .addHelpText(
      'after',
      example('batch-layer demo', 'batch-layer ingest csv bars.csv --consolidated', 'batch-layer resample'),
    );

  addCommand(program, 'demo', 'Run the whole pipeline on an embedded lake, with real and synthetic bars.')
    .option('--dir <dir>', 'folder for the input and the lake', 'batch-layer-demo')
    .addOption(new Option('--lake <url>', 'a lake elsewhere, such as s3://bucket/demo').argParser(parseLake))
    .addHelpText(
      'after',
      example(
        'batch-layer demo',
        'batch-layer demo --dir /tmp/demo --json',
        'batch-layer demo --lake s3://bucket/demo',
      ),
    )
    .action((options, command) =>
      execute(command, async (context) => {
        const result = await runDemo({ dir: options.dir, lake: options.lake, ...context });
        return {
          result,
          text: describeDemo(result),
          exitCode: exitCodeOf(result.failed.length, result.resampled.symbols),
        };
      }),
    );

  const ingest = program.command('ingest').description('Bring bars into bronze.');
  addCommand(
    ingest,
    'csv',
    'Bars from CSV files (.gz too), with the columns symbol,date,open,high,low,close,volume[,vwap,trades].',
  )
    .argument('<file...>', 'CSV files')
    .option('--consolidated', "write each symbol's data.parquet at once (bulk history) instead of one file a session")
    .addOption(
      new Option('--symbol <symbol>', 'the symbol of all rows, for files without that column').argParser(parseSymbol),
    )
    .addOption(lakeOption())
    .addHelpText(
      'after',
      `${example('batch-layer ingest csv bars.csv', 'batch-layer ingest csv history.csv.gz --consolidated --lake file:./lake')}
Lines that are wrong are named with file and line and counted; the others land, and the exit code is 3.`,
    )
    .action((files, options, command) =>
      execute(command, async (context) => {
        const { consolidated, symbol } = options;
        const result = await ingestCsv(openStore(options.lake), files, { consolidated, symbol, ...context });
        return {
          result,
          text: describeIngest(result),
          exitCode: exitCodeOf(result.failed.length, result.symbols, result.rejected),
        };
      }),
    );

  addCommand(
    program,
    'consolidate',
    "Merge daily files into each symbol's data.parquet, and delete those merged and older than the retention.",
  )
    .addOption(
      new Option('--mode <mode>', 'pass over unchanged symbols, or read all')
        .choices(['incremental', 'full'])
        .default('incremental')
        .env('MODE'),
    )
    .addOption(symbolsOption())
    .addOption(maxWorkersOption())
    .addOption(retentionOption())
    .addOption(lakeOption())
    .addHelpText(
      'after',
      example('batch-layer consolidate', 'batch-layer consolidate --mode full --symbols AAPL,BRK.B'),
    )
    .action((options, command) =>
      execute(command, async (context) => {
        const { mode, symbols, maxWorkers, retentionDays } = options;
        const result = await consolidate(openStore(options.lake), {
          mode,
          symbols,
          maxWorkers,
          retentionDays,
          ...context,
        });
        return {
          result,
          text: describeConsolidate(result),
          exitCode: exitCodeOf(result.failed.length, result.symbols - result.failed.length),
        };
      }),
    );

  addCommand(program, 'resample', 'Resample consolidated bars into the month files of silver.')
    .addOption(
      new Option('--intervals <list>', 'sessions a group has')
        .argParser(parseIntervals)
        .default(INTERVALS, INTERVALS.join(','))
        .env('RESAMPLING_INTERVALS'),
    )
    .addOption(symbolsOption())
    .option('--force-full', 'make every group anew; also over damaged checkpoints and another number of shards')
    .addOption(lookbackOption())
    .addOption(shardOption())
    .addOption(lakeOption())
    .addHelpText(
      'after',
      `${example(
        'batch-layer resample',
        'batch-layer resample --intervals 5,21 --symbols AAPL',
        'batch-layer resample --shard 0/4',
        'batch-layer resample --force-full',
      )}
What has changed since the last run is made; the result is that of a full run. Groups are counted from a symbol's first bar,
whatever --lookback says: months it leaves out are told as deferred, and made by the next run without it. A group is in the month
of its first session: let --lookback be longer than the longest interval.`,
    )
    .action((options, command) =>
      execute(command, async (context) => {
        const { intervals, symbols, forceFull, lookback: lookbackMonths } = options;
        const shard = options.shard ?? shardOfArrayJob(process.env);
        const store = openStore(options.lake);
        const result = await resample(store, { intervals, symbols, forceFull, lookbackMonths, shard, ...context });
        return { result, text: describeResample(result), exitCode: exitCodeOf(result.failed.length, result.symbols) };
      }),
    );

  addCommand(
    program,
    'vacuum',
    'Delete old daily files that are proven to be in data.parquet. Without --apply: tell which.',
  )
    .option('--apply', 'delete, not only plan')
    .addOption(symbolsOption())
    .addOption(maxWorkersOption())
    .addOption(retentionOption())
    .addOption(lakeOption())
    .addHelpText(
      'after',
      example(
        'batch-layer vacuum',
        'batch-layer vacuum --apply',
        'batch-layer vacuum --symbols AAPL --retention-days 90',
      ),
    )
    .action((options, command) =>
      execute(command, async (context) => {
        const { apply, symbols, maxWorkers, retentionDays } = options;
        const result = await vacuum(openStore(options.lake), { apply, symbols, maxWorkers, retentionDays, ...context });
        return {
          result,
          text: describeVacuum(result),
          exitCode: exitCodeOf(result.failed.length, result.symbols - result.failed.length),
        };
      }),
    );

  addCommand(
    program,
    'verify',
    'Check the whole lake, object by object: digests, order, manifest, silver against bronze.',
  )
    .option('--repair', 'rebuild the manifest, month files and checkpoints where they are wrong')
    .addOption(countOption('--sample <n>', 'make the groups of n symbols only, chosen at random', 1))
    .addOption(maxWorkersOption())
    .addOption(lakeOption())
    .addHelpText(
      'after',
      `${example('batch-layer verify', 'batch-layer verify --sample 100', 'batch-layer verify --repair')}
Ends with 1 where something is (still) wrong. Bars are never touched: a damaged file of bronze is named, not replaced.`,
    )
    .action((options, command) =>
      execute(command, async (context) => {
        const { repair, sample, maxWorkers } = options;
        const result = await verify(openStore(options.lake), { repair, sample, maxWorkers, ...context });
        return {
          result,
          text: describeVerify(result),
          exitCode: result.problems.length > 0 ? EXIT.failed : EXIT.done,
        };
      }),
    );
  return program;
}

function addCommand(parent: Command, name: string, description: string): Command {
  return parent
    .command(name)
    .description(description)
    .option('--json', 'print one result object on stdout')
    .showHelpAfterError('(--help tells more)');
}

/** Where symbols failed and none was done, the job has failed. */
function exitCodeOf(failed: number, done: number, rejected = 0): number {
  if (failed > 0 && done === 0) return EXIT.failed;
  return failed > 0 || rejected > 0 ? EXIT.incomplete : EXIT.done;
}

function example(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`;
}
