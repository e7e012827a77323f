import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { pathToFileURL } from 'node:url';
import { type GroupedSymbols, type GroupTask, groupSymbols } from './group-symbols.ts';
import { type MadeMonth, type MonthTask, makeMonth } from './make-month.ts';

/** What makes groups and month files: this thread, or others. */
export interface Threads {
  /** Tasks that are worth having at the same time. */
  readonly count: number;
  groupSymbols(task: GroupTask): Promise<GroupedSymbols>;
  makeMonths(tasks: readonly MonthTask[]): Promise<readonly MadeMonth[]>;
  close(): Promise<void>;
}

const MAX_THREADS = 8;
/** A thread takes as long to begin as so many bytes of bars take on this one. */
const THREADS_FROM_BYTES = 32 * 2 ** 20;

/** How many threads so many bytes of bars are worth. */
export function threadsFor(bytes: number): number {
  return bytes < THREADS_FROM_BYTES ? 1 : Math.min(MAX_THREADS, availableParallelism());
}

const HERE: Threads = {
  count: 1,
  groupSymbols: async (task) => groupSymbols(task),
  makeMonths: async (tasks) => tasks.map(makeMonth),
  close: () => Promise.resolve(),
};

/**
 * Opens `count` threads; with fewer than two, or where the worker's file is not there (in a bundle), this one does it all.
 */
export async function openThreads(count: number): Promise<Threads> {
  const worker = count > 1 ? findWorker() : undefined;
  if (!worker) return HERE;
  // Most runs are small and do without.
  const { Piscina } = await import('piscina');
  // Each thread has its next tasks at hand while this one writes what it has done.
  const pool = new Piscina({
    filename: worker.href,
    minThreads: count,
    maxThreads: count,
    concurrentTasksPerWorker: 4,
    // What a task leaves is soon dead: collected often, it takes 40 MB less and no more time.
    resourceLimits: { maxYoungGenerationSizeMb: 4 },
  });
  return {
    count,
    groupSymbols: (task) => pool.run(task, { name: 'groupSymbols' }),
    makeMonths: (tasks) => pool.run(tasks, { name: 'makeMonths' }),
    close: () => pool.close({ force: true }),
  };
}

// Built, this code is in some chunk of the package; the worker is an entry of its own. In a bundle neither is found.
function findWorker(): URL | undefined {
  if (import.meta.url.endsWith('.ts')) return new URL('./resample-worker.ts', import.meta.url);
  try {
    const manifest = createRequire(import.meta.url).resolve('@condvest/batch-layer/package.json');
    const url = new URL('dist/resample/resample-worker.js', pathToFileURL(manifest));
    return existsSync(url) ? url : undefined;
  } catch {
    return undefined;
  }
}
