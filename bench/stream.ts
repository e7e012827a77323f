// npm run bench:stream: one file of 10 million bars, read → resample → write as streams, on files and on S3.
import { rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { toRecordBatch } from '../src/lake/arrow.ts';
import { BRONZE_SCHEMA, barsToColumns } from '../src/lake/bronze.ts';
import { openStore } from '../src/lake/open-store.ts';
import { readBars } from '../src/lake/read-bars.ts';
import { type StoreMetrics, withMetrics } from '../src/lake/with-metrics.ts';
import { writeBars } from '../src/lake/write-bars.ts';
import { resampleTransform } from '../src/resample/transform.ts';
import { syntheticMarket } from '../src/runtime/synthetic-market.ts';
import { textTable } from '../src/runtime/text-table.ts';
import { describeMachine, peakRssMb, runProcess } from './contest.ts';
import { MARKET } from './market.ts';
import { startBucket } from './s3.ts';

const SOURCE = 'bars.parquet';
const [url, step] = process.argv.slice(2);

function* batches() {
  for (const { symbol, bars } of syntheticMarket(MARKET)) {
    yield toRecordBatch(BRONZE_SCHEMA, barsToColumns(symbol, bars));
  }
}

interface Measured {
  readonly seconds: number;
  readonly rssMb: number;
  readonly metrics: StoreMetrics;
}

if (url) {
  const store = withMetrics(openStore(url));
  const started = performance.now();
  if (step === 'write') await pipeline(Readable.from(batches()), writeBars(store, SOURCE));
  else if (step === 'close') for await (const _ of readBars(store, SOURCE, { columns: ['close'] }));
  else
    await pipeline(
      readBars(store, SOURCE),
      resampleTransform(),
      writeBars(store, 'groups.parquet', { ifNoneMatch: '*' }),
    );
  const seconds = (performance.now() - started) / 1000;
  console.log(JSON.stringify({ seconds, rssMb: peakRssMb(), metrics: store.metrics() }));
} else {
  const folder = fileURLToPath(new URL('.data/stream', import.meta.url));
  const { url: bucket, env, stop } = await startBucket();
  const rows: (string | number)[][] = [];
  try {
    for (const [name, lake] of Object.entries({ files: `file:${folder}`, S3: bucket })) {
      for (const part of ['write', 'resample', 'close']) {
        const { seconds, rssMb, metrics } = runProcess<Measured>(import.meta.url, [lake, part], env);
        const { GET, HEAD, PUT, POST, DELETE } = metrics.requests;
        const [read, written] = [metrics.bytesRead, metrics.bytesWritten].map((bytes) => Math.round(bytes / 2 ** 20));
        rows.push([name, part, seconds.toFixed(1), Math.round(rssMb), GET, HEAD, PUT, POST, DELETE, read!, written!]);
      }
    }
  } finally {
    await stop();
    await rm(folder, { recursive: true, force: true });
  }
  console.log(await describeMachine());
  console.log(`one file of ${MARKET.bars.toLocaleString('en-US')} bars, each step a process of its own\n`);
  const header = [
    'lake on',
    'step',
    'seconds',
    'peak RSS MB',
    'GET',
    'HEAD',
    'PUT',
    'POST',
    'DELETE',
    'MB read',
    'MB written',
  ];
  console.log(textTable([header, ...rows]));
}
