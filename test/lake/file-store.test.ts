import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
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
      ...[150, 250, 350, 450].map((killAfterMs) => countUp(folder, 1_000_000, killAfterMs)),
    ]);
    const total = Number((await readFile(`${folder}/counter`, 'utf8')).trim());
    const said = acknowledged.reduce((sum, count) => sum + count, 0);
    // A killed process may have committed one increment that it could no longer acknowledge.
    expect(total).toBeGreaterThanOrEqual(said);
    expect(total).toBeLessThanOrEqual(said + 4);
  });

  test('breaks the lock of a dead process, and sweeps what it left', async () => {
    const folder = await temporaryFolder();
    const dead = spawn(process.execPath, ['-e', '']);
    await new Promise((resolve) => dead.once('exit', resolve));
    await mkdir(`${folder}/.batch-layer/locks`, { recursive: true });
    await mkdir(`${folder}/.batch-layer/staged`, { recursive: true });
    for (const lock of ['a', 'a.breaking', `owner-${dead.pid}-x`]) {
      await writeFile(`${folder}/.batch-layer/locks/${lock}`, `${dead.pid} ${dead.pid}-x`);
    }
    await writeFile(`${folder}/.batch-layer/staged/${dead.pid}-x-1`, 'half');
    await fileStore(folder).put('a', Buffer.from('x'));
    expect(await readdir(`${folder}/.batch-layer/staged`)).toEqual([]);
    expect(await readdir(`${folder}/.batch-layer/locks`)).toHaveLength(1);
  });
});

async function countUp(folder: string, times: number, killAfterMs?: number): Promise<number> {
  const child = spawn(process.execPath, [counter, folder, String(times)], { stdio: ['ignore', 'pipe', 'inherit'] });
  if (killAfterMs !== undefined) setTimeout(() => child.kill('SIGKILL'), killAfterMs);
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  await new Promise((resolve) => child.once('close', resolve));
  return output.length;
}
