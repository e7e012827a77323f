import type { ClientBase } from 'pg';
import { hasCode } from '../errors.ts';
import { type Columns, concatColumns, emptyColumns } from '../lake/columns.ts';
import { checkpointKey, silverKey } from '../lake/keys.ts';
import { mapAll } from '../lake/map-all.ts';
import { decodeTable } from '../lake/parquet-decode.ts';
import { SILVER_SCHEMA } from '../lake/silver.ts';
import { type ObjectStore, orNone, type StoreCall } from '../lake/store.ts';
import { planMonth, type SilverFile } from './plan-mirror.ts';
import { putMonth } from './put-month.ts';
import { lockMonth, readRecordedMonth, recordFiles } from './silver-files.ts';
import { divisionOf, type ReadSilverState } from './silver-state.ts';

/** A month file that cannot be mirrored. */
export interface FailedFile {
  readonly key: string;
  readonly message: string;
}

/** What became of a month. */
export interface MirroredMonth {
  readonly filesWritten: number;
  readonly filesUnchanged: number;
  readonly filesDeleted: number;
  /** A run is writing them now, or they have to wait until silver is divided anew: the next run mirrors them. */
  readonly filesPending: number;
  readonly rowsWritten: number;
  readonly rowsUnchanged: number;
  readonly rowsDeleted: number;
  readonly failed: readonly FailedFile[];
}

interface MirrorMonthCall extends StoreCall {
  readonly interval: number;
  readonly month: number;
  readonly readState: ReadSilverState;
}

const CONCURRENT_READS = 8;

/**
 * Makes a month of a table have the rows of its month files, in the transaction of `client`.
 *
 * Commit point: rows and their record are there whole, when the transaction ends. What is to be there is read under the lock of
 * the month: so whoever holds it after another has seen checkpoints that are no older, and a run that was held up puts
 * nothing old in the place of something new.
 *
 * @throws BatchLayerError `CorruptObject` where a checkpoint is damaged; and what the store and the database throw
 */
export async function mirrorMonth(
  store: ObjectStore,
  client: ClientBase,
  { interval, month, readState, signal }: MirrorMonthCall,
): Promise<MirroredMonth> {
  await lockMonth(client, interval, month);
  const recorded = await readRecordedMonth(client, interval, month);
  const state = await readState({ signal });
  const plan = planMonth(divisionOf(interval, state), month, recorded);
  const keyOf = ({ shard }: SilverFile) => silverKey(interval, month, shard);
  const isBeingWritten = async ({ shard }: SilverFile): Promise<boolean> => {
    const checkpoint = checkpointKey(interval, shard);
    const now = (await readState({ signal })).get(checkpoint);
    return now?.etag !== state.get(checkpoint)?.etag || now?.isRunning === true;
  };
  const read = (file: SilverFile) => readFile(store, keyOf(file), { file, isBeingWritten, signal });
  const files = await mapAll(plan.write, read, { concurrency: CONCURRENT_READS, signal });
  // Another division comes whole, or not yet.
  const isHeldUp = plan.isWhole && files.some(({ columns }) => !columns);
  const write = files.filter(({ columns }) => columns && !isHeldUp);
  const drop = isHeldUp ? [] : plan.drop;
  const shards = [...write.map(({ shard }) => shard), ...drop];
  const rows =
    shards.length > 0 &&
    (await putMonth(client, {
      interval,
      month,
      columns: concatColumns(SILVER_SCHEMA, [emptyColumns(SILVER_SCHEMA), ...write.map(({ columns }) => columns!)]),
      shards,
      isNew: recorded.length === 0,
      signal,
    }));
  await recordFiles(client, interval, month, { drop, write });
  return {
    filesWritten: write.length,
    filesUnchanged: plan.unchanged,
    filesDeleted: drop.length,
    filesPending: plan.waiting.length + files.filter((file) => !file.damage && !write.includes(file)).length,
    ...(rows || { rowsWritten: 0, rowsUnchanged: 0, rowsDeleted: 0 }),
    failed: files.flatMap((file) => (file.damage ? [{ key: keyOf(file), message: file.damage }] : [])),
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
  {
    file,
    isBeingWritten,
    signal,
  }: StoreCall & {
    readonly file: SilverFile;
    readonly isBeingWritten: (file: SilverFile) => Promise<boolean>;
  },
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
