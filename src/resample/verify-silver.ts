import { hasCode } from '../errors.ts';
import { type Columns, columnOf, decodeUtf8, emptyColumns, encodeUtf8, type Utf8Values } from '../lake/columns.ts';
import { digestColumns } from '../lake/digest.ts';
import { checkpointKey, silverKey } from '../lake/keys.ts';
import { mapAll } from '../lake/map-all.ts';
import { type DecodedTable, decodeTable } from '../lake/parquet-decode.ts';
import { type Shard, WHOLE } from '../lake/shard.ts';
import { SILVER_SCHEMA } from '../lake/silver.ts';
import type { ObjectStore, StoreCall } from '../lake/store.ts';
import type { LakeProblem } from '../lake/verify-bronze.ts';
import type { OnProgress } from '../progress.ts';
import { formatMonth } from '../session.ts';
import { compareSymbols } from '../symbol.ts';
import { type Checkpoint, readCheckpoint } from './checkpoint.ts';
import { collectGroups } from './collect-groups.ts';
import type { BronzeSymbol } from './find-bronze.ts';
import { ALL_SESSIONS } from './group-symbols.ts';
import { listMonths } from './interval-state.ts';
import { monthColumns } from './make-month.ts';
import { onlySymbols } from './month-files.ts';
import { openMonthRows } from './month-rows.ts';
import { openThreads, threadsFor } from './threads.ts';

/** A symbol and the bytes of its `data.parquet`. */
export type BronzeSize = Pick<BronzeSymbol, 'symbol' | 'size'>;

export interface SilverCheck {
  readonly files: number;
  readonly groups: number;
  readonly problems: readonly LakeProblem[];
}

const CONCURRENT_FILES = 8;
const MAX_BYTES = 256 * 2 ** 20;

/**
 * Makes the groups of `symbols` anew from bronze and compares them with the month files, value for value; also checks each
 * file's digest and order, and that the checkpoint names the files there are.
 *
 * @param symbols ascending
 * @param isCompared whether a symbol's groups in the month files are looked at; all where left out
 */
export async function verifySilver(
  store: ObjectStore,
  intervals: readonly number[],
  {
    symbols,
    shard,
    isCompared,
    onProgress,
    signal,
  }: StoreCall & {
    readonly symbols: readonly BronzeSize[];
    readonly shard: Shard;
    readonly isCompared?: ((symbol: string) => boolean) | undefined;
    readonly onProgress?: OnProgress | undefined;
  },
): Promise<SilverCheck> {
  const rows = openMonthRows({ maxBytes: MAX_BYTES });
  const names = encodeUtf8(symbols.map(({ symbol }) => symbol));
  const ids = new Map(symbols.map(({ symbol }, id) => [symbol, id]));
  const since = new Int32Array(symbols.length).fill(ALL_SESSIONS);
  const bytes = symbols.reduce((sum, { size }) => sum + size, 0);
  const threads = await openThreads(threadsFor(bytes));
  const problems: LakeProblem[] = [];
  const counts = { files: 0, groups: 0 };
  try {
    // Symbols that cannot be read are told as what they are by the check of bronze.
    const needs = intervals.map((interval) => ({ interval, known: new Map(), isWhole: true }));
    await collectGroups(store, symbols, { intervals: needs, ids, rows, threads, onProgress, signal });
    for (const [k, interval] of intervals.entries()) {
      const { listed: months } = await listMonths(store, interval, { shard, signal });
      const checkpoint = await checkCheckpoint(store, interval, months, { shard, problems, signal });
      const deferred = new Set(checkpoint?.deferred);
      const made = new Set(rows.months(k));
      const verifyMonth = async (month: number): Promise<void> => {
        const key = silverKey(interval, month, shard);
        const expected = made.has(month)
          ? monthColumns({ key, interval, names, since, made: await rows.read(k, month) })
          : undefined;
        const isDeferred = deferred.has(formatMonth(month));
        if (!months.has(month)) {
          if (isDeferred) return;
          problems.push({
            kind: 'silver',
            key,
            message: `${key}: is missing, bronze has ${expected?.length} groups for it`,
          });
          return;
        }
        const found = await readMonth(store, key, { problems, signal });
        counts.files++;
        if (!found) return;
        counts.groups += found.columns.length;
        problems.push(...checkOrder(key, found.columns), ...checkDigest(key, month, found, checkpoint));
        if (isDeferred) return;
        const compared = isCompared ? onlySymbols(found.columns, isCompared) : found.columns;
        const digest = isCompared ? digestOf(compared) : found.digest;
        if (digest !== digestOf(expected ?? emptyColumns(SILVER_SCHEMA))) {
          const counted = `${compared.length} groups, bronze makes ${expected?.length ?? 0}`;
          problems.push({ kind: 'silver', key, message: `${key}: has other groups than bronze makes (${counted})` });
        }
      };
      const all = [...new Set([...months.keys(), ...made])].sort((a, b) => a - b);
      await mapAll(all, verifyMonth, { concurrency: CONCURRENT_FILES, signal });
      onProgress?.({ step: 'silver', done: k + 1, total: intervals.length });
    }
    return { ...counts, problems };
  } finally {
    await Promise.all([rows.close(), threads.close()]);
  }
}

interface Report extends StoreCall {
  readonly shard?: Shard;
  readonly problems: LakeProblem[];
}

async function checkCheckpoint(
  store: ObjectStore,
  interval: number,
  months: ReadonlyMap<number, string>,
  { shard = WHOLE, problems, signal }: Report,
): Promise<Checkpoint | undefined> {
  const key = checkpointKey(interval, shard);
  const report = (message: string): void => {
    problems.push({ kind: 'checkpoint', key, message });
  };
  try {
    const found = await readCheckpoint(store, interval, { shard, signal });
    if (!found) {
      if (months.size > 0) report(`${key}: is missing, and there are ${months.size} month files`);
      return undefined;
    }
    const { files, state } = found.checkpoint;
    if (state === 'running') report(`${key}: the last run did not end; run resample again`);
    const there = new Set([...months.keys()].map(formatMonth));
    for (const month of Object.keys(files))
      if (!there.has(month)) report(`${key}: names month ${month}, which is missing`);
    for (const month of there) if (!files[month]) report(`${key}: does not name month ${month}, which is there`);
    return found.checkpoint;
  } catch (error) {
    if (!hasCode(error, 'CorruptObject')) throw error;
    report(error.message);
    return undefined;
  }
}

async function readMonth(
  store: ObjectStore,
  key: string,
  { problems, signal }: Report,
): Promise<DecodedTable | undefined> {
  try {
    return decodeTable(SILVER_SCHEMA, (await store.get(key, { signal })).body, key);
  } catch (error) {
    if (!hasCode(error, 'CorruptObject', 'NotFound')) throw error;
    problems.push({ kind: 'corrupt', key, message: error.message });
    return undefined;
  }
}

function checkDigest(
  key: string,
  month: number,
  { digest }: DecodedTable,
  checkpoint: Checkpoint | undefined,
): LakeProblem[] {
  const committed = checkpoint?.files[formatMonth(month)];
  if (!committed || committed.digest === digest) return [];
  return [{ kind: 'silver', key, message: `${key}: has digest ${digest}, ${committed.digest} was committed` }];
}

function checkOrder(key: string, columns: Columns): LakeProblem[] {
  const symbols = decodeUtf8(columnOf<Utf8Values>(SILVER_SCHEMA, columns, 'symbol'));
  const date = columnOf<Int32Array>(SILVER_SCHEMA, columns, 'date');
  const i = symbols.findIndex((symbol, at) => {
    if (at === 0) return false;
    const order = compareSymbols(symbols[at - 1]!, symbol);
    return order > 0 || (order === 0 && date[at - 1]! >= date[at]!);
  });
  return i < 0 ? [] : [{ kind: 'corrupt', key, message: `${key}: row ${i} is out of order: expected symbol, date` }];
}

function digestOf(columns: Columns): string {
  return digestColumns(SILVER_SCHEMA, columns).digest;
}
