import { BatchLayerError } from '../errors.ts';
import { PROCESSING_PREFIX, parseCheckpointKey, parseSilverInterval, SILVER_PREFIX } from '../lake/keys.ts';
import type { ObjectStore, StoreCall } from '../lake/store.ts';
import { type BronzeCheck, type LakeProblem, rebuildManifest, verifyBronze } from '../lake/verify-bronze.ts';
import { type StoreMetrics, withMetrics } from '../lake/with-metrics.ts';
import type { OnProgress } from '../progress.ts';
import { resample } from './resample.ts';
import { type SilverCheck, verifySilver } from './verify-silver.ts';

export interface VerifyOptions {
  /** Rebuild what is derived and wrong: the manifest, month files, checkpoints. Bars are never touched. */
  readonly repair?: boolean;
  /** Make the groups of this many symbols only, chosen at random; all without. Every object is read all the same. */
  readonly sample?: number | undefined;
  readonly maxWorkers?: number;
  /** Milliseconds since 1970-01-01; the system's clock where left out. */
  readonly now?: () => number;
  /** A number from 0 to 1. */
  readonly random?: () => number;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface VerifyResult extends Omit<BronzeCheck, 'entries' | 'problems'> {
  readonly intervals: readonly number[];
  /** Month files and their groups. */
  readonly files: number;
  readonly groups: number;
  /** What is wrong; after a repair, what is still wrong. */
  readonly problems: readonly LakeProblem[];
  /** What was wrong and is no longer. */
  readonly repaired: readonly LakeProblem[];
  readonly metrics: StoreMetrics;
}

type Check = BronzeCheck & SilverCheck & { readonly intervals: readonly number[] };

/**
 * Checks the whole lake, object by object: digests, order and duplicates, the manifest against the objects, silver against
 * the groups that bronze makes.
 *
 * Bars that wait for `consolidate` are no problem and are counted as `pending`. The lake should be at rest: what a job
 * changes meanwhile may be reported.
 *
 * @throws BatchLayerError `BadInput` for wrong options, `Unavailable` where the store does not answer
 *
 * @example
 * const { problems } = await verify(openStore('file:./lake'));
 */
export async function verify(
  lake: ObjectStore,
  {
    repair = false,
    sample,
    maxWorkers = 10,
    now = Date.now,
    random = Math.random,
    onProgress,
    signal,
  }: VerifyOptions = {},
): Promise<VerifyResult> {
  if (sample !== undefined && (!Number.isInteger(sample) || sample < 1)) {
    throw new BatchLayerError('BadInput', `sample is ${sample}: expected a whole number ≥ 1`);
  }
  const store = withMetrics(lake);
  const check = () => checkLake(store, { sample, maxWorkers, random, onProgress, signal });
  const first = await check();
  const derived = first.problems.filter((problem) => intervalOf(problem) !== undefined || problem.kind === 'manifest');
  let last = first;
  if (repair && derived.length > 0) {
    if (derived.some(({ kind }) => kind === 'manifest')) {
      await rebuildManifest(store, first.entries, { now: now(), signal });
    }
    const intervals = [...new Set(derived.map(intervalOf))].filter((interval) => interval !== undefined);
    if (intervals.length > 0) await resample(store, { intervals, forceFull: true, onProgress, signal });
    last = await check();
  }
  const still = new Set(last.problems.map(({ key, message }) => `${key} ${message}`));
  const repaired = first.problems.filter(({ key, message }) => !still.has(`${key} ${message}`));
  const { entries: _, ...figures } = last;
  return { ...figures, repaired, metrics: store.metrics() };
}

async function checkLake(
  store: ObjectStore,
  {
    sample,
    maxWorkers,
    random,
    onProgress,
    signal,
  }: StoreCall & {
    readonly sample: number | undefined;
    readonly maxWorkers: number;
    readonly random: () => number;
    readonly onProgress: OnProgress | undefined;
  },
): Promise<Check> {
  const bronze = await verifyBronze(store, { maxWorkers, onProgress, signal });
  const all = bronze.entries.map(({ symbol }) => symbol).sort();
  const symbols = sample === undefined ? all : choose(all, sample, random);
  const intervals = await findIntervals(store, signal);
  const isSample = symbols.length < all.length;
  const silver =
    intervals.length === 0
      ? { files: 0, groups: 0, problems: [] }
      : await verifySilver(store, intervals, { symbols, isSample, onProgress, signal });
  return { ...bronze, ...silver, intervals, problems: [...bronze.problems, ...silver.problems] };
}

/** The intervals that silver has: those with month files or a checkpoint. */
async function findIntervals(store: ObjectStore, signal: AbortSignal | undefined): Promise<number[]> {
  const intervals = new Set<number | undefined>();
  for await (const { key } of store.list(SILVER_PREFIX, { signal })) intervals.add(parseSilverInterval(key));
  for await (const { key } of store.list(PROCESSING_PREFIX, { signal })) intervals.add(parseCheckpointKey(key));
  return [...intervals].filter((interval) => interval !== undefined).sort((a, b) => a - b);
}

/** The interval whose silver a problem is about, where `resample` rebuilds it. */
function intervalOf({ kind, key }: LakeProblem): number | undefined {
  return kind === 'stray' ? undefined : (parseSilverInterval(key) ?? parseCheckpointKey(key));
}

/** Some of a list, in its order. */
function choose(list: readonly string[], count: number, random: () => number): string[] {
  const rest = [...list];
  const chosen: string[] = [];
  while (chosen.length < count && rest.length > 0) {
    chosen.push(...rest.splice(Math.floor(random() * rest.length), 1));
  }
  return chosen.sort();
}
