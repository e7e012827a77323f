// npm run check:real -- FILE.csv
// Runs the main job on a CSV file and compares bronze with the file, and silver with DuckDB's answer, value for value.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { consolidate, fileStore, INTERVALS, ingestCsv, resample } from '../src/index.ts';
import { describeIngest } from '../src/runtime/ingest-results.ts';
import { textTable } from '../src/runtime/text-table.ts';
import { compareBronzeWithCsv, compareWithDuckDB } from './support/oracle.ts';

const [file] = process.argv.slice(2);
if (!file) {
  console.error('usage: npm run check:real -- FILE.csv');
  process.exit(2);
}
const lake = await mkdtemp(join(tmpdir(), 'batch-layer-check-'));
try {
  const store = fileStore(lake);
  const ingested = await ingestCsv(store, [file], { consolidated: true });
  console.log(describeIngest(ingested));
  const consolidated = await consolidate(store, { mode: 'full' });
  const resampled = await resample(store);
  const bronze = await compareBronzeWithCsv(lake, file);
  const silver = [];
  for (const interval of INTERVALS) silver.push(await compareWithDuckDB(lake, interval));
  console.log(
    `\nbronze beside the file: ${bronze.bars} bars, ${bronze.notInFile} of them not in the file, ${bronze.notInBronze} in the file only`,
  );
  console.log(
    textTable([
      ['interval', 'groups', "DuckDB's groups", 'differences', 'in a wrong month'],
      ...silver.map((row) => [`${row.interval}d`, row.groups, row.expected, row.differences, row.misplaced]),
    ]),
  );
  // Lines that were rejected are in the file only, and rightly so.
  const isComplete = bronze.notInFile === 0 && (bronze.notInBronze === 0 || ingested.rejected > 0);
  const isEqual = silver.every((row) => row.differences === 0 && row.misplaced === 0 && row.groups === row.expected);
  const failed = [...ingested.failed, ...consolidated.failed, ...resampled.failed];
  for (const { message } of failed) console.log(message);
  const isRight = isEqual && isComplete && failed.length === 0;
  console.log(isRight ? 'equal' : 'DIFFERENT');
  process.exitCode = isRight ? 0 : 1;
} finally {
  await rm(lake, { recursive: true, force: true });
}
