import { type ChildProcess, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { describe, expect, inject, onTestFinished, test, vi } from 'vitest';
import { ingestCsv } from '../../src/ingest/csv/ingest-csv.ts';
import { consolidate } from '../../src/lake/consolidate.ts';
import { fileStore } from '../../src/lake/file-store.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { s3Store } from '../../src/lake/s3-store.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { syntheticMarket, toCsv } from '../../src/runtime/synthetic-market.ts';
import { keysOf, readBronze, rowsOf, silverDigests } from '../support/lake-reader.ts';
import { openBucket } from '../support/s3/bucket.ts';
import { openFaultyProxy } from '../support/s3/faulty-proxy.ts';
import { temporaryFolder } from '../support/temporary.ts';

const CLI = new URL('../../src/runtime/cli.ts', import.meta.url).pathname;

describe('batch-layer on a lake in S3', () => {
  test('runs the demo, and its result is that of a lake of files', async () => {
    const folder = await temporaryFolder();
    const { bucket, options } = await openBucket();
    const store = s3Store({ ...options, bucket, prefix: 'demo' });
    const lake = `s3://${bucket}/demo`;
    const onS3 = await ended(start(['demo', '--dir', `${folder}/s3`, '--lake', lake, '--json']));
    const onFiles = await ended(start(['demo', '--dir', `${folder}/files`, '--json']));
    expect(onS3).toMatchObject({ code: 0, stderr: '' });
    expect(onFiles.code).toBe(0);
    const [found, expected] = [JSON.parse(onS3.stdout), JSON.parse(onFiles.stdout)];
    expect(found).toMatchObject({ lake, path: lake, failed: [] });
    expect(found.steps.map(({ text }: { readonly text: string }) => text)).toEqual(
      expected.steps.map(({ text }: { readonly text: string }) => text),
    );
    expect(found.preview).toEqual(expected.preview);
    const files = fileStore(`${folder}/files/lake`);
    expect(await keysOf(store)).toEqual(await keysOf(files));
    await expectSameBars(store, files);

    const again = async (...args: string[]) => {
      const { code, stdout, stderr } = await ended(start([...args, '--lake', lake, '--json']));
      expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: '' });
      return JSON.parse(stdout);
    };
    expect(await again('consolidate')).toMatchObject({ symbols: 102, written: 0, unchanged: 102, failed: [] });
    const full = await again('consolidate', '--mode', 'full');
    expect(full).toMatchObject({ symbols: 102, written: 0, failed: [] });
    expect(full.metrics).toMatchObject({ retries: 0, requests: { LIST: 1 } });
    const resampled = await again('resample');
    expect(resampled).toMatchObject({ bars: 256_365, failed: [] });
    expect(resampled.intervals.map(({ filesWritten }: { readonly filesWritten: number }) => filesWritten)).toEqual(
      resampled.intervals.map(() => 0),
    );
    expect(await again('vacuum')).toMatchObject({ applied: false, symbols: 102, files: 0 });
    expect(await silverDigests(store)).toEqual(await silverDigests(files));
  });

  test('vacuum deletes there what it has planned, and records it', async () => {
    const folder = await temporaryFolder();
    const { bucket, options } = await openBucket();
    const store = s3Store({ ...options, bucket });
    const { landed: bars } = await ingestCsv(store, [await writeMarket(folder)]);
    await consolidate(store, { retentionDays: 100_000 });
    const daily = (await keysOf(store, 'bronze/')).filter((key) => !key.endsWith('/data.parquet'));
    expect(daily).toHaveLength(bars);
    const vacuum = async (...args: string[]) =>
      JSON.parse((await ended(start(['vacuum', '--lake', `s3://${bucket}`, '--json', ...args]))).stdout);
    const plan = { symbols: 5, files: daily.length, kept: { recent: 0, unconsolidated: 0, unproven: 0 }, failed: [] };
    expect(await vacuum()).toMatchObject({ ...plan, applied: false, deleted: 0 });
    expect(await vacuum('--apply')).toMatchObject({ ...plan, applied: true, deleted: daily.length });
    expect(await vacuum('--apply')).toMatchObject({ files: 0, deleted: 0 });
    expect((await keysOf(store, 'bronze/')).every((key) => key.endsWith('/data.parquet'))).toBe(true);
  });

  test('kill -9 in the middle of consolidate, and run again: nothing is lost', async () => {
    const { store, lake, whole } = await landed();
    let kills = 0;
    // Each time a little later, from before the first write to after the last; at the end it may run through.
    for (let afterMs = 250; ; afterMs += 90) {
      const child = start(['consolidate', '--lake', lake, '--max-workers', '2']);
      const timer = setTimeout(() => child.kill('SIGKILL'), afterMs);
      const { code } = await ended(child);
      clearTimeout(timer);
      if (code !== null) {
        expect(code).toBe(0);
        break;
      }
      kills++;
    }
    expect(kills).toBeGreaterThan(3);
    await expectSameBars(store, whole);
    expect(await keysOf(store, 'bronze/')).toEqual(await keysOf(whole, 'bronze/'));
  });

  test('SIGTERM in the middle of consolidate ends it clean, with exit code 143', async () => {
    const { store, lake, whole, endpoint } = await landed();
    const proxy = await openFaultyProxy(endpoint);
    const isData = ({ method, key }: { readonly method: string; readonly key: string }) =>
      method === 'PUT' && key.endsWith('/data.parquet');
    const child = start(['consolidate', '--lake', lake, '--max-workers', '1'], proxy.endpoint);
    await vi.waitFor(() => expect(proxy.seen.filter(isData).length).toBeGreaterThan(1), { timeout: 20_000 });
    const started = performance.now();
    child.kill('SIGTERM');
    const { code, stderr } = await ended(child);
    expect(code).toBe(143);
    expect(stderr).toBe('batch-layer: stopped by SIGTERM; run the same command again to go on\n');
    expect(performance.now() - started).toBeLessThan(5000);
    expect((await ended(start(['consolidate', '--lake', lake]))).code).toBe(0);
    await expectSameBars(store, whole);
  });
});

async function writeMarket(folder: string): Promise<string> {
  const market = syntheticMarket({ symbols: 5, bars: 400, longest: 120, lastDate: '2020-12-31' });
  await writeFile(`${folder}/bars.csv`, [...toCsv(market)].join(''));
  return `${folder}/bars.csv`;
}

/** A lake with daily files to consolidate, and what it is to become. */
async function landed() {
  const folder = await temporaryFolder();
  const { bucket, options } = await openBucket();
  const store = s3Store({ ...options, bucket, prefix: 'lake' });
  const whole = memoryStore();
  const csv = await writeMarket(folder);
  for (const lake of [store, whole]) await ingestCsv(lake, [csv]);
  await consolidate(whole);
  return { store, whole, lake: `s3://${bucket}/lake`, endpoint: options.endpoint };
}

async function expectSameBars(found: ObjectStore, expected: ObjectStore): Promise<void> {
  const [bars, expectedBars] = [await readBronze(found), await readBronze(expected)];
  expect(Object.keys(bars)).toEqual(Object.keys(expectedBars));
  for (const [symbol, history] of Object.entries(expectedBars)) {
    expect(rowsOf(bars[symbol]!)).toEqual(rowsOf(history));
  }
}

function start(args: readonly string[], endpoint?: string): ChildProcess {
  const { region, credentials, ...server } = inject('s3');
  // The test runner has a MODE of its own, and MODE is one of consolidate's variables.
  const { MODE: _, ...inherited } = process.env;
  const env = {
    ...inherited,
    AWS_ENDPOINT_URL_S3: endpoint ?? server.endpoint,
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  };
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

async function ended(child: ChildProcess): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const code = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout!), text(child.stderr!)]);
  return { code: await code, stdout, stderr };
}
