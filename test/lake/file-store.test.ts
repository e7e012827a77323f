import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { isDead, ownerName } from '../../src/lake/file-lock.ts';
import { fileStore } from '../../src/lake/file-store.ts';
import { describeStoreContract } from '../support/store-contract.ts';
import { temporaryFolder } from '../support/temporary.ts';

const counter = new URL('../support/count-up.ts', import.meta.url).pathname;

describe('fileStore', () => {
  describeStoreContract(async (count) => {
    const folder = await temporaryFolder();
    return Array.from({ length: count }, () => fileStore(folder));
  });

  test('leaves nothing behind but the objects and its own identity', async () => {
    const folder = await temporaryFolder();
    const store = fileStore(folder);
    const etag = await store.put('a', Buffer.from('1'));
    await store.put('a', Buffer.from('2'), { ifMatch: etag });
    await store.put('a', Buffer.from('3'), { ifMatch: etag }).catch(() => undefined);
    expect(await readdir(`${folder}/.batch-layer/staged`)).toEqual([]);
    expect(await readdir(`${folder}/.batch-layer/locks`)).toEqual([expect.stringMatching(/^owner-/)]);
  });

  test('processes that race lose no update, also when some are killed in the middle', async () => {
    const folder = await temporaryFolder();
    const store = fileStore(folder);
    await store.put('counter', Buffer.from('0'));
    const acknowledged = await Promise.all([
      countUp(folder, 100),
      countUp(folder, 100),
      ...[5, 10, 15, 20].map((killAfter) => countUp(folder, 1_000_000, killAfter)),
    ]);
    expect(acknowledged.slice(2).every((count, i) => count >= (i + 1) * 5)).toBe(true);
    const total = Number((await readFile(`${folder}/counter`, 'utf8')).trim());
    const said = acknowledged.reduce((sum, count) => sum + count, 0);
    // A killed process may have committed one increment that it could no longer acknowledge.
    expect(total).toBeGreaterThanOrEqual(said);
    expect(total).toBeLessThanOrEqual(said + 4);
  });

  test('gives every version its etag also while the clock stands still or goes back', async () => {
    const store = fileStore(await temporaryFolder());
    const now = performance.now();
    vi.spyOn(performance, 'now').mockImplementation(() => now);
    onTestFinished(() => {
      vi.restoreAllMocks();
    });
    const etags = new Set<string>();
    for (let i = 0; i < 100; i++) etags.add(await store.put('a', Buffer.from('x')));
    vi.spyOn(performance, 'now').mockImplementation(() => now - 10_000);
    for (let i = 0; i < 100; i++) etags.add(await store.put('a', Buffer.from('x')));
    expect(etags.size).toBe(200);
  });

  test('takes for dead only who certainly is', () => {
    const mine = ownerName();
    const [pid, host, started] = mine.split('@') as [string, string, string];
    expect(isDead(mine)).toBe(false);
    // Another thread, or another copy of the package, of this process; a file that it stages.
    expect(isDead(`${pid}@${host}@${started}@another-17`)).toBe(false);
    expect(isDead(`${pid}@${host}@${Number(started) - 1000}@x`)).toBe(true);
    expect(isDead(`${process.ppid}@${host}@0@x`)).toBe(false);
    expect(isDead(`999999999@${host}@0@x`)).toBe(true);
    expect(isDead(`999999999@elsewhere@0@x`)).toBe(false);
  });

  test('breaks the lock of a dead process, and sweeps what it left', async () => {
    const folder = await temporaryFolder();
    const dead = spawn(process.execPath, ['-e', '']);
    await new Promise((resolve) => dead.once('exit', resolve));
    await mkdir(`${folder}/.batch-layer/locks`, { recursive: true });
    await mkdir(`${folder}/.batch-layer/staged`, { recursive: true });
    const name = `${dead.pid}@${ownerName().split('@')[1]}@x`;
    for (const lock of ['a', 'a#breaking', `owner-${name}`])
      await writeFile(`${folder}/.batch-layer/locks/${lock}`, name);
    await writeFile(`${folder}/.batch-layer/staged/${name}-1`, 'half');
    await fileStore(folder).put('a', Buffer.from('x'));
    expect(await readdir(`${folder}/.batch-layer/staged`)).toEqual([]);
    expect(await readdir(`${folder}/.batch-layer/locks`)).toHaveLength(1);
  });
});

async function countUp(folder: string, times: number, killAfter = Number.POSITIVE_INFINITY): Promise<number> {
  const child = spawn(process.execPath, [counter, folder, String(times)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let dots = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    dots += chunk.length;
    if (dots >= killAfter) child.kill('SIGKILL');
  });
  await new Promise((resolve) => child.once('close', resolve));
  return dots;
}
