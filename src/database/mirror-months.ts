import type { ClientBase } from 'pg';
import { hasCode } from '../errors.ts';
import { type Columns, concatColumns, emptyColumns } from '../lake/columns.ts';
import { checkpointKey, silverKey } from '../lake/keys.ts';
import { mapAll } from '../lake/map-all.ts';
import { decodeTable } from '../lake/parquet-decode.ts';
import { SILVER_SCHEMA } from '../lake/silver.ts';
import { type ObjectStore, orNone, type StoreCall } from '../lake/store.ts';
import { type MonthPlan, planMonth, type SilverFile } from './plan-mirror.ts';
import { putMonth, putNewRows, type RowCounts } from './put-months.ts';
import { lockMonths, readRecordedFiles, recordFiles } from './silver-files.ts';
import { divisionOf, type ReadSilverState } from './silver-state.ts';

/** A month file that cannot be mirrored. */
export interface FailedFile {
  readonly key: string;
  readonly message: string;
}

/** What became of months. */
export interface MirroredMonths extends RowCounts {
  readonly filesWritten: number;
  readonly filesUnchanged: number;
  readonly filesDeleted: number;
  /** A run is writing them now, or they have to wait until silver is divided anew: the next run mirrors them. */
  readonly filesPending: number;
  readonly failed: readonly FailedFile[];
}

interface MirrorMonthsCall extends StoreCall {
  readonly interval: number;
  /** Ascending: of two runs one waits for the other, never both. */
  readonly months: readonly number[];
  readonly readState: ReadSilverState;
}

const CONCURRENT_MONTHS = 4;
const CONCURRENT_READS = 4;

/**
 * Makes months of a table have the rows of their month files, in the transaction of `client`.
 *
 * Commit point: rows and their record are there whole, when the transaction ends. What is to be there is read under the locks of
 * the months: so whoever holds one after another has seen checkpoints that are no older, and a run that was held up puts
 * nothing old in the place of something new.
 *
 * @returns what became of them, in parts to be added up
 * @throws BatchLayerError `CorruptObject` where a checkpoint is damaged; and what the store and the database throw
 */
export async function mirrorMonths(
  store: ObjectStore,
  client: ClientBase,
  { interval, months, readState, signal }: MirrorMonthsCall,
): Promise<readonly Partial<MirroredMonths>[]> {
  await lockMonths(client, interval, months);
  const recorded = await readRecordedFiles(client, interval, months);
  const state = await readState({ signal });
  const division = divisionOf(interval, state);
  const isBeingWritten = async ({ shard }: SilverFile): Promise<boolean> => {
    const checkpoint = checkpointKey(interval, shard);
    const now = (await readState({ signal })).get(checkpoint);
    return now?.etag !== state.get(checkpoint)?.etag || now?.isRunning === true;
  };
  const read = (month: number): Promise<FoundMonth> => {
    const plan = planMonth(division, month, recorded.get(month) ?? []);
    return readMonth(store, plan, {
      keyOf: ({ shard }) => silverKey(interval, month, shard),
      month,
      isBeingWritten,
      signal,
    });
  };
  const found = await mapAll(months, read, { concurrency: CONCURRENT_MONTHS, signal });
  const parts: Partial<MirroredMonths>[] = found.map(({ counts }) => counts);
  const isNew = ({ month }: FoundMonth) => !recorded.has(month);
  const columns = concatColumns(SILVER_SCHEMA, [
    emptyColumns(SILVER_SCHEMA),
    ...found.filter(isNew).flatMap(({ write }) => write.map((file) => file.columns)),
  ]);
  if (columns.length > 0) parts.push(await putNewRows(client, { interval, columns, signal }));
  for (const each of found) {
    const { month, write, drop } = each;
    const shards = [...write.map(({ shard }) => shard), ...drop];
    if (isNew(each) || shards.length === 0) continue;
    const rows = concatColumns(SILVER_SCHEMA, [emptyColumns(SILVER_SCHEMA), ...write.map((file) => file.columns)]);
    parts.push(await putMonth(client, { interval, month, columns: rows, shards, signal }));
  }
  await recordFiles(client, interval, found);
  return parts;
}

/** What is to become of a month of a table, with the rows. */
interface FoundMonth {
  readonly month: number;
  readonly write: readonly (SilverFile & { readonly columns: Columns })[];
  readonly drop: readonly SilverFile['shard'][];
  readonly counts: Omit<MirroredMonths, keyof RowCounts>;
}

interface ReadCall extends StoreCall {
  readonly isBeingWritten: (file: SilverFile) => Promise<boolean>;
}

async function readMonth(
  store: ObjectStore,
  plan: MonthPlan,
  { month, keyOf, ...call }: ReadCall & { readonly month: number; readonly keyOf: (file: SilverFile) => string },
): Promise<FoundMonth> {
  const read = (file: SilverFile) => readFile(store, keyOf(file), { file, ...call });
  const files = await mapAll(plan.write, read, { concurrency: CONCURRENT_READS, signal: call.signal });
  // Another division comes whole, or not yet.
  const isHeldUp = plan.isWhole && files.some(({ columns }) => !columns);
  const write = isHeldUp ? [] : files.flatMap(({ columns, ...file }) => (columns ? [{ ...file, columns }] : []));
  const drop = isHeldUp ? [] : plan.drop;
  const damaged = files.flatMap((file) => (file.damage ? [{ key: keyOf(file), message: file.damage }] : []));
  return {
    month,
    write,
    drop,
    counts: {
      filesWritten: write.length,
      filesUnchanged: plan.unchanged,
      filesDeleted: drop.length,
      filesPending: plan.waiting.length + files.length - damaged.length - write.length,
      failed: damaged,
    },
  };
}

interface FoundFile extends SilverFile {
  /** Left out where it is not the file that was committed. */
  readonly columns?: Columns;
  /** Why, where it is not that a run is writing it. */
  readonly damage?: string;
}

async function readFile(
  store: ObjectStore,
  key: string,
  { file, isBeingWritten, signal }: ReadCall & { readonly file: SilverFile },
): Promise<FoundFile> {
  try {
    const object = await orNone(store.get(key, { signal }));
    const table = object && decodeTable(SILVER_SCHEMA, object.body, key);
    if (table?.digest === file.digest) return { ...file, columns: table.columns };
    if (await isBeingWritten(file)) return file;
    const difference = table ? `has digest ${table.digest}: expected ${file.digest}, as was committed` : 'is gone';
    return { ...file, damage: `${key}: ${difference}; run resample again` };
  } catch (error) {
    if (!hasCode(error, 'CorruptObject')) throw error;
    return { ...file, damage: error.message };
  }
}
