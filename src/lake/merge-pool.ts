import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { pathToFileURL } from 'node:url';
import { Piscina } from 'piscina';
import { BatchLayerError } from '../errors.ts';
import { type MergeInput, type MergeOutput, mergeSymbol } from './merge-symbol.ts';
import type { Answer } from './merge-worker.ts';

export interface MergePool {
  merge(input: MergeInput): Promise<MergeOutput>;
  /** Ends the threads. */
  close(): Promise<void>;
}

/** A thread takes as long to begin as so many merges take. */
const MERGES_BEFORE_THREADS = 200;
const MAX_THREADS = 8;

/**
 * Merges on all cores: on other threads once there is enough to do for them, and on this one while they are busy.
 *
 * Where the worker's file is not there (in a bundle), this thread does it all.
 */
export function openMergePool(): MergePool {
  const threads = Math.min(MAX_THREADS, availableParallelism() - 1);
  let merges = 0;
  let pool: Piscina<MergeInput, Answer> | undefined;
  return {
    async merge(input) {
      if (++merges === MERGES_BEFORE_THREADS && threads > 0) {
        const url = findWorker();
        if (url) pool = new Piscina({ filename: url.href, minThreads: threads, maxThreads: threads });
      }
      if (!pool || pool.queueSize > 0) return mergeSymbol(input);
      const answer = await pool.run(input, { name: 'merge' });
      if ('failure' in answer) throw new BatchLayerError(answer.failure.code, answer.failure.message);
      return answer.output;
    },
    close: async () => pool?.close({ force: true }),
  };
}

// Built, this code is in some chunk of the package; the worker is an entry of its own. In a bundle neither is found.
function findWorker(): URL | undefined {
  if (import.meta.url.endsWith('.ts')) return new URL('./merge-worker.ts', import.meta.url);
  try {
    const manifest = createRequire(import.meta.url).resolve('@condvest/batch-layer/package.json');
    const url = new URL('dist/lake/merge-worker.js', pathToFileURL(manifest));
    return existsSync(url) ? url : undefined;
  } catch {
    return undefined;
  }
}
