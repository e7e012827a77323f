import { type ChildProcess, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { ingestCsv } from '../../src/ingest/csv/ingest-csv.ts';
import { s3Store } from '../../src/lake/s3-store.ts';
import { verify } from '../../src/resample/verify.ts';
import { syntheticMarket, toCsv } from '../../src/runtime/synthetic-market.ts';
import { keysOf } from '../support/lake-reader.ts';
import { openBucket } from '../support/s3/bucket.ts';
import { openFaultyProxy } from '../support/s3/faulty-proxy.ts';
import { readSilver } from '../support/shards.ts';
import { temporaryFolder } from '../support/temporary.ts';

const CLI = new URL('../../src/runtime/cli.ts', import.meta.url).pathname;
const INTERVALS = [3, 5];
const SYMBOLS = 16;

describe('shards resampled by processes at the same time, on a lake in S3', () => {
  test('have all together the groups of one process', async () => {
    const { store, resample, expectWhole } = await twoLakes();
    const children = [
      resample(['--shard', '0/3']),
      resample([], { env: { AWS_BATCH_JOB_ARRAY_INDEX: '1', AWS_BATCH_JOB_ARRAY_SIZE: '3' } }),
      resample(['--shard', '2/3']),
    ];
    const results = await Promise.all(children.map(result));
    expect(results.map(({ failed }) => failed)).toEqual([[], [], []]);
    expect(results.reduce((sum, { symbols }) => sum + symbols, 0)).toBe(SYMBOLS);
    await expectWhole();
    const { shards } = await readSilver(store, INTERVALS);
    expect(shards.size).toBe(SYMBOLS);
    for (const places of shards.values()) expect(places.size).toBe(1);
    expect(new Set([...shards.values()].flatMap((places) => [...places])).size).toBe(3);
  });

  test('are made good by the next run of the one shard that kill -9 ended at its first month file', async () => {
    const { store, endpoint, resample, expectWhole } = await twoLakes();
    const proxy = await openFaultyProxy(endpoint);
    const killed = resample(['--shard', '1/3'], { endpoint: proxy.endpoint });
    const isMonth = ({ method, key }: { readonly method: string; readonly key: string }) =>
      method === 'PUT' && /\.s001of003\.parquet$/.test(key);
    proxy.arm(isMonth, async ({ forward, cut }) => {
      await forward();
      killed.kill('SIGKILL');
      cut();
    });
    const [{ code }] = await Promise.all([
      ended(killed),
      ...['0/3', '2/3'].map((shard) => result(resample(['--shard', shard]))),
    ]);
    expect(code).toBe(null);
    const filesOf = async () => (await keysOf(store, 'silver/')).filter((key) => key.includes('.s001of003.')).length;
    const before = await filesOf();
    expect(before).toBeGreaterThan(0);
    await result(resample(['--shard', '1/3']));
    expect(await filesOf()).toBeGreaterThan(before);
    await expectWhole();
  });

  test('divide silver anew with --force-full, all of them at once', async () => {
    const { store, resample, expectWhole } = await twoLakes();
    await result(resample([]));
    await Promise.all([0, 1, 2].map((i) => result(resample(['--shard', `${i}/3`, '--force-full']))));
    await expectWhole();
    const keys = [...(await keysOf(store, 'silver/')), ...(await keysOf(store, 'processing_metadata/silver_'))];
    expect(keys.filter((key) => !/\.s00[012]of003\.(parquet|json)$/.test(key))).toEqual([]);
  });
});

/** A lake to resample in shards, and one with the same bars that one process resamples. */
async function twoLakes() {
  const folder = await temporaryFolder();
  const { bucket, options } = await openBucket();
  const market = syntheticMarket({ symbols: SYMBOLS, bars: 1200, longest: 150, lastDate: '2025-12-31' });
  await writeFile(`${folder}/bars.csv`, [...toCsv(market)].join(''));
  const [store, whole] = [
    s3Store({ ...options, bucket, prefix: 'shards' }),
    s3Store({ ...options, bucket, prefix: 'whole' }),
  ];
  for (const lake of [store, whole]) await ingestCsv(lake, [`${folder}/bars.csv`], { consolidated: true });
  const resample = (args: readonly string[], where: Where = {}, prefix = 'shards') =>
    start(
      ['resample', '--intervals', INTERVALS.join(), '--lake', `s3://${bucket}/${prefix}`, '--json', ...args],
      where,
    );
  await result(resample([], {}, 'whole'));
  return {
    store,
    endpoint: options.endpoint,
    resample,
    /** The groups are those of one process, and nothing is wrong with the lake. */
    async expectWhole() {
      const [found, expected] = [await readSilver(store, INTERVALS), await readSilver(whole, INTERVALS)];
      expect(expected.groups.length).toBeGreaterThan(500);
      expect(found.groups).toEqual(expected.groups);
      expect((await verify(store)).problems).toEqual([]);
    },
  };
}

interface Where {
  readonly endpoint?: string;
  readonly env?: Readonly<Record<string, string>>;
}

function start(args: readonly string[], { endpoint, env }: Where = {}): ChildProcess {
  const { region, credentials, ...server } = inject('s3');
  const child = spawn(process.execPath, [CLI, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      AWS_ENDPOINT_URL_S3: endpoint ?? server.endpoint,
      AWS_REGION: region,
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      ...env,
    },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

async function ended(child: ChildProcess): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const code = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout!), text(child.stderr!)]);
  return { code: await code, stdout, stderr };
}

/** What a process that is to end well prints. */
async function result(child: ChildProcess) {
  const { code, stdout, stderr } = await ended(child);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout);
}
