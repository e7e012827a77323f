import { randomUUID } from 'node:crypto';
import { open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Node counts the bytes of a write in 32 bits. */
const MAX_CALL_BYTES = 2 ** 30;

/** Bytes that did not fit into memory. */
export interface TemporaryFile {
  /** Writes bytes at the end. @returns where they are */
  append(bytes: Uint8Array): Promise<number>;
  /** Fills `bytes` with what was written at `position` and on. */
  read(bytes: Uint8Array, position: number): Promise<void>;
  close(): Promise<void>;
}

/** Opens an empty temporary file that is gone with this process, however that ends. */
export async function openTemporaryFile(): Promise<TemporaryFile> {
  const path = join(tmpdir(), `batch-layer-${randomUUID()}.spill`);
  const file = await open(path, 'wx+', 0o600);
  // Nameless from now on.
  await unlink(path);
  let end = 0;
  return {
    async append(bytes) {
      const position = end;
      end += bytes.length;
      for (let done = 0; done < bytes.length; ) {
        const length = Math.min(bytes.length - done, MAX_CALL_BYTES);
        done += (await file.write(bytes, done, length, position + done)).bytesWritten;
      }
      return position;
    },
    async read(bytes, position) {
      for (let done = 0; done < bytes.length; ) {
        const length = Math.min(bytes.length - done, MAX_CALL_BYTES);
        const { bytesRead } = await file.read(bytes, done, length, position + done);
        if (bytesRead === 0) throw new Error('temporary file is shorter than what was written to it');
        done += bytesRead;
      }
    },
    close: () => file.close(),
  };
}
