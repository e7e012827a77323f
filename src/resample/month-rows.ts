import { openTemporaryFile, type TemporaryFile } from '../lake/temporary-file.ts';
import { lowerBound } from '../lower-bound.ts';
import { type GroupRows, monthOfPartition, partitionOf, ROW_WORDS } from './group-rows.ts';
import type { RowSlice } from './make-month.ts';

const ROW_BYTES = ROW_WORDS * Float64Array.BYTES_PER_ELEMENT;

/** Groups of all intervals, sorted into months, in memory as long as they fit and in a temporary file beyond. */
export interface MonthRows {
  /** Adds groups as the `index`th part: a month's rows are read in the order of parts. */
  add(index: number, groups: GroupRows): Promise<void>;
  /** Months that interval k has groups in, ascending ({@link monthOf}). */
  months(k: number): number[];
  /** The rows of one month. */
  read(k: number, month: number): Promise<RowSlice[]>;
  close(): Promise<void>;
}

interface Part extends Omit<GroupRows, 'rows'> {
  /** In memory, or from this byte of the file on. */
  readonly rows: SharedArrayBuffer | number;
}

/**
 * @param maxBytes memory to fill before the file is used
 */
export function openMonthRows({ maxBytes }: { readonly maxBytes: number }): MonthRows {
  const parts: Part[] = [];
  let inMemory = 0;
  let file: Promise<TemporaryFile> | undefined;
  return {
    async add(index, { rows, ...groups }) {
      const fits = inMemory + rows.byteLength <= maxBytes;
      if (fits) inMemory += rows.byteLength;
      else file ??= openTemporaryFile();
      parts[index] = { ...groups, rows: fits ? rows : await (await file!).append(new Uint8Array(rows)) };
    },
    months(k) {
      const months = new Set<number>();
      for (const { partitions } of parts) {
        for (const partition of partitions) {
          const month = monthOfPartition(partition, k);
          if (month !== undefined) months.add(month);
        }
      }
      return [...months].sort((a, b) => a - b);
    },
    async read(k, month) {
      const slices: RowSlice[] = [];
      for (const { rows, partitions, starts } of parts) {
        const partition = partitionOf(k, month);
        const i = lowerBound(partitions, partition);
        if (partitions[i] !== partition) continue;
        const [from, to] = [starts[i]!, starts[i + 1]!];
        if (typeof rows !== 'number') slices.push({ rows, from, to });
        else {
          const read = new SharedArrayBuffer((to - from) * ROW_BYTES);
          await (await file!).read(new Uint8Array(read), rows + from * ROW_BYTES);
          slices.push({ rows: read, from: 0, to: to - from });
        }
      }
      return slices;
    },
    async close() {
      parts.length = 0;
      await (await file)?.close();
    },
  };
}
