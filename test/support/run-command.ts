import { onTestFinished, vi } from 'vitest';
import { runCommandLine } from '../../src/runtime/command-line.ts';

/** What a command came to. */
export interface CommandRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What `--json` printed. */
  readonly json: () => ReturnType<typeof JSON.parse>;
}

export type Variables = Readonly<Record<string, string | undefined>>;

/** Runs a command in this process, with these variables in its environment until the test has finished. */
export async function runCommand(
  args: readonly string[],
  { env = {}, signal }: { readonly env?: Variables; readonly signal?: AbortSignal } = {},
): Promise<CommandRun> {
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  let [stdout, stderr] = ['', ''];
  const code = await runCommandLine(args, {
    stdout: capture((text) => {
      stdout += text;
    }),
    stderr: capture((text) => {
      stderr += text;
    }),
    signal,
  });
  return { code, stdout, stderr, json: () => JSON.parse(stdout) };
}

function capture(add: (text: string) => void): NodeJS.WriteStream {
  const write = (text: string): boolean => {
    add(text);
    return true;
  };
  return { isTTY: false, write } as NodeJS.WriteStream;
}
