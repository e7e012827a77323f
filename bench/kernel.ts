// npm run bench:kernel: six intervals over bars in memory, ours beside DuckDB and a copy of the same bytes.
import { DuckDBInstance } from '@duckdb/node-api';
import { allocateBars, type Bars } from '../src/bars.ts';
import { INTERVALS, resampleBars } from '../src/resample/kernel.ts';
import { syntheticMarket } from '../src/runtime/synthetic-market.ts';
import { textTable } from '../src/runtime/text-table.ts';
import { numberedTable, tunedSql } from './duckdb-sql.ts';
import { describeMachine, MARKET, median, prepareLake } from './market.ts';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3);

function loadBars(): { readonly bars: Bars; readonly starts: Int32Array } {
  const bars = allocateBars(MARKET.bars, { vwap: true });
  const starts = new Int32Array(MARKET.symbols + 1);
  let symbol = 0;
  for (const history of syntheticMarket(MARKET)) {
    const at = starts[symbol]!;
    for (const name of Object.keys(bars) as (keyof Bars)[]) bars[name]!.set(history.bars[name]!, at);
    starts[++symbol] = at + history.bars.session.length;
  }
  return { bars, starts };
}

async function openDuckDB(threads: number) {
  const lake = await prepareLake();
  const connection = await (await DuckDBInstance.create(':memory:', { threads: String(threads) })).connect();
  await connection.run(`CREATE TABLE bars AS SELECT symbol, date, open, high, low, close, volume, vwap
    FROM read_parquet('${lake}/bronze/raw_ohlcv/*/data.parquet')`);
  return connection;
}

const { bars, starts } = loadBars();
const [one, two] = [await openDuckDB(1), await openDuckDB(2)];
const bytes = Object.values(bars).reduce((sum, values) => sum + values.byteLength, 0);
const output = resampleBars(bars, starts, INTERVALS);
const outputBytes = output
  .flatMap((groups) => Object.values(groups))
  .reduce((sum, values) => sum + values.byteLength, 0);
const groups = output.reduce((sum, { bars: counts }) => sum + counts.length, 0);

const runDuckDB = async (connection: typeof one) => {
  await connection.run(numberedTable('bars'));
  for (const n of INTERVALS) await connection.run(`CREATE OR REPLACE TEMP TABLE groups_${n} AS ${tunedSql(n)}`);
};
const contestants: Record<string, () => unknown> = {
  'copy of input and output bytes': () => {
    for (const values of Object.values(bars)) values.slice();
    for (const made of output) for (const values of Object.values(made)) values.slice();
  },
  'batch-layer kernel, 1 thread': () => resampleBars(bars, starts, INTERVALS),
  'DuckDB tuned in memory, 1 thread': () => runDuckDB(one),
  'DuckDB tuned in memory, 2 threads': () => runDuckDB(two),
};
const times = new Map<string, number[]>(Object.keys(contestants).map((name) => [name, []]));
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, run] of Object.entries(contestants)) {
    const started = performance.now();
    await run();
    times.get(name)!.push(performance.now() - started);
  }
}
const ours = median(times.get('batch-layer kernel, 1 thread')!);
console.log(await describeMachine());
console.log(
  `${MARKET.bars.toLocaleString('en-US')} bars of ${MARKET.symbols} symbols (${Math.round(bytes / 1e6)} MB) to ${groups.toLocaleString('en-US')} groups (${Math.round(outputBytes / 1e6)} MB), intervals ${INTERVALS}; medians of ${ROUNDS}, alternating\n`,
);
console.log(
  textTable([
    ['what', 'median ms', 'times ours'],
    ...[...times].map(([name, values]) => [name, Math.round(median(values)), (median(values) / ours).toFixed(2)]),
  ]),
);
