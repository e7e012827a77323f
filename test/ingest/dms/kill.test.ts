import { spawn } from 'node:child_process';
import { cp, readdir } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { ingestDms } from '../../../src/ingest/dms/ingest-dms.ts';
import { fileStore } from '../../../src/lake/file-store.ts';
import { verifyBronze } from '../../../src/lake/verify-bronze.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { contentOf, lakeOf } from './dms-export.ts';

const PROCESS = new URL('ingest-process.ts', import.meta.url).pathname;
const SYMBOLS = 60;

function startIngesting(folder: string) {
  const child = spawn(process.execPath, [PROCESS, folder], { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  return { child, ended: new Promise<number | null>((resolve) => child.once('exit', resolve)) };
}

async function countHistories(folder: string): Promise<number> {
  const names = await readdir(`${folder}/bronze/raw_ohlcv`, { recursive: true }).catch(() => []);
  return names.filter((name) => name.endsWith('data.parquet')).length;
}

test('kill -9 while it reads, writes or is about to end, and run again: the lake is that of a run that was not killed', async () => {
  const { folder: whole } = await lakeOf(
    `SELECT 'S' || (i % ${SYMBOLS}) AS symbol, TIMESTAMP '2010-01-01' + to_days((i // ${SYMBOLS})::INTEGER) AS timestamp_1,
      10 AS open, 12 AS high, 9 AS low, 11 AS close, 1000 + i / 8 AS volume FROM range(${SYMBOLS * 200}) AS rows(i) ORDER BY hash(i)`,
    'ROW_GROUP_SIZE 2048',
  );
  const folder = await temporaryFolder();
  await cp(whole, folder, { recursive: true });
  await ingestDms(fileStore(whole));
  let kills = 0;
  for (const histories of [0, 1, 25, SYMBOLS - 1]) {
    const { child, ended } = startIngesting(folder);
    while (child.exitCode === null && (await countHistories(folder)) < histories) await setTimeout(1);
    // Before the first history: somewhere while it starts and reads.
    if (histories === 0) await setTimeout(350);
    child.kill('SIGKILL');
    if ((await ended) === null) kills++;
    // What is there is whole; that the manifest is behind is all that may be wrong.
    const { problems } = await verifyBronze(fileStore(folder), { maxWorkers: 8 });
    expect(problems.filter(({ kind }) => kind !== 'manifest')).toEqual([]);
  }
  expect(kills).toBeGreaterThan(2);
  expect(await startIngesting(folder).ended).toBe(0);
  expect(await contentOf(fileStore(folder))).toEqual(await contentOf(fileStore(whole)));
  expect((await verifyBronze(fileStore(folder), { maxWorkers: 8 })).problems).toEqual([]);
});
