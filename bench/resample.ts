// npm run bench:resample: consolidated bars to silver month files, whole processes, ours beside DuckDB.
import { execFileSync } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { DuckDBInstance } from '@duckdb/node-api';
import { fileStore } from '../src/lake/file-store.ts';
import { INTERVALS } from '../src/resample/kernel.ts';
import { resample } from '../src/resample/resample.ts';
import { textTable } from '../src/runtime/text-table.ts';
import { copyToMonths, numberedTable, seedsSql, tunedSql } from './duckdb-sql.ts';
import { describeMachine, MARKET, median, prepareLake } from './market.ts';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3);

const contestants: Record<string, (lake: string) => Promise<unknown>> = {
  'batch-layer': (lake) => resample(fileStore(lake), { forceFull: true }),
  'DuckDB tuned, 2 threads': (lake) =>
    withDuckDB(async (run) => {
      await run(numberedTable(sourceOf(lake)));
      for (const n of INTERVALS) await run(copyToMonths(tunedSql(n), lake, n));
    }),
  "DuckDB, the seeds' SQL, 2 threads": (lake) =>
    withDuckDB(async (run) => {
      for (const n of INTERVALS) await run(copyToMonths(seedsSql(sourceOf(lake), n), lake, n));
    }),
};

function sourceOf(lake: string): string {
  return `read_parquet('${lake}/bronze/raw_ohlcv/*/data.parquet')`;
}

async function withDuckDB(work: (run: (sql: string) => Promise<unknown>) => Promise<void>): Promise<void> {
  const connection = await (await DuckDBInstance.create(':memory:', { threads: '2' })).connect();
  await work((sql) => connection.run(sql));
}

const [lake, chosen] = process.argv.slice(2);
if (lake && chosen) {
  await contestants[chosen]!(lake);
  console.log(process.resourceUsage().maxRSS);
} else {
  const folder = await prepareLake();
  const results = new Map(
    Object.keys(contestants).map((name) => [name, { seconds: [] as number[], rssMb: [] as number[] }]),
  );
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, { seconds, rssMb }] of results) {
      await rm(`${folder}/silver`, { recursive: true, force: true });
      await rm(`${folder}/processing_metadata`, { recursive: true, force: true });
      // DuckDB makes the partitions but not the folder above them.
      await mkdir(`${folder}/silver`);
      const started = performance.now();
      const maxRss = execFileSync(process.execPath, [fileURLToPath(import.meta.url), folder, name], {
        encoding: 'utf8',
      });
      seconds.push((performance.now() - started) / 1000);
      rssMb.push(Number(maxRss) / 1024);
    }
  }
  const ours = median(results.get('batch-layer')!.seconds);
  console.log(await describeMachine());
  console.log(
    `${MARKET.bars.toLocaleString('en-US')} bars of ${MARKET.symbols} symbols, intervals ${INTERVALS}; whole processes, medians of ${ROUNDS}, alternating\n`,
  );
  console.log(
    textTable([
      ['what', 'median s', 'times ours', 'peak RSS MB'],
      ...[...results].map(([name, { seconds, rssMb }]) => {
        return [name, median(seconds).toFixed(2), (median(seconds) / ours).toFixed(2), Math.round(Math.max(...rssMb))];
      }),
    ]),
  );
}
