import { type Command, CommanderError } from 'commander';
import { BatchLayerError, hasCode, messageOf } from '../errors.ts';
import { type Context, EXIT, type Outcome } from './command.ts';
import { createProgram } from './program.ts';
import { showProgress } from './progress-bar.ts';

/** What the command line is connected to. */
export interface CommandLine {
  readonly stdout: Pick<NodeJS.WriteStream, 'write'>;
  readonly stderr: NodeJS.WriteStream;
  readonly signal?: AbortSignal | undefined;
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
      const details = code === 'Unexpected' && reason instanceof Error ? reason.stack : undefined;
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
    if (args.includes('--json')) {
      io.stdout.write(`${JSON.stringify({ error: { code: 'BadInput', message: withoutLogins(error.message) } })}\n`);
    }
    return EXIT.badUsage;
  }
  return exitCode;
}

// Commander hands settings down to subcommands only as they are added: this goes over all of them.
function configure(command: Command, { stdout, stderr }: CommandLine): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => stdout.write(text),
    writeErr: (text) => stderr.write(withoutLogins(text)),
  });
  for (const sub of command.commands) configure(sub, { stdout, stderr });
}

/** Commander repeats what it does not understand: a URL in the wrong place has a password in it. */
function withoutLogins(text: string): string {
  return text.replace(/(\w:\/\/)[^\s'"]*@/g, '$1…@');
}

function codeOf(reason: unknown, signal: AbortSignal | undefined): string {
  if (signal?.aborted) return 'Aborted';
  return reason instanceof BatchLayerError ? reason.code : 'Unexpected';
}

function nameOf(command: Command): string {
  const parent = command.parent?.parent ? `${command.parent.name()} ` : '';
  return `${parent}${command.name()}`;
}
