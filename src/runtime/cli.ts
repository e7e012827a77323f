#!/usr/bin/env node
import { runCommandLine } from './command-line.ts';

// The first signal ends the run at its next step, with everything committed that was begun; a second one kills it.
const controller = new AbortController();
const stop = { SIGINT: 130, SIGTERM: 143 } as const;
let exitCode: number | undefined;
for (const signal of Object.keys(stop) as (keyof typeof stop)[]) {
  process.once(signal, () => {
    exitCode = stop[signal];
    controller.abort(new Error(`stopped by ${signal}; run the same command again to go on`));
  });
}
const code = await runCommandLine(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  signal: controller.signal,
});
process.exitCode = exitCode ?? code;
