import { hasCode } from '../errors.ts';
import { type Columns, columnOf, decodeUtf8, emptyColumns, encodeUtf8, type Utf8Values } from '../lake/columns.ts';
import { digestColumns } from '../lake/digest.ts';
import { checkpointKey, silverKey } from '../lake/keys.ts';
import { mapAll } from '../lake/map-all.ts';
import { type DecodedTable, decodeTable } from '../lake/parquet-decode.ts';
import { SILVER_SCHEMA } from '../lake/silver.ts';
import type { ObjectStore, StoreCall } from '../lake/store.ts';
import type { LakeProblem } from '../lake/verify-bronze.ts';
import type { OnProgress } from '../progress.ts';
import { formatMonth } from '../session.ts';
import { compareSymbols } from '../symbol.ts';
import { type Checkpoint, readCheckpoint } from './checkpoint.ts';
import { collectGroups } from './collect-groups.ts';
import { listMonths, onlySymbols } from './month-files.ts';
import { openMonthRows } from './month-rows.ts';

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
    isCompared,
    onProgress,
    signal,
  }: StoreCall & {
    readonly symbols: readonly string[];
    readonly isCompared?: ((symbol: string) => boolean) | undefined;
    readonly onProgress?: OnProgress | undefined;
  },
): Promise<SilverCheck> {
  const rows = openMonthRows({ maxBytes: MAX_BYTES });
  const names = encodeUtf8(symbols);
  const problems: LakeProblem[] = [];
  const counts = { files: 0, groups: 0 };
  try {
    // Symbols that cannot be read are told as what they are by the check of bronze.
    await collectGroups(store, symbols, { rows, intervals, onProgress, signal });
    for (const [k, interval] of intervals.entries()) {
      const months = await listMonths(store, interval, { signal });
      const checkpoint = await checkCheckpoint(store, interval, months, { problems, signal });
      const made = new Set(rows.months(k));
      const verifyMonth = async (month: number): Promise<void> => {
        const key = silverKey(interval, month);
        const expected = made.has(month) ? await rows.read(k, month, interval, names) : undefined;
        if (!months.has(month)) {
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
    await rows.close();
  }
}

interface Report extends StoreCall {
  readonly problems: LakeProblem[];
}

async function checkCheckpoint(
  store: ObjectStore,
  interval: number,
  months: ReadonlyMap<number, string>,
  { problems, signal }: Report,
): Promise<Checkpoint | undefined> {
  const key = checkpointKey(interval);
  const report = (message: string): void => {
    problems.push({ kind: 'checkpoint', key, message });
  };
  try {
    const found = await readCheckpoint(store, interval, { signal });
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
