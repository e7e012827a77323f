import { randomUUID } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { link, readFile, unlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { BatchLayerError } from '../errors.ts';

const WAIT_MS = 30_000;

/** The locks of one process: its identity is a file, and a lock is a hard link to it. */
export interface LockOwner {
  readonly path: string;
}

// Process ids mean something on one host only, and there in one namespace of them (a container has its own).
const HOST = `${hostname()}${pidNamespace()}`.replaceAll(/[^A-Za-z0-9.-]/g, '');
/** When this process began, in milliseconds of a clock that is never set: the same in all its threads. */
const STARTED_MS = Math.round(Number(process.hrtime.bigint()) / 1e6 - process.uptime() * 1000);
const SAME_START_MS = 50;

/** A name that no other owner has: process id, host, start of the process and a random part. */
export function ownerName(): string {
  return `${process.pid}@${HOST}@${STARTED_MS}@${randomUUID()}`;
}

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}

/**
 * Writes the identity of this process, as the owner of locks on the same file system.
 *
 * @param name from {@link ownerName}
 */
export async function createLockOwner(folder: string, name: string): Promise<LockOwner> {
  const path = `${folder}/owner-${name}`;
  await writeFile(path, name, { flag: 'wx' });
  return { path };
}

/**
 * Holds an exclusive lock among the processes of one machine while `work` runs.
 *
 * A hard link is created exclusively and with its content, so a lock always tells its owner. A lock whose owner has died
 * is broken.
 *
 * @throws BatchLayerError `Unavailable` when a live process holds the lock for 30 seconds
 */
export async function withFileLock<T>(
  owner: LockOwner,
  path: string,
  work: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const deadline = performance.now() + WAIT_MS;
  for (let pauseMs = 1; !(await tryAcquire(owner, path)); pauseMs = Math.min(pauseMs * 2, 50)) {
    if (performance.now() > deadline) throw heldTooLong(path, await readOwner(path));
    signal?.throwIfAborted();
    await sleep(pauseMs * (0.5 + Math.random()));
  }
  try {
    return await work();
  } finally {
    await unlink(path);
  }
}

async function tryAcquire(owner: LockOwner, path: string): Promise<boolean> {
  try {
    await link(owner.path, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const holder = await readOwner(path);
  if (holder !== undefined && isDead(holder)) await breakLock(owner, path, holder);
  return false;
}

// Breaking is exclusive too. A dead owner never comes back, so under the lock on breaking, the content tells for certain
// whether this is still the dead one's lock or already the next one's.
async function breakLock(owner: LockOwner, path: string, dead: string): Promise<void> {
  // No key has a # in it, so this is no key's lock.
  const breaking = `${path}#breaking`;
  if (!(await tryAcquire(owner, breaking))) return;
  try {
    if ((await readOwner(path)) === dead) await unlink(path);
  } finally {
    await unlink(breaking);
  }
}

async function readOwner(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}

/**
 * Whether the owner that a name begins with is certainly gone. Of a process of another host or container nothing is known;
 * one with this process's id and another start was here before it.
 */
export function isDead(name: string): boolean {
  const [pid, host, startedMs] = name.split('@');
  if (host !== HOST) return false;
  if (Number(pid) === process.pid) return Math.abs(Number(startedMs) - STARTED_MS) >= SAME_START_MS;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

function heldTooLong(path: string, owner: string | undefined): BatchLayerError {
  return new BatchLayerError(
    'Unavailable',
    `${path}: held for ${WAIT_MS / 1000} s by process ${owner?.split('@').slice(0, 2).join(' of ') ?? '(unknown)'}; if that process is gone, delete the file`,
  );
}
