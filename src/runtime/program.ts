import { Command, Option } from 'commander';
import { mirrorSilver } from '../database/index.ts';
import { consolidate, openStore, vacuum } from '../lake/index.ts';
import { INTERVALS, resample, verify } from '../resample/index.ts';
import { addCommand, EXIT, type Execute, example, exitCodeOf } from './command.ts';
import { addDatabaseCommands } from './database-commands.ts';
import { DATABASE_HELP, databaseOption, withMirror } from './database-options.ts';
import { describeMirror } from './database-results.ts';
import { runDemo } from './demo.ts';
import { addIngestCommands } from './ingest-commands.ts';
import {
  countOption,
  lakeOption,
  lookbackOption,
  maxWorkersOption,
  parseIntervals,
  parseLake,
  retentionOption,
  shardOfArrayJob,
  shardOption,
  symbolsOption,
} from './options.ts';
import { lines } from './result-text.ts';
import { describeConsolidate, describeDemo, describeResample, describeVacuum, describeVerify } from './results.ts';
import { addRetention } from './retention-command.ts';

/** The commands and their options. */
export function createProgram(execute: Execute): Command {
  const program = new Command('batch-layer')
    .description('Daily stock bars in a Parquet lake and PostgreSQL: ingest, consolidate, resample; vacuum and verify.')
    .addHelpText(
      'after',
      example('batch-layer demo', 'batch-layer ingest csv bars.csv --consolidated', 'batch-layer resample'),
    );

  addCommand(
    program,
    'demo',
    'Run the whole pipeline on an embedded lake and PostgreSQL, with real and synthetic bars.',
  )
    .option('--dir <dir>', 'folder for the input and the lake', 'batch-layer-demo')
    .addOption(new Option('--lake <url>', 'a lake elsewhere, such as s3://bucket/demo').argParser(parseLake))
    .option('--db <url>', 'a database elsewhere, which keeps what it gets')
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
        const result = await runDemo({ dir: options.dir, lake: options.lake, db: options.db, ...context });
        return {
          result,
          text: describeDemo(result),
          exitCode: exitCodeOf(result.failed.length, result.resampled.symbols),
        };
      }),
    );

  addIngestCommands(program, execute);

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
    .addOption(databaseOption())
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
of its first session: let --lookback be longer than the longest interval. With --db the tables silver_3d and so on get the same rows; what
the database does not take fails nothing, and is brought by the next run.
${DATABASE_HELP}`,
    )
    .action((options, command) =>
      execute(command, (context) => {
        const { lake, db, intervals, symbols, forceFull, lookback: lookbackMonths } = options;
        const store = openStore(lake);
        const shard = options.shard ?? shardOfArrayJob(process.env);
        return withMirror(db, store, context, async (database) => {
          const made = await resample(store, { intervals, symbols, forceFull, lookbackMonths, shard, ...context });
          const mirrored = database ? await mirrorSilver(store, database, { intervals, ...context }) : null;
          const result = { ...made, database: mirrored };
          const text = lines([describeResample(made), ...(mirrored ? [describeMirror(mirrored)] : [])]);
          return { result, text, exitCode: exitCodeOf(made.failed.length, made.symbols) };
        });
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
  addRetention(program, execute);
  addDatabaseCommands(program, execute);
  return program;
}
