import type { Command } from 'commander';
import type { OnProgress } from '../progress.ts';

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

/** A command that can print one result object for programs. */
export function addCommand(parent: Command, name: string, description: string): Command {
  return parent
    .command(name)
    .description(description)
    .option('--json', 'print one result object on stdout')
    .showHelpAfterError('(--help tells more)');
}

/** Where symbols failed and none was done, the job has failed. */
export function exitCodeOf(failed: number, done: number, rejected = 0): number {
  if (failed > 0 && done === 0) return EXIT.failed;
  return failed > 0 || rejected > 0 ? EXIT.incomplete : EXIT.done;
}

/** The examples of a help text. */
export function example(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`;
}
