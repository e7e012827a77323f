import { randomUUID } from 'node:crypto';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { concatBytes } from './columns.ts';

const WORD_BYTES = 8;
const FIRST_ROWS = 16;
const WRITE_BYTES = 4 * 2 ** 20;
/** Node counts the bytes of a write in 32 bits. */
const MAX_WRITE_BYTES = 2 ** 30;

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
  let file: FileHandle | undefined;
  let end = 0;

  const openFile = async (): Promise<FileHandle> => {
    const path = join(tmpdir(), `batch-layer-${randomUUID()}.spill`);
    const opened = await open(path, 'wx+', 0o600);
    // Nameless from now on: gone with its handle, however the process ends.
    await unlink(path);
    return opened;
  };

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
      file ??= await openFile();
      const buffers: Uint8Array[] = [];
      const from = end;
      for (const partition of partitions.values()) {
        const bytes = partition.length * WORD_BYTES;
        if (bytes === 0) continue;
        buffers.push(new Uint8Array(partition.buffer.buffer, 0, bytes));
        partition.extents.push({ at: end, bytes });
        partition.buffer = new Float64Array();
        partition.length = 0;
        end += bytes;
      }
      await writeFully(file, buffers, from);
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
        await readFully(file!, new Uint8Array(rows.buffer, at, extent.bytes), extent.at);
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
async function writeFully(file: FileHandle, buffers: readonly Uint8Array[], position: number): Promise<void> {
  let at = position;
  for (let i = 0; i < buffers.length; ) {
    const gathered: Uint8Array[] = [];
    for (let bytes = 0; i < buffers.length && bytes < WRITE_BYTES; i++) {
      gathered.push(buffers[i]!);
      bytes += buffers[i]!.length;
    }
    const chunk = concatBytes(gathered);
    for (let done = 0; done < chunk.length; ) {
      const length = Math.min(chunk.length - done, MAX_WRITE_BYTES);
      const { bytesWritten } = await file.write(chunk, done, length, at);
      done += bytesWritten;
      at += bytesWritten;
    }
  }
}

async function readFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const length = Math.min(bytes.length - done, MAX_WRITE_BYTES);
    const { bytesRead } = await file.read(bytes, done, length, position + done);
    if (bytesRead === 0) throw new Error('temporary file is shorter than what was written to it');
    done += bytesRead;
  }
}
