// node bench/dms.ts: an export of 10 million rows, unsorted, into an empty lake, and again; on files.
import { mkdir, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type IngestDmsResult, ingestDms } from '../src/ingest/index.ts';
import { openStore } from '../src/lake/open-store.ts';
import { textTable } from '../src/runtime/text-table.ts';
import { describeMachine, peakRssMb, runProcess } from './contest.ts';
import { MARKET } from './market.ts';

const ROWS = Number(process.env.BENCH_ROWS ?? 10_000_000);
const PREFIX = 'public/raw_ohlcv';
/** Rows of a group: as DMS writes them, and all that a file of others may have. */
const EXPORTS = {
  'groups of 10,240 rows': 10_240,
  'groups of 1,000,000 rows': 1_000_000,
  'groups of 4,000,000 rows': 4_000_000,
};

interface Measured {
  readonly seconds: number;
  readonly rssMb: number;
  readonly result: Omit<IngestDmsResult, 'problems' | 'problemCounts'>;
}

async function query(sql: string): Promise<Record<string, unknown>[]> {
  // Loaded here, so that it is in no contestant's memory but its own.
  const { DuckDBInstance } = await import('@duckdb/node-api');
  const connection = await (await DuckDBInstance.create()).connect();
  const reader = await connection.runAndReadAll(sql);
  connection.closeSync();
  return reader.getRowObjectsJS() as Record<string, unknown>[];
}

/** Histories of all lengths, in no order at all, in two files. */
async function writeExport(folder: string, groupRows: number): Promise<void> {
  await mkdir(`${folder}/${PREFIX}`, { recursive: true });
  const symbol = `floor(${MARKET.symbols} * pow((i % 1000003) / 1000003, 0.7))::INTEGER`;
  const rows = `SELECT i, 'S' || s AS symbol, row_number() OVER (PARTITION BY s ORDER BY i) AS n FROM (SELECT i, ${symbol} AS s FROM range(${ROWS}) AS rows(i))`;
  for (const part of [0, 1]) {
    await query(`COPY (
      SELECT TIMESTAMP '2024-06-01 12:34:56.789' AS "timestamp", symbol, round(10 + hash(i) % 9000 / 100, 2) AS open, open + 1 AS high, open - 1 AS low,
        round(open + 0.25, 2) AS close, hash(i + 1) % 100000000 / 8 AS volume, timezone('America/New_York', TIMESTAMP '1970-01-01' + to_days(n::INTEGER)) AS timestamp_1
      FROM (${rows}) WHERE hash(i + 2) % 2 = ${part} ORDER BY hash(i + 3)
    ) TO '${folder}/${PREFIX}/LOAD0000000${part + 1}.parquet' (FORMAT parquet, ROW_GROUP_SIZE ${groupRows})`);
  }
}

/** Bars of which bronze and the export are not the same, as DuckDB finds them. */
async function countDifferences(folder: string): Promise<number> {
  const values = 'symbol, date, open, high, low, close, volume';
  const exported = `SELECT * REPLACE (timezone('America/New_York', timestamp_1)::DATE AS timestamp_1) FROM '${folder}/${PREFIX}/*.parquet'`;
  const [row] =
    await query(`WITH exported AS (SELECT symbol, timestamp_1 AS date, open, high, low, close, volume FROM (${exported})),
    bronze AS (SELECT ${values} FROM read_parquet('${folder}/bronze/raw_ohlcv/*/data.parquet', hive_partitioning = false))
    SELECT ((SELECT count(*) FROM (FROM exported EXCEPT ALL FROM bronze)) + (SELECT count(*) FROM (FROM bronze EXCEPT ALL FROM exported)))::INTEGER AS n`);
  return row!.n as number;
}

const HEADER = [
  'export',
  'run',
  'rows',
  'symbols',
  'seconds',
  'rows/s',
  'peak RSS MB',
  'GET',
  'PUT',
  'LIST',
  'differences',
];
/** Two runs over one export, each a process of its own. */
async function measure(name: string, folder: string): Promise<(string | number)[][]> {
  const measured: (string | number)[][] = [];
  for (const run of ['empty lake', 'again']) {
    const { seconds, rssMb, result } = runProcess<Measured>(import.meta.url, [`file:${folder}`]);
    const { rows, landed, symbols, failed, exportVolume, bronzeVolume, metrics } = result;
    if (failed.length > 0 || landed !== rows || exportVolume !== bronzeVolume) throw new Error(JSON.stringify(result));
    const { GET, PUT, LIST } = metrics.requests;
    const figures = [rows, symbols, seconds.toFixed(1), Math.round(rows / seconds), Math.round(rssMb), GET, PUT, LIST];
    measured.push([name, run, ...figures, await countDifferences(folder)]);
    console.error(textTable([HEADER, measured.at(-1)!]));
  }
  return measured;
}

const [url] = process.argv.slice(2);
if (url) {
  const started = performance.now();
  const { problems: _, problemCounts: __, ...result } = await ingestDms(openStore(url));
  console.log(JSON.stringify({ seconds: (performance.now() - started) / 1000, rssMb: peakRssMb(), result }));
} else {
  const folder = fileURLToPath(new URL('.data/dms', import.meta.url));
  const table: (string | number)[][] = [];
  for (const [name, groupRows] of Object.entries(EXPORTS)) {
    try {
      await writeExport(folder, groupRows);
      table.push(...(await measure(name, folder)));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  console.log(await describeMachine());
  console.log('two files, unsorted, each run a process of its own; differences counted by DuckDB, bar by bar\n');
  console.log(textTable([HEADER, ...table]));
}
