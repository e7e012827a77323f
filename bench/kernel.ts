// npm run bench:kernel: six intervals over bars in memory: ours, DuckDB, Polars, and copies of the same bytes.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { DuckDBInstance } from '@duckdb/node-api';
import { allocateBars, type Bars } from '../src/bars.ts';
import type { Groups } from '../src/resample/groups.ts';
import { INTERVALS, resampleBars, resampleRanges } from '../src/resample/kernel.ts';
import { syntheticMarket } from '../src/runtime/synthetic-market.ts';
import { textTable } from '../src/runtime/text-table.ts';
import { alternate, describeMachine, median, ROUNDS } from './contest.ts';
import { numberedTable, seedsSql, tunedSql } from './duckdb-sql.ts';
import { MARKET, prepareLake } from './market.ts';
import { groupFrame, numberFrame, POLARS, readFrame } from './polars.ts';

interface Contestant {
  /** Where the result goes: touching memory for the first time takes longer than a copy. */
  readonly memory: string;
  /** Not timed. */
  readonly prepare?: () => unknown;
  /** @returns number of groups, where it makes any */
  readonly run: () => number | undefined | Promise<number>;
}

const OURS = 'batch-layer, 1 thread';

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

async function openDuckDB(lake: string) {
  const connection = await (await DuckDBInstance.create(':memory:')).connect();
  await connection.run(`CREATE TABLE bars AS SELECT symbol, date, open, high, low, close, volume, vwap
    FROM read_parquet('${lake}/bronze/raw_ohlcv/*/data.parquet')`);
  return connection;
}

function duckdb(threads: number, sqlOf: (n: number) => string, before?: string): Contestant {
  return {
    memory: 'new',
    prepare: async () => {
      await connection.run(`SET threads = ${threads}`);
      for (const table of ['numbered', ...INTERVALS.map((n) => `groups_${n}`)])
        await connection.run(`DROP TABLE IF EXISTS ${table}`);
    },
    run: async () => {
      if (before) await connection.run(before);
      let made = 0;
      for (const n of INTERVALS) {
        const created = await connection.runAndReadAll(`CREATE TEMP TABLE groups_${n} AS ${sqlOf(n)}`);
        made += Number(created.getRows()[0]![0]);
      }
      return made;
    },
  };
}

const countGroups = (output: readonly Groups[]) => output.reduce((sum, { bars: counts }) => sum + counts.length, 0);
const bytesOf = (arrays: readonly ArrayBufferView[]) => arrays.reduce((sum, { byteLength }) => sum + byteLength, 0);

const lake = await prepareLake();
const { bars, starts } = loadBars();
const output = resampleBars(bars, starts, INTERVALS);
const ranges = { from: INTERVALS.map(() => starts.subarray(0, -1)), to: starts.subarray(1) };
const groups = countGroups(output);
const input = Object.values(bars) as Float64Array[];
const made = output.flatMap((of) => Object.values(of) as Float64Array[]);
const arrays = [...input, ...made];
const targets = arrays.map((values) => values.slice());
const connection = await openDuckDB(lake);
const frame = readFrame(lake);

const contestants: Record<string, Contestant> = {
  'memcpy of input and output: the limit': {
    memory: 'given',
    run: () => void arrays.forEach((values, i) => void targets[i]!.set(values)),
  },
  'memcpy of input and output': { memory: 'new', run: () => void arrays.map((values) => values.slice()) },
  [OURS]: { memory: 'new', run: () => countGroups(resampleBars(bars, starts, INTERVALS)) },
  'batch-layer, 1 thread, memory given': {
    memory: 'given',
    run: () => countGroups(resampleRanges(bars, ranges, INTERVALS, { allocate: (k) => output[k]! })),
  },
  'DuckDB tuned, 1 thread': duckdb(1, tunedSql, numberedTable('bars')),
  'DuckDB tuned, 2 threads': duckdb(2, tunedSql, numberedTable('bars')),
  "DuckDB, the seeds' SQL, 2 threads": duckdb(2, (n) => seedsSql('bars', n)),
  'Polars, 2 threads': {
    memory: 'new',
    run: () => {
      const numbered = numberFrame(frame);
      return INTERVALS.reduce((sum, n) => sum + groupFrame(numbered, n).height, 0);
    },
  },
};

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

const measure =
  (name: string, { prepare, run }: Contestant) =>
  async (): Promise<number> => {
    await prepare?.();
    // What the one before left behind is not this one's to collect.
    collectGarbage();
    const started = performance.now();
    const count = await run();
    const ms = performance.now() - started;
    if (count !== undefined && count !== groups) throw new Error(`${name}: ${count} groups, expected ${groups}`);
    return ms;
  };
const times = await alternate(
  Object.fromEntries(
    Object.entries(contestants).map(([name, contestant]) => [name, measure(name, contestant)] as const),
  ),
);
const ours = median(times.get(OURS)!);
const [inputMb, outputMb] = [input, made].map((of) => Math.round(bytesOf(of) / 1e6));
console.log(await describeMachine(POLARS));
console.log(
  `${MARKET.bars.toLocaleString('en-US')} bars of ${MARKET.symbols} symbols (${inputMb} MB) to ${groups.toLocaleString('en-US')} groups (${outputMb} MB), intervals ${INTERVALS}; all in memory, medians of ${ROUNDS}, alternating\n`,
);
console.log(
  textTable([
    ['what', 'memory of the result', 'median ms', 'times ours'],
    ...[...times].map(([name, values]) => {
      const ms = median(values);
      return [name, contestants[name]!.memory, Math.round(ms), (ms / ours).toFixed(2)];
    }),
  ]),
);
