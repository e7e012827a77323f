#!/usr/bin/env node
// Nothing is imported before: an older Node would fail in the middle of a package.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major > 22 || (major === 22 && minor >= 19)) {
  await run();
} else {
  process.stderr.write(`batch-layer: needs Node.js 22.19 or later: this is ${process.versions.node}\n`);
  process.exitCode = 1;
}

async function run(): Promise<void> {
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
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      // Whoever reads has seen enough, as `head` has: the work goes on.
      if (error.code !== 'EPIPE') throw error;
    });
  }
  const { runCommandLine } = await import('./command-line.ts');
  const code = await runCommandLine(process.argv.slice(2), {
    stdout: process.stdout,
    stderr: process.stderr,
    signal: controller.signal,
  });
  process.exitCode = exitCode ?? code;
}
