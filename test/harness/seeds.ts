import { expect } from 'vitest';
import { interleave } from './interleaving.ts';

/** Whether to run for hours. */
export const IS_SOAK = process.env.SOAK === '1';

const REPORT_EVERY = 50_000;

/** How to see one schedule again. */
export function replayCommand(seed: number): string {
  return `HARNESS_SEED=${seed} npx vitest run --config test/vitest.config.ts --project unit test/harness/regressions.test.ts`;
}

/** Runs the schedules of `count` seeds, every other one from `first` on; fails with the first that goes wrong. */
export async function runSeeds(first: number, count: number): Promise<void> {
  const started = performance.now();
  await withoutStacks(async () => {
    for (let i = 0; i < count; i++) {
      const seed = first + 2 * i;
      const { violations } = await interleave(seed);
      if (violations.length > 0) expect.fail(`seed ${seed}: ${violations.join('; ')}\n${replayCommand(seed)}`);
      if ((i + 1) % REPORT_EVERY === 0) console.info(`${i + 1} interleavings, ${seconds(started)} s`);
    }
  });
  console.info(`${count} interleavings, ${seconds(started)} s`);
}

export function seconds(started: number): string {
  return ((performance.now() - started) / 1000).toFixed(1);
}

/** Errors that are planned need no stack, and stacks take time. */
export async function withoutStacks<T>(work: () => Promise<T>): Promise<T> {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return await work();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}
