import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  fsync as fsyncCallback,
  futimesSync,
  linkSync,
  open as openCallback,
  openSync,
  read as readCallback,
  statSync,
  unlinkSync,
  write as writeCallback,
} from 'node:fs';
import { access, mkdir, open, readdir, rename, stat, unlink, utimes } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { promisify } from 'node:util';
import { BatchLayerError } from '../errors.ts';
import { abortable } from './abortable.ts';
import { createLockOwner, isDead, type LockOwner, ownerName, withFileLock } from './file-lock.ts';
import { etagOf, isCode, statOrNone } from './file-version.ts';
import { CONTROL, walk } from './file-walk.ts';
import {
  checkConditions,
  checkKey,
  checkPrefix,
  conflict,
  deleteEach,
  notFound,
  type ObjectStore,
  type PutCall,
} from './store.ts';

/** Node counts the bytes of a read in 32 bits. */
const MAX_READ_BYTES = 2 ** 30;

// What may wait for a disk is asynchronous. What only touches names, or memory of the system, is not: there a promise
// takes ten times as long as the call (bench/NOTES.md), and a job makes tens of thousands of them.
const [openFile, readFile, writeFile] = [promisify(openCallback), promisify(readCallback), promisify(writeCallback)];
const syncFile = promisify(fsyncCallback);

/**
 * A store of plain files below `root`: keys are paths.
 *
 * A body is written aside, synced, and published by an exclusive link (create) or a rename under a lock (replace), so
 * readers and crashes see whole versions only, and conditions hold among the processes of one machine. The etag comes
 * from inode, size and modification time; the time of a replacement is always later than the one before, to the
 * microsecond, so that no two versions share an etag.
 *
 * @throws BatchLayerError `BadInput`, at first use, on a file system that does not tell `a` from `A`: AAPW and AAPw are two securities
 *
 * @example
 * const store = fileStore('./lake');
 */
export function fileStore(root: string): ObjectStore {
  const base = resolve(root);
  const pathOf = (key: string) => `${base}/${checkKey(key)}`;
  const name = ownerName();
  let staged = 0;
  let ready: Promise<LockOwner> | undefined;
  const prepare = () => {
    ready ??= prepareControl(`${base}/${CONTROL}`, name).catch((error) => {
      ready = undefined;
      throw error;
    });
    return ready;
  };

  async function stage(chunks: AsyncIterable<Uint8Array>, { isDerived, signal }: PutCall): Promise<string> {
    await prepare();
    const path = `${base}/${CONTROL}/staged/${name}-${++staged}`;
    const file = await open(path, 'wx');
    try {
      for await (const chunk of abortable(chunks, signal)) await file.writeFile(chunk);
      const now = microseconds();
      await file.utimes(now, now);
      if (!isDerived) await file.sync();
      return path;
    } catch (error) {
      await unlink(path);
      throw error;
    } finally {
      await file.close();
    }
  }

  async function stageBody(body: Uint8Array, { isDerived }: PutCall): Promise<string> {
    await prepare();
    const path = `${base}/${CONTROL}/staged/${name}-${++staged}`;
    const file = await openFile(path, 'wx');
    try {
      for (let done = 0; done < body.length; ) done += (await writeFile(file, body, done)).bytesWritten;
      const now = microseconds();
      futimesSync(file, now, now);
      if (!isDerived) await syncFile(file);
      return path;
    } catch (error) {
      unlinkSync(path);
      throw error;
    } finally {
      closeSync(file);
    }
  }

  async function publish(key: string, from: string, call: PutCall): Promise<string> {
    const path = pathOf(key);
    if (call.ifNoneMatch === undefined) {
      return withFileLock(await prepare(), lockOf(base, key), () => replace(key, path, from, call), call.signal);
    }
    const etag = etagOf(statSync(from, { bigint: true }));
    await inFolder(path, () => linkSync(from, path), call).catch((error) => {
      throw isCode(error, 'EEXIST') ? conflict(key, undefined, 'of another writer') : error;
    });
    unlinkSync(from);
    return etag;
  }

  async function putStaged(key: string, call: PutCall, stageBody: () => Promise<string>): Promise<string> {
    call.signal?.throwIfAborted();
    checkKey(key);
    const from = await stageBody();
    try {
      return await publish(key, from, call);
    } catch (error) {
      await unlink(from).catch(() => undefined);
      throw error;
    }
  }

  async function replace(key: string, path: string, from: string, call: PutCall): Promise<string> {
    const before = statOrNone(path);
    checkConditions(key, before && etagOf(before), call);
    let after = await stat(from, { bigint: true });
    // Times go in as doubles, which round to a quarter of a microsecond: step on until it is later for certain.
    for (let later = (before?.mtimeNs ?? 0n) / 1000n + 1n; before && after.mtimeNs <= before.mtimeNs; later++) {
      await utimes(from, Number(later) / 1e6, Number(later) / 1e6);
      after = await stat(from, { bigint: true });
    }
    await inFolder(path, () => rename(from, path), call);
    return etagOf(after);
  }

  const store: ObjectStore = {
    async get(key, { signal } = {}) {
      return withFile(key, pathOf(key), signal, async (file, stats) => {
        return { body: await readRange(file, 0, Number(stats.size)), etag: etagOf(stats) };
      });
    },
    async getRange(key, { start, end, ifMatch, signal }) {
      return withFile(key, pathOf(key), signal, async (file, stats) => {
        checkConditions(key, etagOf(stats), { ifMatch });
        return readRange(file, start, Math.min(end, Number(stats.size)));
      });
    },
    async head(key, { signal } = {}) {
      signal?.throwIfAborted();
      const stats = statOrNone(pathOf(key));
      if (stats === undefined) throw notFound(key);
      return { key, size: Number(stats.size), etag: etagOf(stats) };
    },
    async put(key, body, call = {}) {
      return putStaged(key, call, () => stageBody(body, call));
    },
    putStream: (key, chunks, call = {}) => putStaged(key, call, () => stage(chunks, call)),
    async delete(key, { ifMatch, signal } = {}) {
      signal?.throwIfAborted();
      const path = pathOf(key);
      const remove = async () => {
        const found = statOrNone(path);
        if (!found) return;
        checkConditions(key, etagOf(found), { ifMatch });
        await unlink(path);
      };
      await withFileLock(await prepare(), lockOf(base, key), remove, signal);
    },
    deleteAll: (deletions, call) => deleteEach(store, deletions, call),
    async *list(prefix, { startAfter = '', signal } = {}) {
      const folder = checkPrefix(prefix).slice(0, prefix.lastIndexOf('/') + 1);
      for await (const object of walk(base, folder, prefix, signal)) if (object.key > startAfter) yield object;
    },
  };
  return store;
}

async function prepareControl(control: string, name: string): Promise<LockOwner> {
  await mkdir(`${control}/staged`, { recursive: true });
  await mkdir(`${control}/locks`, { recursive: true });
  if (
    await access(`${dirname(control)}/${CONTROL.toUpperCase()}`, constants.F_OK).then(
      () => true,
      () => false,
    )
  ) {
    throw new BatchLayerError(
      'BadInput',
      `${dirname(control)}: this file system does not tell a from A, and AAPW and AAPw are two securities; put the lake on a case-sensitive volume`,
    );
  }
  await sweepDead(`${control}/staged`, '');
  await sweepDead(`${control}/locks`, 'owner-');
  return createLockOwner(`${control}/locks`, name);
}

// What a killed process left behind is of no use to anybody: its names begin with the name of their owner.
async function sweepDead(folder: string, prefix: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.startsWith(prefix) && isDead(name.slice(prefix.length))) {
      await unlink(`${folder}/${name}`).catch(() => undefined);
    }
  }
}

function lockOf(base: string, key: string): string {
  return `${base}/${CONTROL}/locks/${key.replaceAll('/', ':')}`;
}

async function withFile<T>(
  key: string,
  path: string,
  signal: AbortSignal | undefined,
  work: (file: number, stats: BigIntStats) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const file = await openFile(path, 'r').catch((error) => {
    throw isCode(error, 'ENOENT') || isCode(error, 'ENOTDIR') ? notFound(key, error) : error;
  });
  try {
    return await work(file, fstatSync(file, { bigint: true }));
  } finally {
    closeSync(file);
  }
}

/** Bytes `start` (inclusive) to `end` (exclusive) of a file, fewer where it ends before. */
async function readRange(file: number, start: number, end: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(Math.max(0, end - start));
  for (let done = 0; done < bytes.length; ) {
    const { bytesRead } = await readFile(
      file,
      bytes,
      done,
      Math.min(bytes.length - done, MAX_READ_BYTES),
      start + done,
    );
    if (bytesRead === 0) return bytes.subarray(0, done);
    done += bytesRead;
  }
  return bytes;
}

// Makes the folder where it is missing; the new entry, and those of new folders, are durable when this returns.
async function inFolder(path: string, work: () => void | Promise<void>, { isDerived }: PutCall): Promise<void> {
  let top = dirname(path);
  try {
    await work();
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
    const made = await mkdir(dirname(path), { recursive: true });
    if (made) top = dirname(made);
    await work();
  }
  for (let folder = dirname(path); !isDerived; folder = dirname(folder)) {
    await syncFolder(folder);
    if (folder === top) return;
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = openSync(path, 'r');
  await syncFile(folder).finally(() => closeSync(folder));
}

/** Now, in seconds, to the microsecond. */
function microseconds(): number {
  return Math.floor((performance.timeOrigin + performance.now()) * 1000) / 1e6;
}
