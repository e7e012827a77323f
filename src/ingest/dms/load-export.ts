import type { Spill } from '../../lake/spill.ts';
import type { ObjectStore, StoreCall } from '../../lake/store.ts';
import type { OnProgress } from '../../progress.ts';
import { createRowPacker } from '../packed-rows.ts';
import {
  describeNumber,
  describePrices,
  findInconsistency,
  NUMBERS,
  type RowValues,
  takeNumber,
} from '../row-values.ts';
import type { DmsProblem, DmsProblemLog } from './dms-problems.ts';
import type { DmsFile } from './open-export.ts';
import { readGroups } from './read-groups.ts';
import { NO_SESSION, NO_SYMBOL, openGroup, type RowGroupValues } from './row-group.ts';

interface LoadOptions extends StoreCall {
  readonly spill: Spill;
  readonly partitions: number;
  readonly problems: DmsProblemLog;
  readonly onProgress?: OnProgress | undefined;
}

/** What was loaded. */
export interface LoadedExport {
  readonly symbols: readonly string[];
  /** Rows of bars that are not daily ones. */
  readonly skipped: number;
}

/** Rows between two looks at whether the spill is full. */
const BLOCK_ROWS = 65_536;

/** Reads all files into the spill, each symbol's rows in one partition. */
export async function loadExport(
  store: ObjectStore,
  files: readonly DmsFile[],
  { spill, partitions, problems, onProgress, signal }: LoadOptions,
): Promise<LoadedExport> {
  const symbolIds = new Map<string, number>();
  const symbolId = (symbol: string): number => {
    const id = symbolIds.get(symbol) ?? symbolIds.size;
    if (id === symbolIds.size) symbolIds.set(symbol, id);
    return id;
  };
  const groups = files.flatMap((file) => file.groups);
  const values = openGroup(
    groups.reduce((most, { rows }) => Math.max(most, rows), 0),
    symbolId,
  );
  const total = groups.reduce((sum, { rows }) => sum + rows, 0);
  const packer = createRowPacker();
  const row = { session: 0, open: 0, high: 0, low: 0, close: 0, volume: 0, vwap: 0, trades: 0 };
  const place = { file: 0, line: 0 };
  let [done, skipped] = [0, 0];

  const appendRow = (key: string, i: number): void => {
    if (values.isDaily[i] === 0) {
      skipped++;
      return;
    }
    const problem = takeRow(values, i, row);
    if (problem) {
      problems.add({ ...problem, file: key, row: place.line });
      return;
    }
    const id = values.symbol[i]!;
    packer.pack(id, row, place);
    spill.append(id % partitions, packer.row);
  };

  for (const [f, file] of files.entries()) {
    place.file = f;
    for await (const { firstRow, rows } of readGroups(store, file, values, { signal })) {
      for (let from = 0; from < rows; from += BLOCK_ROWS) {
        signal?.throwIfAborted();
        for (let i = from; i < Math.min(from + BLOCK_ROWS, rows); i++) {
          place.line = firstRow + i;
          appendRow(file.key, i);
        }
        if (spill.isFull()) await spill.flush();
      }
      done += rows;
      onProgress?.({ step: 'read', done, total });
    }
  }
  return { symbols: [...symbolIds.keys()], skipped };
}

/** Reads one row into `row` and checks it, in the order of a CSV file's line; the first problem found, or `undefined`. */
function takeRow(values: RowGroupValues, i: number, row: RowValues): Pick<DmsProblem, 'kind' | 'message'> | undefined {
  if (values.symbol[i] === NO_SYMBOL) {
    return { kind: 'bad_symbol', message: `"${values.shown('symbol', i)}" is not a symbol` };
  }
  row.session = values.session[i]!;
  if (row.session === NO_SESSION) {
    return { kind: 'bad_date', message: `"${values.shown('time', i)}" is not the time of a bar` };
  }
  for (const name of NUMBERS) {
    const value = values.numbers[name][i]!;
    const fault = takeNumber(row, name, value);
    if (fault) return { kind: fault, message: describeNumber(fault, name, values.shown(name, i) || String(value)) };
  }
  const inconsistency = findInconsistency(row);
  return inconsistency && { kind: inconsistency, message: describePrices(row) };
}
