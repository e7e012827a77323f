import { checkCount } from '../check-count.ts';
import {
  PROCESSING_PREFIX,
  parseCheckpointKey,
  parseSilverInterval,
  parseSilverKey,
  SILVER_PREFIX,
} from '../lake/keys.ts';
import { isInShard, type Shard } from '../lake/shard.ts';
import type { ObjectStore, StoreCall } from '../lake/store.ts';
import { listSymbols } from '../lake/symbol-files.ts';
import { type BronzeCheck, type LakeProblem, rebuildManifest, verifyBronze } from '../lake/verify-bronze.ts';
import { type StoreMetrics, withMetrics } from '../lake/with-metrics.ts';
import type { OnProgress } from '../progress.ts';
import { compareSymbols } from '../symbol.ts';
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

export interface VerifyResult extends Omit<BronzeCheck, 'entries' | 'damaged' | 'problems'> {
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

/** About as many of a file as each bar takes. */
const BAR_BYTES = 40;

type Check = BronzeCheck &
  SilverCheck & {
    readonly intervals: readonly number[];
    /** Numbers of shards each interval is divided into: one, where all is well; first those that have a checkpoint. */
    readonly counts: ReadonlyMap<number, ReadonlySet<number>>;
  };

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
  if (sample !== undefined) checkCount('sample', sample, 1);
  checkCount('maxWorkers', maxWorkers, 1);
  const store = withMetrics(lake);
  // The same symbols before and after a repair.
  const chosen = sample === undefined ? undefined : await chooseSymbols(store, sample, { random, signal });
  const check = () => checkLake(store, { chosen, maxWorkers, onProgress, signal });
  const first = await check();
  const derived = first.problems.filter((problem) => intervalOf(problem) !== undefined || problem.kind === 'manifest');
  let last = first;
  if (repair && derived.length > 0) {
    if (derived.some(({ kind }) => kind === 'manifest')) {
      await rebuildManifest(store, first.entries, { now: now(), signal });
    }
    const intervals = new Set(derived.map(intervalOf).filter((interval) => interval !== undefined));
    await rebuildSilver(store, intervals, { counts: first.counts, onProgress, signal });
    last = await check();
  }
  const still = new Set(last.problems.map(({ kind, key }) => `${kind} ${key}`));
  const repaired = first.problems.filter(({ kind, key }) => !still.has(`${kind} ${key}`));
  const { entries: _, damaged: __, counts: ___, ...figures } = last;
  return { ...figures, repaired, metrics: store.metrics() };
}

async function checkLake(
  store: ObjectStore,
  {
    chosen,
    maxWorkers,
    onProgress,
    signal,
  }: StoreCall & {
    readonly chosen: ReadonlySet<string> | undefined;
    readonly maxWorkers: number;
    readonly onProgress: OnProgress | undefined;
  },
): Promise<Check> {
  const bronze = await verifyBronze(store, { maxWorkers, onProgress, signal });
  const damaged = new Set(bronze.damaged);
  // Of a symbol that cannot be read, resample keeps the groups there are.
  const isCompared = (symbol: string): boolean => !damaged.has(symbol) && (chosen?.has(symbol) ?? true);
  const symbols = bronze.entries
    .filter(({ symbol }) => isCompared(symbol))
    .map(({ symbol, rows }) => ({ symbol, size: rows * BAR_BYTES }));
  symbols.sort((a, b) => compareSymbols(a.symbol, b.symbol));
  const { counts, problems: silverProblems } = await listSilver(store, signal);
  const problems = [...bronze.problems, ...silverProblems];
  const figures = { files: 0, groups: 0 };
  for (const count of new Set([...counts.values()].flatMap((some) => [...some]))) {
    const intervals = [...counts.keys()].filter((interval) => counts.get(interval)!.has(count)).sort((a, b) => a - b);
    for (let index = 0; index < count; index++) {
      const shard = { index, count };
      const { files, groups, ...silver } = await verifySilver(store, intervals, {
        symbols: symbols.filter(({ symbol }) => isInShard(symbol, shard)),
        shard,
        isCompared: chosen || damaged.size > 0 ? isCompared : undefined,
        onProgress,
        signal,
      });
      figures.files += files;
      figures.groups += groups;
      problems.push(...silver.problems);
    }
  }
  const intervals = [...counts.keys()].sort((a, b) => a - b);
  return { ...bronze, ...figures, intervals, counts, problems };
}

/** What silver has, by month files and checkpoints: the numbers of shards each interval is divided into, and what is there besides. */
async function listSilver(store: ObjectStore, signal: AbortSignal | undefined) {
  const counts = new Map<number, Set<number>>();
  const problems: LakeProblem[] = [];
  const add = (interval: number, { count }: Shard, key: string): void => {
    const known = counts.get(interval) ?? new Set();
    if (known.size > 0 && !known.has(count)) {
      const message = `${key}: silver of ${interval} sessions is divided into ${[...known]} and into ${count} shards`;
      problems.push({ kind: 'silver', key, message });
    }
    counts.set(interval, known.add(count));
  };
  // Checkpoints first: a division that has none is what a fenced run left behind.
  for await (const { key } of store.list(PROCESSING_PREFIX, { signal })) {
    const parsed = parseCheckpointKey(key);
    if (parsed) add(parsed.interval, parsed.shard, key);
  }
  for await (const { key } of store.list(SILVER_PREFIX, { signal })) {
    const interval = parseSilverInterval(key);
    const parsed = interval === undefined ? undefined : parseSilverKey(interval, key);
    if (interval !== undefined && parsed) add(interval, parsed.shard, key);
    else problems.push({ kind: 'stray', key, message: `${key}: is no key of silver; move it elsewhere` });
  }
  return { counts, problems };
}

/** Resamples intervals anew, each in as many shards as it has. */
async function rebuildSilver(
  store: ObjectStore,
  intervals: ReadonlySet<number>,
  { counts, ...call }: Pick<Check, 'counts'> & Pick<VerifyOptions, 'onProgress' | 'signal'>,
): Promise<void> {
  const byCount = Object.groupBy(intervals, (interval) => [...(counts.get(interval) ?? [1])][0]!);
  for (const [count, some = []] of Object.entries(byCount)) {
    for (let index = 0; index < Number(count); index++) {
      await resample(store, { intervals: some, shard: { index, count: Number(count) }, forceFull: true, ...call });
    }
  }
}

/** The interval whose silver a problem is about, where `resample` rebuilds it. */
function intervalOf({ kind, key }: LakeProblem): number | undefined {
  return kind === 'stray' ? undefined : (parseSilverInterval(key) ?? parseCheckpointKey(key)?.interval);
}

/** Some of bronze's symbols. */
async function chooseSymbols(
  store: ObjectStore,
  count: number,
  { random, signal }: StoreCall & { readonly random: () => number },
): Promise<Set<string>> {
  const rest: string[] = [];
  for await (const { symbol } of listSymbols(store, { signal })) rest.push(symbol);
  const chosen = new Set<string>();
  while (chosen.size < count && rest.length > 0) {
    for (const symbol of rest.splice(Math.floor(random() * rest.length), 1)) chosen.add(symbol);
  }
  return chosen;
}
