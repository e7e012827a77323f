import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { BatchLayerError, hasCode, messageOf } from '../errors.ts';
import { ingestCsv } from '../ingest/index.ts';
import { consolidate, openStore } from '../lake/index.ts';
import type { OnProgress } from '../progress.ts';
import { INTERVALS, resample } from '../resample/index.ts';
import { isSymbol } from '../symbol.ts';
import { runDemo } from './demo.ts';
import { showProgress } from './progress-bar.ts';
import { describeConsolidate, describeDemo, describeIngest, describeResample } from './results.ts';

/** What the command line is connected to. */
export interface CommandLine {
  readonly stdout: Pick<NodeJS.WriteStream, 'write'>;
  readonly stderr: NodeJS.WriteStream;
  readonly signal?: AbortSignal | undefined;
}

/** Exit codes; `incomplete` is done, with some rows or symbols failed. */
const EXIT = { done: 0, failed: 1, badUsage: 2, incomplete: 3 } as const;

interface Outcome {
  readonly result: object;
  /** For people. */
  readonly text: string;
  readonly exitCode: number;
}

interface Context {
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal | undefined;
}

/**
 * Runs one command: `batch-layer` as a function.
 *
 * @param args what follows the program's name
 * @returns the exit code
 *
 * @example
 * process.exitCode = await runCommandLine(['consolidate', '--lake', 'file:./lake'], process);
 */
export async function runCommandLine(args: readonly string[], io: CommandLine): Promise<number> {
  let exitCode: number = EXIT.done;
  const execute = async (command: Command, work: (context: Context) => Promise<Outcome>): Promise<void> => {
    const isJson = command.opts().json === true;
    const progress = showProgress(io.stderr);
    const started = performance.now();
    const print = (result: object) => {
      const seconds = Math.round(performance.now() - started) / 1000;
      io.stdout.write(`${JSON.stringify({ command: nameOf(command), ...result, seconds })}\n`);
    };
    try {
      const outcome = await work({ onProgress: progress.onProgress, signal: io.signal });
      progress.stop();
      if (isJson) print(outcome.result);
      else io.stdout.write(`${outcome.text}\n`);
      exitCode = outcome.exitCode;
    } catch (error) {
      progress.stop();
      const reason = io.signal?.aborted ? io.signal.reason : error;
      const code = codeOf(reason, io.signal);
      if (isJson) print({ error: { code, message: messageOf(reason) } });
      // A failure nobody planned for is a defect: its stack is worth more than its message.
      const details =
        code === 'Unexpected' && !io.signal?.aborted && reason instanceof Error ? reason.stack : undefined;
      io.stderr.write(`batch-layer: ${details ?? messageOf(reason)}\n`);
      exitCode = hasCode(reason, 'BadInput') ? EXIT.badUsage : EXIT.failed;
    }
  };
  const program = createProgram(execute);
  configure(program, io);
  try {
    await program.parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return EXIT.done;
    if (args.includes('--json'))
      io.stdout.write(`${JSON.stringify({ error: { code: 'BadInput', message: error.message } })}\n`);
    return EXIT.badUsage;
  }
  return exitCode;
}

type Execute = (command: Command, work: (context: Context) => Promise<Outcome>) => Promise<void>;

function createProgram(execute: Execute): Command {
  const program = new Command('batch-layer')
    .description('Daily stock bars in a Parquet lake: ingest, consolidate, resample.')
    .addHelpText(
      'after',
      example('batch-layer demo', 'batch-layer ingest csv bars.csv --consolidated', 'batch-layer resample'),
    );

  addCommand(program, 'demo', 'Run the whole pipeline on an embedded lake, with real and synthetic bars.')
    .option('--dir <dir>', 'folder for the lake', 'batch-layer-demo')
    .addHelpText('after', example('batch-layer demo', 'batch-layer demo --dir /tmp/demo --json'))
    .action((options, command) =>
      execute(command, async (context) => {
        const result = await runDemo({ dir: options.dir, ...context });
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
    .addOption(countOption('--max-workers <n>', 'symbols at the same time', 1).default(10).env('MAX_WORKERS'))
    .addOption(
      countOption('--retention-days <n>', 'calendar days that daily files are kept', 0)
        .default(30)
        .env('RETENTION_DAYS'),
    )
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
    .option('--force-full', 'write every month file anew, and rebuild damaged checkpoints')
    .addOption(lakeOption())
    .addHelpText(
      'after',
      example(
        'batch-layer resample',
        'batch-layer resample --intervals 5,21 --symbols AAPL',
        'batch-layer resample --force-full',
      ),
    )
    .action((options, command) =>
      execute(command, async (context) => {
        const { intervals, symbols, forceFull } = options;
        const result = await resample(openStore(options.lake), { intervals, symbols, forceFull, ...context });
        return { result, text: describeResample(result), exitCode: exitCodeOf(result.failed.length, result.symbols) };
      }),
    );
  return program;
}

// Commander hands settings down to subcommands only as they are added: this goes over all of them.
function configure(command: Command, { stdout, stderr }: CommandLine): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => stdout.write(text),
    writeErr: (text) => stderr.write(text),
  });
  for (const sub of command.commands) configure(sub, { stdout, stderr });
}

function addCommand(parent: Command, name: string, description: string): Command {
  return parent
    .command(name)
    .description(description)
    .option('--json', 'print one result object on stdout')
    .showHelpAfterError('(--help tells more)');
}

function codeOf(reason: unknown, signal: AbortSignal | undefined): string {
  if (signal?.aborted) return 'Aborted';
  return reason instanceof BatchLayerError ? reason.code : 'Unexpected';
}

/** Where symbols failed and none was done, the job has failed. */
function exitCodeOf(failed: number, done: number, rejected = 0): number {
  if (failed > 0 && done === 0) return EXIT.failed;
  return failed > 0 || rejected > 0 ? EXIT.incomplete : EXIT.done;
}

function nameOf(command: Command): string {
  const parent = command.parent?.parent ? `${command.parent.name()} ` : '';
  return `${parent}${command.name()}`;
}

function example(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`;
}

function lakeOption(): Option {
  return new Option('--lake <url>', 'where the lake is: file:PATH')
    .default('file:./lake')
    .env('LAKE_URL')
    .argParser((url) => {
      return usage(() => openStore(url)) && url;
    });
}

function symbolsOption(): Option {
  return new Option('--symbols <list>', 'only these, such as AAPL,BRK.B').argParser((text) =>
    text.split(',').map(parseSymbol),
  );
}

function countOption(flags: string, description: string, least: number): Option {
  return new Option(flags, description).argParser((text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least) throw new InvalidArgumentError(`Expected a whole number ≥ ${least}.`);
    return value;
  });
}

function parseSymbol(text: string): string {
  if (!isSymbol(text)) throw new InvalidArgumentError(`"${text}" is not a symbol.`);
  return text;
}

function parseIntervals(text: string): number[] {
  const intervals = text.split(',').map(Number);
  const isValid = intervals.every((n, k) => Number.isInteger(n) && n >= 1 && intervals.indexOf(n) === k);
  if (!isValid) throw new InvalidArgumentError('Expected distinct whole numbers ≥ 1, such as 3,5,8.');
  return intervals;
}

function usage<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error));
  }
}
