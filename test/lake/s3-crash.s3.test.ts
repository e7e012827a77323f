import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { ingestCsv } from '../../src/ingest/csv/ingest-csv.ts';
import { consolidate } from '../../src/lake/consolidate.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { s3Store } from '../../src/lake/s3-store.ts';
import { syntheticMarket, toCsv } from '../../src/runtime/synthetic-market.ts';
import { keysOf, readBronze, rowsOf } from '../support/lake-reader.ts';
import { openBucket } from '../support/s3/bucket.ts';
import { startS3 } from '../support/s3/server.ts';
import { temporaryFolder } from '../support/temporary.ts';

const SYMBOLS = 50;

test('SIGKILL of the server in the middle of a consolidation, again and again: nothing is lost', async () => {
  const server = await startS3();
  onTestFinished(server.stop);
  const { killGateway, restartGateway } = server;
  if (!killGateway || !restartGateway) {
    throw new Error('this test kills its server: unset S3_TEST_ENDPOINT, so that it starts one of its own');
  }
  const csv = `${await temporaryFolder()}/bars.csv`;
  const market = syntheticMarket({ symbols: SYMBOLS, bars: SYMBOLS * 10, longest: 16, lastDate: '2020-12-31' });
  await writeFile(csv, [...toCsv(market)].join(''));
  const whole = memoryStore();
  await ingestCsv(whole, [csv]);
  await consolidate(whole);

  const { bucket, options } = await openBucket(server);
  const store = s3Store({ ...options, bucket, prefix: 'lake' });
  await ingestCsv(store, [csv]);
  expect(await keysOf(store, 'bronze/')).toHaveLength(SYMBOLS * 10);

  // Short outages are waited out; the long one is longer than all tries of a call together.
  const outagesMs = [0, 300, 1000, 8000, 0, 300];
  let [begun, incomplete] = [0, 0];
  for (let isWhole = false; !isWhole; ) {
    let outage: Promise<void> | undefined;
    let inThisRun = 0;
    const breakServer = async (downMs: number): Promise<void> => {
      await killGateway();
      await sleep(downMs);
      await restartGateway();
      outage = undefined;
    };
    const result = await consolidate(store, {
      maxWorkers: 4,
      onProgress({ done }) {
        if (outage || begun === outagesMs.length || done < 4 + 6 * inThisRun) return;
        inThisRun++;
        outage = breakServer(outagesMs[begun++]!);
      },
    }).catch((error) => error);
    await outage;
    // A run ends whole, or says of symbols, or of itself, that the store was not there.
    if (result instanceof Error) expect(result).toMatchObject({ code: 'Unavailable' });
    else for (const failure of result.failed) expect(failure).toMatchObject({ code: 'Unavailable' });
    isWhole = !(result instanceof Error) && result.failed.length === 0;
    if (!isWhole) incomplete++;
  }
  expect(begun).toBeGreaterThan(3);
  expect(incomplete).toBeGreaterThan(0);
  const [found, expected] = [await readBronze(store), await readBronze(whole)];
  expect(Object.keys(found)).toEqual(Object.keys(expected));
  for (const [symbol, bars] of Object.entries(expected)) expect(rowsOf(found[symbol]!)).toEqual(rowsOf(bars));
  expect(await keysOf(store, 'bronze/')).toEqual(await keysOf(whole, 'bronze/'));
});
