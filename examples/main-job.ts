// The main job as a program: npx node examples/main-job.ts FILE.csv
import { consolidate, ingestCsv, openStore, resample } from '@condvest/batch-layer';

const store = openStore('file:./lake');
const ingested = await ingestCsv(store, process.argv.slice(2), { consolidated: true });
for (const { file, line, kind, message } of ingested.problems) console.warn(`${file}:${line}: ${kind}: ${message}`);

const consolidated = await consolidate(store);
const resampled = await resample(store);
for (const { symbol, code, message } of [...consolidated.failed, ...resampled.failed]) {
  console.warn(`${symbol}: ${code}: ${message}`);
}
for (const { interval, groups } of resampled.intervals) console.log(`${interval} sessions: ${groups} groups`);
