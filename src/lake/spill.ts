import { concatBytes } from './columns.ts';
import { openTemporaryFile, type TemporaryFile } from './temporary-file.ts';

const WORD_BYTES = 8;
const FIRST_ROWS = 16;
const WRITE_BYTES = 4 * 2 ** 20;

/** Rows sorted into partitions, in memory as long as they fit and in a temporary file beyond. */
export interface Spill {
  /** Appends a row of `words` 8-byte words to a partition. Bits are kept, so words may hold whole numbers. */
  append(partition: number, row: Float64Array): void;
  /** Whether {@link flush} is due. */
  isFull(): boolean;
  /** Moves everything in memory to the file. */
  flush(): Promise<void>;
  /** Partitions that have rows, ascending. */
  partitions(): number[];
  /** All rows of a partition end to end, in the order they were appended. */
  read(partition: number): Promise<Float64Array>;
  /** Gives up memory and file. */
  close(): Promise<void>;
}

interface Partition {
  buffer: Float64Array;
  length: number;
  /** Where earlier rows are in the file, in bytes. */
  readonly extents: { readonly at: number; readonly bytes: number }[];
}

/**
 * Opens an empty spill.
 *
 * @param words 8-byte words a row
 * @param maxBytes memory to fill before the file is used
 */
export function openSpill({ words, maxBytes }: { readonly words: number; readonly maxBytes: number }): Spill {
  const partitions = new Map<number, Partition>();
  let allocated = 0;
  let file: TemporaryFile | undefined;
  let end = 0;

  return {
    append(id, row) {
      let partition = partitions.get(id);
      if (!partition) {
        partition = { buffer: new Float64Array(), length: 0, extents: [] };
        partitions.set(id, partition);
      }
      const { buffer, length } = partition;
      if (length + words > buffer.length) {
        partition.buffer = new Float64Array(Math.max(buffer.length * 2, FIRST_ROWS * words));
        partition.buffer.set(buffer.subarray(0, length));
        allocated += (partition.buffer.length - buffer.length) * WORD_BYTES;
      }
      partition.buffer.set(row, length);
      partition.length += words;
    },
    isFull: () => allocated >= maxBytes,
    async flush() {
      file ??= await openTemporaryFile();
      const buffers: Uint8Array[] = [];
      for (const partition of partitions.values()) {
        const bytes = partition.length * WORD_BYTES;
        if (bytes === 0) continue;
        buffers.push(new Uint8Array(partition.buffer.buffer, 0, bytes));
        partition.extents.push({ at: end, bytes });
        partition.buffer = new Float64Array();
        partition.length = 0;
        end += bytes;
      }
      await writeGathered(file, buffers);
      allocated = 0;
    },
    partitions: () => [...partitions.keys()].sort((a, b) => a - b),
    async read(id) {
      const partition = partitions.get(id);
      if (!partition) return new Float64Array();
      const { buffer, length, extents } = partition;
      const spilled = extents.reduce((sum, { bytes }) => sum + bytes, 0);
      const rows = new Float64Array(spilled / WORD_BYTES + length);
      let at = 0;
      for (const extent of extents) {
        await file!.read(new Uint8Array(rows.buffer, at, extent.bytes), extent.at);
        at += extent.bytes;
      }
      rows.set(buffer.subarray(0, length), spilled / WORD_BYTES);
      return rows;
    },
    async close() {
      partitions.clear();
      await file?.close();
      file = undefined;
    },
  };
}

/** Writes buffers one after the other, small ones gathered into large writes. */
async function writeGathered(file: TemporaryFile, buffers: readonly Uint8Array[]): Promise<void> {
  for (let i = 0; i < buffers.length; ) {
    const gathered: Uint8Array[] = [];
    for (let bytes = 0; i < buffers.length && bytes < WRITE_BYTES; i++) {
      gathered.push(buffers[i]!);
      bytes += buffers[i]!.length;
    }
    await file.append(concatBytes(gathered));
  }
}
