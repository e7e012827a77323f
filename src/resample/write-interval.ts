import { BatchLayerError } from '../errors.ts';
import type { Utf8Values } from '../lake/columns.ts';
import { silverKey } from '../lake/keys.ts';
import { mapAll } from '../lake/map-all.ts';
import { type ObjectStore, orNone, type StoreCall } from '../lake/store.ts';
import type { Codec } from '../lake/wasm.ts';
import { formatMonth, formatSession } from '../session.ts';
import type { HistoryState } from './changed-rows.ts';
import type { Checkpoint } from './checkpoint.ts';
import { type Claim, checkClaim, commitInterval } from './claim.ts';
import { summarize } from './collect-groups.ts';
import { NO_SESSION } from './group-symbols.ts';
import type { IntervalState } from './interval-state.ts';
import type { MadeMonth, MonthTask } from './make-month.ts';
import { deleteMonth, writeMonth } from './month-files.ts';
import type { MonthRows } from './month-rows.ts';
import type { IntervalPlan, PlannedMonth } from './plan-interval.ts';
import type { Threads } from './threads.ts';

/** Months that go to a thread in one message, and such batches for each thread. */
const BATCH_MONTHS = 8;
const CONCURRENT_BATCHES = 2;

/** A month file that turned out not to be the one that was committed, when its groups were needed. */
export class SuspectMonth extends BatchLayerError {
  readonly interval: number;
  readonly month: number;

  constructor(interval: number, month: number, message: string) {
    super('CorruptObject', message);
    this.interval = interval;
    this.month = month;
  }
}

export interface WriteIntervalOptions extends StoreCall {
  /** Index of the interval among those of the rows. */
  readonly k: number;
  readonly rows: MonthRows;
  readonly names: Utf8Values;
  readonly threads: Threads;
  /** Symbols that could not be read, now or by an earlier run that this one does not make good. */
  readonly missing: readonly string[];
  readonly codec: Codec | undefined;
}

export interface WrittenInterval {
  readonly groups: number;
  readonly filesWritten: number;
  readonly filesUnchanged: number;
  readonly filesDeleted: number;
}

/**
 * Writes the month files of a plan under a claim, deletes those that have no groups any more, and commits.
 *
 * @throws BatchLayerError `Fenced` where another run took over, {@link SuspectMonth} where a file is not what was committed
 */
export async function writeInterval(
  store: ObjectStore,
  claim: Claim,
  { checkpoint, listed, suspects }: IntervalState,
  plan: IntervalPlan,
  { k, rows, names, threads, missing, codec, signal }: WriteIntervalOptions,
): Promise<WrittenInterval> {
  const { interval, shard, epoch } = claim.checkpoint;
  const files: Checkpoint['files'] = adoptFiles(checkpoint.files, listed, suspects);
  const counts = { filesWritten: 0, filesDeleted: 0 };
  const keepsSome = plan.sinceRebuilt.includes(NO_SESSION);

  const committedFile = (month: number) => (suspects.has(month) ? undefined : files[formatMonth(month)]);
  const suspect = async (month: number, message: string): Promise<never> => {
    // A run that has taken over may have written it.
    await checkClaim(store, claim, { signal });
    throw new SuspectMonth(interval, month, message);
  };
  const prepareMonth = async ({ month, isRebuilt, isForced }: PlannedMonth): Promise<MonthTask> => {
    const [key, committed] = [silverKey(interval, month, shard), committedFile(month)];
    const needsBase = listed.has(month) && (isRebuilt ? keepsSome : true);
    const base = needsBase ? await orNone(store.get(key, { signal })) : undefined;
    if (needsBase && !base && !isRebuilt) return suspect(month, `${key}: is gone`);
    return {
      ...{ key, interval, epoch, names, codec },
      made: await rows.read(k, month),
      since: isRebuilt ? plan.sinceRebuilt : plan.since,
      // Of a file that is rebuilt only the groups of symbols that cannot be read stay.
      base: base && { body: base.body, digest: isRebuilt ? undefined : committed?.digest },
      unlessDigest: isForced ? undefined : committed?.digest,
    };
  };
  const finishMonth = async (month: number, made: MadeMonth): Promise<void> => {
    const [name, etag] = [formatMonth(month), listed.get(month)];
    if (made.damage !== undefined) return suspect(month, made.damage);
    const call = { claim, listed: etag, isCommitted: committedFile(month) !== undefined, signal };
    if (made.rows === 0) {
      delete files[name];
      if (etag === undefined) return;
      await deleteMonth(store, month, call);
      counts.filesDeleted++;
    } else if (made.bytes) {
      files[name] = { rows: made.rows, digest: made.digest, etag: await writeMonth(store, month, made.bytes, call) };
      counts.filesWritten++;
    }
  };
  const finishBatch = async (batch: readonly PlannedMonth[]): Promise<void> => {
    const call = { concurrency: BATCH_MONTHS, signal };
    const made = await threads.makeMonths(await mapAll(batch, prepareMonth, call));
    await mapAll(batch, ({ month }, i) => finishMonth(month, made[i]!), call);
  };
  await mapAll(batchesOf(plan.months), finishBatch, { concurrency: CONCURRENT_BATCHES * threads.count, signal });
  const groups = Object.values(files).reduce((sum, file) => sum + file.rows, 0);
  await commitInterval(
    store,
    claim,
    {
      ...summarize(plan.histories.values()),
      groups,
      missing: [...missing],
      deferred: plan.deferred.map(formatMonth),
      files: Object.fromEntries(Object.entries(files).sort()),
      symbols: formatHistories(plan.histories),
    },
    { signal },
  );
  return { groups, ...counts, filesUnchanged: Object.keys(files).length - counts.filesWritten };
}

function* batchesOf<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let from = 0; from < items.length; from += BATCH_MONTHS) yield items.slice(from, from + BATCH_MONTHS);
}

/** The files that were committed, in the versions in which they are there now. */
function adoptFiles(
  files: Checkpoint['files'],
  listed: ReadonlyMap<number, string>,
  suspects: ReadonlySet<number>,
): Checkpoint['files'] {
  const adopted = { ...files };
  for (const [month, etag] of listed) {
    const file = adopted[formatMonth(month)];
    if (file && !suspects.has(month)) adopted[formatMonth(month)] = { ...file, etag };
  }
  return adopted;
}

function formatHistories(histories: ReadonlyMap<string, HistoryState>): Checkpoint['symbols'] {
  const entries = [...histories].map(([symbol, { rows, firstSession, lastSession, digest }]) => {
    return [symbol, `${rows} ${formatSession(firstSession)} ${formatSession(lastSession)} ${digest}`];
  });
  return Object.fromEntries(entries.sort());
}
