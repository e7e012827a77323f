import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { ingestCsv } from '../../src/ingest/csv/ingest-csv.ts';
import { consolidate } from '../../src/lake/consolidate.ts';
import { fileStore } from '../../src/lake/file-store.ts';
import { resample } from '../../src/resample/resample.ts';
import { syntheticMarket, toCsv } from '../../src/runtime/synthetic-market.ts';
import { readBronze, rowsOf, silverDigests } from '../support/lake-reader.ts';
import { temporaryFolder } from '../support/temporary.ts';

const CLI = new URL('../../src/runtime/cli.ts', import.meta.url).pathname;

test('kill -9 anywhere in the main job, and run again: the lake is what it would have been', async () => {
  const folder = await temporaryFolder();
  const market = syntheticMarket({ symbols: 5, bars: 900, longest: 400, lastDate: '2025-12-31' });
  await writeFile(`${folder}/bars.csv`, [...toCsv(market)].join(''));
  const whole = fileStore(`${folder}/whole`);
  await ingestCsv(whole, [`${folder}/bars.csv`]);
  await consolidate(whole);
  await resample(whole);

  const lake = `file:${folder}/killed`;
  const jobs = [['ingest', 'csv', `${folder}/bars.csv`], ['consolidate'], ['resample']];
  let kills = 0;
  for (const job of jobs) {
    // Each time a little later, from before the first write to after the last; at the end it may run through.
    for (let afterMs = 200; ; afterMs += 120) {
      const exitCode = await runAndKill([...job, '--lake', lake], afterMs);
      if (exitCode !== null) {
        expect(exitCode).toBe(0);
        break;
      }
      kills++;
    }
  }
  expect(kills).toBeGreaterThan(5);
  const killed = fileStore(`${folder}/killed`);
  expect(await silverDigests(killed)).toEqual(await silverDigests(whole));
  const [found, expected] = [await readBronze(killed), await readBronze(whole)];
  expect(Object.keys(found)).toEqual(Object.keys(expected));
  for (const symbol of Object.keys(expected)) expect(rowsOf(found[symbol]!)).toEqual(rowsOf(expected[symbol]!));
});

async function runAndKill(args: readonly string[], afterMs: number): Promise<number | null> {
  // The test runner has a MODE of its own, and MODE is one of consolidate's variables.
  const { MODE: _, ...env } = process.env;
  const child = spawn(process.execPath, [CLI, ...args], { stdio: 'ignore', env });
  const timer = setTimeout(() => child.kill('SIGKILL'), afterMs);
  const exitCode = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  clearTimeout(timer);
  return exitCode;
}
