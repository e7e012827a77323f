// npm run bench:resample: consolidated bars to silver month files, whole processes: ours, DuckDB, Polars.
import { execFileSync } from 'node:child_process';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { consolidate } from '../src/lake/consolidate.ts';
import { fileStore } from '../src/lake/file-store.ts';
import { PROCESSING_PREFIX } from '../src/lake/keys.ts';
import { INTERVALS } from '../src/resample/kernel.ts';
import { resample } from '../src/resample/resample.ts';
import { textTable } from '../src/runtime/text-table.ts';
import { alternate, describeMachine, median, peakRssMb, ROUNDS, runProcess } from './contest.ts';
import { copyToMonths, numberedTable, seedsSql, tunedSql } from './duckdb-sql.ts';
import { eveningOf, LAST_SESSION, linkLake, MARKET, prepareLake } from './market.ts';

const OURS = 'batch-layer';
const contestants: Record<string, (lake: string) => Promise<unknown>> = {
  [OURS]: (lake) => resample(fileStore(lake), { forceFull: true }),
  'DuckDB tuned, 2 threads': (lake) =>
    withDuckDB(async (run) => {
      await run(numberedTable(sourceOf(lake)));
      for (const n of INTERVALS) await run(copyToMonths(tunedSql(n), lake, n));
    }),
  "DuckDB, the seeds' SQL, 2 threads": (lake) =>
    withDuckDB(async (run) => {
      for (const n of INTERVALS) await run(copyToMonths(seedsSql(sourceOf(lake), n), lake, n));
    }),
  'Polars, 2 threads, WITHOUT writing': async (lake) => {
    const { groupFrame, numberFrame, readFrame } = await import('./polars.ts');
    const numbered = numberFrame(readFrame(lake));
    for (const n of INTERVALS) groupFrame(numbered, n);
  },
};

function sourceOf(lake: string): string {
  return `read_parquet('${lake}/bronze/raw_ohlcv/*/data.parquet')`;
}

async function withDuckDB(work: (run: (sql: string) => Promise<unknown>) => Promise<void>): Promise<void> {
  // Loaded by those alone that need it, like Polars: the others' memory is without it.
  const { DuckDBInstance } = await import('@duckdb/node-api');
  const connection = await (await DuckDBInstance.create(':memory:', { threads: '2' })).connect();
  await work((sql) => connection.run(sql));
}

/** Number of files below a folder, and what they take on the disk. */
async function sizeOf(folder: string): Promise<{ readonly files: number; readonly mb: number }> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const stats = await Promise.all(files.map((file) => stat(join(file.parentPath, file.name))));
  return { files: files.length, mb: stats.reduce((sum, { blocks }) => sum + blocks * 512, 0) / 2 ** 20 };
}

async function measure(lake: string, name: string) {
  await putAside(lake);
  // DuckDB makes the partitions but not the folder above them.
  await mkdir(`${lake}/silver`);
  const { seconds, rssMb } = runProcess<{ readonly rssMb: number }>(import.meta.url, [lake, name]);
  return { seconds, rssMb, ...(await sizeOf(`${lake}/silver`)) };
}

let asides = 0;

// What was written before is not deleted yet: for minutes after thousands of deletions ext4 is slow to make new files, and
// whoever comes next would pay for it. What waits to be written is.
async function putAside(lake: string): Promise<void> {
  const aside = `${lake}/aside-${++asides}`;
  await mkdir(aside);
  const checkpoints = (await readdir(`${lake}/${PROCESSING_PREFIX}`)).filter((name) => name.startsWith('silver_'));
  for (const path of ['silver', ...checkpoints.map((name) => `${PROCESSING_PREFIX}${name}`)]) {
    await rename(`${lake}/${path}`, `${aside}/${basename(path)}`);
  }
  execFileSync('sync');
}

const [chosenLake, chosen] = process.argv.slice(2);
if (chosenLake && chosen) {
  await contestants[chosen]!(chosenLake);
  console.log(JSON.stringify({ rssMb: peakRssMb() }));
} else {
  const lake = await linkLake(await prepareLake(), 'resample');
  await consolidate(fileStore(lake), { now: () => eveningOf(LAST_SESSION) });
  await mkdir(`${lake}/silver`);
  const names = Object.keys(contestants);
  const results = await alternate(Object.fromEntries(names.map((name) => [name, () => measure(lake, name)])));
  await rm(lake, { recursive: true });
  const { POLARS } = await import('./polars.ts');
  const ours = median(results.get(OURS)!.map(({ seconds }) => seconds));
  console.log(await describeMachine(POLARS));
  console.log(
    `${MARKET.bars.toLocaleString('en-US')} bars of ${MARKET.symbols} symbols, intervals ${INTERVALS}; whole processes, page cache warm, medians of ${ROUNDS}, alternating\n`,
  );
  console.log(
    textTable([
      ['what', 'median s', 'times ours', 'peak RSS MB', 'files', 'MB on disk'],
      ...[...results].map(([name, rounds]) => {
        const seconds = median(rounds.map((round) => round.seconds));
        const rssMb = Math.max(...rounds.map((round) => round.rssMb));
        const { files, mb } = rounds.at(-1)!;
        const written = files > 0 ? [files, Math.round(mb)] : ['none', ''];
        return [name, seconds.toFixed(2), (seconds / ours).toFixed(2), Math.round(rssMb), ...written];
      }),
    ]),
  );
}
