import { type BigIntStats, constants } from 'node:fs';
import { access, type FileHandle, link, mkdir, open, readdir, rename, stat, unlink, utimes } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { BatchLayerError } from '../errors.ts';
import { abortable } from './abortable.ts';
import { createLockOwner, isDead, type LockOwner, ownerName, withFileLock } from './file-lock.ts';
import { mapAll } from './map-all.ts';
import {
  checkConditions,
  checkKey,
  checkPrefix,
  conflict,
  deleteEach,
  notFound,
  type ObjectInfo,
  type ObjectStore,
  type PutCall,
} from './store.ts';

// Beside the objects, on the same file system, so that a finished file is published by one rename or link.
const CONTROL = '.batch-layer';
const CONCURRENT_STATS = 32;

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

  async function stage(chunks: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<string> {
    await prepare();
    const path = `${base}/${CONTROL}/staged/${name}-${++staged}`;
    const file = await open(path, 'wx');
    try {
      for await (const chunk of abortable(chunks, signal)) await file.writeFile(chunk);
      const now = Math.floor((performance.timeOrigin + performance.now()) * 1000) / 1e6;
      await file.utimes(now, now);
      await file.sync();
      return path;
    } catch (error) {
      await unlink(path);
      throw error;
    } finally {
      await file.close();
    }
  }

  async function publish(key: string, from: string, call: PutCall): Promise<string> {
    const path = pathOf(key);
    if (call.ifNoneMatch === undefined) {
      return withFileLock(await prepare(), lockOf(base, key), () => replace(key, path, from, call), call.signal);
    }
    const etag = etagOf(await stat(from, { bigint: true }));
    await inFolder(path, () => link(from, path)).catch((error) => {
      throw isCode(error, 'EEXIST') ? conflict(key, undefined, 'of another writer') : error;
    });
    await unlink(from);
    return etag;
  }

  async function replace(key: string, path: string, from: string, call: PutCall): Promise<string> {
    const before = await statOrNone(path);
    checkConditions(key, before && etagOf(before), call);
    let after = await stat(from, { bigint: true });
    // Times go in as doubles, which round to a quarter of a microsecond: step on until it is later for certain.
    for (let later = (before?.mtimeNs ?? 0n) / 1000n + 1n; before && after.mtimeNs <= before.mtimeNs; later++) {
      await utimes(from, Number(later) / 1e6, Number(later) / 1e6);
      after = await stat(from, { bigint: true });
    }
    await inFolder(path, () => rename(from, path));
    return etagOf(after);
  }

  const store: ObjectStore = {
    async get(key, { signal } = {}) {
      return withFile(key, pathOf(key), signal, async (file, stats) => {
        const { buffer, byteOffset, byteLength } = await file.readFile();
        return { body: new Uint8Array(buffer, byteOffset, byteLength), etag: etagOf(stats) };
      });
    },
    async getRange(key, { start, end, ifMatch, signal }) {
      return withFile(key, pathOf(key), signal, async (file, stats) => {
        checkConditions(key, etagOf(stats), { ifMatch });
        const length = Math.max(0, Math.min(end, Number(stats.size)) - start);
        const { bytesRead, buffer } = await file.read(new Uint8Array(length), 0, length, start);
        return buffer.subarray(0, bytesRead);
      });
    },
    async head(key, { signal } = {}) {
      signal?.throwIfAborted();
      const stats = await statOrNone(pathOf(key));
      if (stats === undefined) throw notFound(key);
      return { key, size: Number(stats.size), etag: etagOf(stats) };
    },
    async put(key, body, call = {}) {
      return store.putStream(key, toAsync(body), call);
    },
    async putStream(key, chunks, call = {}) {
      call.signal?.throwIfAborted();
      checkKey(key);
      const from = await stage(chunks, call.signal);
      try {
        return await publish(key, from, call);
      } catch (error) {
        await unlink(from).catch(() => undefined);
        throw error;
      }
    },
    async delete(key, { ifMatch, signal } = {}) {
      signal?.throwIfAborted();
      const path = pathOf(key);
      const remove = async () => {
        const found = await statOrNone(path);
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

async function* toAsync(body: Uint8Array): AsyncGenerator<Uint8Array> {
  yield body;
}

async function* walk(base: string, folder: string, prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo> {
  const entries = await readdir(`${base}/${folder}`, { withFileTypes: true }).catch((error) => {
    if (isCode(error, 'ENOENT') || isCode(error, 'ENOTDIR')) return [];
    throw error;
  });
  // A folder's keys go on with `/`: sorted with it, the walk is in the order of whole keys (symbol=BRK.B/ < symbol=BRK/).
  const names = entries
    .map((entry) => ({ key: `${folder}${entry.name}${entry.isDirectory() ? '/' : ''}`, isFile: entry.isFile() }))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
  const statOne = ({ key, isFile }: (typeof names)[number]) =>
    isFile && key.startsWith(prefix) ? statOrNone(`${base}/${key}`) : Promise.resolve(undefined);
  const found = await mapAll(names, statOne, { concurrency: CONCURRENT_STATS, signal });
  for (const [i, { key, isFile }] of names.entries()) {
    signal?.throwIfAborted();
    const stats = found[i];
    if (stats) yield { key, size: Number(stats.size), etag: etagOf(stats) };
    if (!isFile && key !== `${CONTROL}/` && (key.startsWith(prefix) || prefix.startsWith(key))) {
      yield* walk(base, key, prefix, signal);
    }
  }
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
  work: (file: FileHandle, stats: BigIntStats) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const file = await open(path, 'r').catch((error) => {
    throw isCode(error, 'ENOENT') || isCode(error, 'ENOTDIR') ? notFound(key, error) : error;
  });
  try {
    return await work(file, await file.stat({ bigint: true }));
  } finally {
    await file.close();
  }
}

// Makes the folder where it is missing; the new entry, and those of new folders, are durable when this returns.
async function inFolder(path: string, work: () => Promise<void>): Promise<void> {
  let top = dirname(path);
  try {
    await work();
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
    const made = await mkdir(dirname(path), { recursive: true });
    if (made) top = dirname(made);
    await work();
  }
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    await syncFolder(folder);
    if (folder === top) return;
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  await folder.sync().finally(() => folder.close());
}

async function statOrNone(path: string): Promise<BigIntStats | undefined> {
  const stats = await stat(path, { bigint: true }).catch((error) => {
    if (isCode(error, 'ENOENT') || isCode(error, 'ENOTDIR')) return undefined;
    throw error;
  });
  return stats?.isFile() ? stats : undefined;
}

function etagOf(stats: BigIntStats): string {
  return [stats.mtimeNs, stats.ino, stats.size].map((part) => part.toString(36)).join('-');
}

function isCode(error: unknown, code: string): boolean {
  return (error as NodeJS.ErrnoException).code === code;
}
