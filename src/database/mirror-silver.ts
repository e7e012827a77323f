import type { ClientBase } from 'pg';
import { BatchLayerError, hasCode } from '../errors.ts';
import { silverPrefix } from '../lake/keys.ts';
import { mapAll } from '../lake/map-all.ts';
import type { ObjectStore, StoreCall } from '../lake/store.ts';
import { type StoreMetrics, withMetrics } from '../lake/with-metrics.ts';
import type { OnProgress } from '../progress.ts';
import { checkIntervals, INTERVALS } from '../resample/kernel.ts';
import { bindLake } from './bind-lake.ts';
import type { Database } from './connection.ts';
import { type FailedFile, type MirroredMonths, mirrorMonths } from './mirror-months.ts';
import { batchMonths, type MonthPlan, planMonths } from './plan-mirror.ts';
import { readRecordedFiles, silverTable } from './silver-files.ts';
import { divisionOf, type ReadSilverState, silverStateReader } from './silver-state.ts';

/** {@link mirrorSilver}'s options. */
export interface MirrorOptions {
  /** Numbers of sessions a group has. */
  readonly intervals?: readonly number[];
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What became of one interval's table. */
export interface MirroredInterval extends Omit<MirroredMonths, 'failed'> {
  readonly interval: number;
}

/** What mirroring came to. */
export interface MirrorResult {
  readonly intervals: readonly MirroredInterval[];
  /** Month files and checkpoints that are damaged: what there is of them in the database stays as it is. */
  readonly failed: readonly FailedFile[];
  /** What stopped the run before its end; what is counted is done. */
  readonly failure?: string;
  readonly metrics: StoreMetrics;
}

/** Transactions at the same time. */
const CONCURRENT_BATCHES = 3;

/**
 * Makes the tables `silver_{n}d` have the groups that the month files of silver have: all of them, and no others.
 *
 * What silver is, its checkpoints say; which month files the tables have, the table `silver_files`. What differs is brought
 * in transactions of whole months: a reader sees a month's groups whole, old or new. Rows that are there already are not
 * touched. Run again, also after a crash, it does what is left; of runs at the same time one waits for the other's months,
 * and none puts back what another has brought. A database is to mirror one lake.
 *
 * @throws BatchLayerError `BadInput` for intervals that are none; the signal's reason. What fails otherwise is told
 * @example
 * const { failure } = await mirrorSilver(openStore('file:./lake'), database, { intervals: [3, 5] });
 */
export async function mirrorSilver(
  lake: ObjectStore,
  database: Database,
  { intervals = INTERVALS, onProgress, signal }: MirrorOptions = {},
): Promise<MirrorResult> {
  checkIntervals(intervals);
  const store = withMetrics(lake);
  const parts = new Map(intervals.map((interval): [number, Partial<MirroredMonths>[]] => [interval, []]));
  /** An interval whose checkpoints are damaged does not stop the others. */
  const collect = async (interval: number, work: () => Promise<readonly Partial<MirroredMonths>[]>): Promise<void> => {
    const made = await work().catch((error: unknown) => {
      if (!hasCode(error, 'CorruptObject')) throw error;
      return [{ failed: [{ key: silverPrefix(interval), message: error.message }] }];
    });
    parts.get(interval)!.push(...made);
  };
  let failure: string | undefined;
  try {
    await bindLake(store, database, { signal });
    const batches: MonthBatch[] = [];
    for (const interval of intervals) {
      await collect(interval, async () => {
        const planned = await planTable(store, database, interval, { signal });
        batches.push(...planned.batches);
        return [planned.rest];
      });
    }
    const total = batches.reduce((sum, { months }) => sum + months.length, 0);
    let done = 0;
    const mirror = async (batch: MonthBatch): Promise<void> => {
      await collect(batch.interval, () =>
        database.transaction((client) => mirrorMonths(store, client, { ...batch, signal }), { signal }),
      );
      done += batch.months.length;
      onProgress?.({ step: 'mirror', done, total });
    };
    await mapAll(batches, mirror, { concurrency: CONCURRENT_BATCHES, signal });
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof BatchLayerError)) throw error;
    failure = error.message;
  }
  const sums = [...parts].map(([interval, of]) => ({ interval, ...sumMonths(of) }));
  return {
    intervals: sums.map(({ failed: _, ...counts }) => counts),
    failed: eachOnce(sums.flatMap(({ failed }) => failed)),
    ...(failure === undefined ? {} : { failure }),
    metrics: store.metrics(),
  };
}

interface MonthBatch {
  readonly interval: number;
  readonly months: readonly number[];
  readonly readState: ReadSilverState;
}

/** The months of a table that something is to be done to, and what there is to say of the rest. */
async function planTable(
  store: ObjectStore,
  database: Database,
  interval: number,
  { signal }: StoreCall,
): Promise<{ readonly batches: readonly MonthBatch[]; readonly rest: Partial<MirroredMonths> }> {
  const readState = silverStateReader(store, interval);
  const state = await readState({ signal });
  if (state.size === 0) return { batches: [], rest: {} };
  const recorded = await database.transaction((client) => openTable(client, interval), { signal });
  const division = divisionOf(interval, state);
  const plans = [...planMonths(division, recorded)];
  const idle = plans.filter(isIdle);
  const busy = plans.filter((plan) => !isIdle(plan)).map(([month]) => month);
  return {
    batches: (division ? batchMonths(division, busy) : []).map((months) => ({ interval, months, readState })),
    rest: {
      filesUnchanged: idle.reduce((sum, [, { unchanged }]) => sum + unchanged, 0),
      filesPending: idle.reduce((sum, [, { waiting }]) => sum + waiting.length, 0),
    },
  };
}

function isIdle([, { write, drop }]: readonly [month: number, plan: MonthPlan]): boolean {
  return write.length + drop.length === 0;
}

async function openTable(client: ClientBase, interval: number): ReturnType<typeof readRecordedFiles> {
  const recorded = await readRecordedFiles(client, interval);
  const { rows } = await client.query('SELECT to_regclass($1) IS NULL AS "isMissing"', [silverTable(interval)]);
  if (rows[0].isMissing) await client.query('SELECT create_silver_table($1)', [interval]);
  return recorded;
}

/** What is wrong with the checkpoints of an interval, each of its transactions tells. */
function eachOnce(failed: readonly FailedFile[]): readonly FailedFile[] {
  return [...new Map(failed.map((file) => [`${file.key} ${file.message}`, file])).values()];
}

function sumMonths(parts: readonly Partial<MirroredMonths>[]): MirroredMonths {
  const sum = (name: CountName) => parts.reduce((total, part) => total + (part[name] ?? 0), 0);
  return {
    filesWritten: sum('filesWritten'),
    filesUnchanged: sum('filesUnchanged'),
    filesDeleted: sum('filesDeleted'),
    filesPending: sum('filesPending'),
    rowsWritten: sum('rowsWritten'),
    rowsUnchanged: sum('rowsUnchanged'),
    rowsDeleted: sum('rowsDeleted'),
    failed: parts.flatMap(({ failed = [] }) => failed),
  };
}

type CountName = Exclude<keyof MirroredMonths, 'failed'>;
