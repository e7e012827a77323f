import { type Columns, columnOf, emptyColumns } from '../lake/columns.ts';
import { silverKey } from '../lake/keys.ts';
import { mapAll } from '../lake/map-all.ts';
import { SILVER_SCHEMA } from '../lake/silver.ts';
import type { ObjectStore } from '../lake/store.ts';
import type { Codec } from '../lake/wasm.ts';
import { formatMonth, formatSession } from '../session.ts';
import type { Checkpoint, Claim } from './checkpoint.ts';
import { deleteMonth, keepOthers, listMonths, writeMonth } from './month-files.ts';

const CONCURRENT_FILES = 8;

export interface WriteIntervalOptions {
  /** Months that groups were made for. */
  readonly months: readonly number[];
  readonly read: (month: number) => Promise<Columns>;
  /** Symbols whose groups stay as they are; `undefined` where every group is made anew. */
  readonly isKept: ((symbol: string) => boolean) | undefined;
  readonly forceFull: boolean;
  readonly codec: Codec | undefined;
  readonly signal: AbortSignal | undefined;
}

export interface WrittenInterval extends Pick<Checkpoint, 'bars' | 'groups' | 'firstDate' | 'lastDate' | 'files'> {
  readonly counts: { readonly filesWritten: number; readonly filesUnchanged: number; readonly filesDeleted: number };
}

/** Writes the month files of an interval under a claim, and deletes those that have no groups any more. */
export async function writeInterval(
  store: ObjectStore,
  claim: Claim,
  { months, read, isKept, forceFull, codec, signal }: WriteIntervalOptions,
): Promise<WrittenInterval> {
  const { interval } = claim.checkpoint;
  const listed = await listMonths(store, interval, { signal });
  const made = new Set(months);
  const files: Checkpoint['files'] = {};
  const counts = { filesWritten: 0, filesUnchanged: 0, filesDeleted: 0 };
  let [bars, groups, first, last] = [0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

  const finishMonth = async (month: number): Promise<void> => {
    const etag = listed.get(month);
    let table = made.has(month) ? await read(month) : emptyColumns(SILVER_SCHEMA);
    if (isKept && etag !== undefined)
      table = await keepOthers(store, silverKey(interval, month), table, isKept, { signal });
    if (table.length === 0) {
      await deleteMonth(store, month, { claim, listed: etag, signal });
      counts.filesDeleted++;
      return;
    }
    const options = { claim, listed: etag, force: forceFull, codec, signal };
    const { written, ...file } = await writeMonth(store, month, table, options);
    files[formatMonth(month)] = file;
    counts[written ? 'filesWritten' : 'filesUnchanged']++;
    groups += table.length;
    for (const count of columnOf<Int32Array>(SILVER_SCHEMA, table, 'bars')) bars += count;
    for (const session of columnOf<Int32Array>(SILVER_SCHEMA, table, 'date')) first = Math.min(first, session);
    for (const session of columnOf<Int32Array>(SILVER_SCHEMA, table, 'end_date')) last = Math.max(last, session);
  };
  const all = [...new Set([...listed.keys(), ...months])].sort((a, b) => a - b);
  await mapAll(all, finishMonth, { concurrency: CONCURRENT_FILES, signal });
  const dates = groups > 0 ? [formatSession(first), formatSession(last)] : [null, null];
  const sorted = Object.fromEntries(Object.entries(files).sort());
  return { bars, groups, firstDate: dates[0]!, lastDate: dates[1]!, files: sorted, counts };
}
