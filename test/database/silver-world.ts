import fc from 'fast-check';
import { expect } from 'vitest';
import { type Bars, sliceBars } from '../../src/bars.ts';
import { LAKE_ID_KEY } from '../../src/database/bind-lake.ts';
import type { Database } from '../../src/database/connection.ts';
import { type MirrorOptions, type MirrorResult, mirrorSilver } from '../../src/database/mirror-silver.ts';
import { columnOf, decodeUtf8, type Utf8Values } from '../../src/lake/columns.ts';
import { consolidateSymbol } from '../../src/lake/consolidate-symbol.ts';
import { parseCheckpointKey, parseSilverKey, silverPrefix } from '../../src/lake/keys.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { decodeTable } from '../../src/lake/parquet-decode.ts';
import { SILVER_SCHEMA } from '../../src/lake/silver.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { listSymbol } from '../../src/lake/symbol-files.ts';
import { readCheckpoint } from '../../src/resample/checkpoint.ts';
import { formatMonth } from '../../src/session.ts';
import { arbitraryBars } from '../support/arbitrary-bars.ts';
import type { TestDatabase } from '../support/postgres/database.ts';
import { type OpenTestDatabase, versionsOf } from './open-database.ts';

/** One table is there from the beginning, one is not. */
export const INTERVALS = [2, 5];
export const SYMBOLS = ['A', 'AA', 'BRK', 'BRK.B', 'a', 'aapl'];
/** Some three months each. */
export const HISTORIES = fc
  .sample(arbitraryBars({ minLength: 40, maxLength: 40 }), { numRuns: SYMBOLS.length, seed: 7 })
  .map((bars, s) => ({ ...bars, session: bars.session.map((_, i) => 19_700 + s + 2 * i) }));

export async function importBars(store: ObjectStore, symbol: string, bars: Bars): Promise<void> {
  await consolidateSymbol(store, await listSymbol(store, symbol), { imported: bars });
}

/** A lake with the first `bars` bars of each symbol. */
export async function lakeWith(bars: number): Promise<ObjectStore> {
  const store = memoryStore();
  await growTo(store, bars);
  return store;
}

export async function growTo(store: ObjectStore, bars: number): Promise<void> {
  for (const [i, symbol] of SYMBOLS.entries()) await importBars(store, symbol, sliceBars(HISTORIES[i]!, 0, bars - i));
}

/** A bar so many days before a symbol's first one: all its groups are others then. */
export async function addEarlierBar(store: ObjectStore, symbol: string, days = 1): Promise<void> {
  const bars = sliceBars(HISTORIES[SYMBOLS.indexOf(symbol)]!, 0, 1);
  await importBars(store, symbol, { ...bars, session: bars.session.map((session) => session - days) });
}

/** Makes a lake the same one as another, as a copy of it is: a database is that of one. */
export async function copyLakeId(from: ObjectStore, to: ObjectStore): Promise<void> {
  await to.put(LAKE_ID_KEY, (await from.get(LAKE_ID_KEY)).body);
}

/** Groups by interval and month, each as text to the bit. */
export type Groups = Readonly<Record<string, readonly string[]>>;

/** The groups of all month files of a lake. */
export async function lakeGroups(store: ObjectStore, intervals: readonly number[] = INTERVALS): Promise<Groups> {
  const groups: Record<string, string[]> = {};
  for (const interval of intervals) {
    for await (const { key } of store.list(silverPrefix(interval))) {
      const { columns } = decodeTable(SILVER_SCHEMA, (await store.get(key)).body, key);
      const names = decodeUtf8(columnOf<Utf8Values>(SILVER_SCHEMA, columns, 'symbol'));
      const numbers = columns.values.slice(1) as readonly Float64Array[];
      const month = `${interval}d ${formatMonth(parseSilverKey(interval, key)!.month)}`;
      const rows = names.map((symbol, i) => [symbol, ...numbers.map((values) => values[i]! + 0)].join());
      groups[month] = [...(groups[month] ?? []), ...rows];
    }
  }
  return sortAll(groups);
}

/** The same of the tables. */
export async function tableGroups(
  { query }: Pick<TestDatabase, 'query'>,
  intervals: readonly number[] = INTERVALS,
): Promise<Groups> {
  const groups: Record<string, string[]> = {};
  for (const interval of intervals) {
    const rows = await query<{ month: string; values: readonly (string | number | null)[] }>(
      `SELECT to_char(date, 'YYYYMM') AS month, json_build_array(symbol, date - '1970-01-01', end_date - '1970-01-01',
        open, high, low, close, volume, vwap, bars, complete::integer) AS values FROM silver_${interval}d`,
    );
    for (const { month, values } of rows) {
      const name = `${interval}d ${month}`;
      groups[name] ??= [];
      groups[name].push(values.map((value) => value ?? Number.NaN).join());
    }
  }
  return sortAll(groups);
}

function sortAll(groups: Record<string, string[]>): Groups {
  return Object.fromEntries(Object.entries(groups).map(([month, rows]) => [month, rows.sort()]));
}

/** Month files by checkpoint, and as they are recorded: interval, month, shard and digest. */
export async function committedFiles(store: ObjectStore, intervals: readonly number[] = INTERVALS): Promise<string[]> {
  const files: string[] = [];
  for await (const { key } of store.list('processing_metadata/')) {
    const { interval = 0, shard } = parseCheckpointKey(key) ?? {};
    if (!intervals.includes(interval)) continue;
    const found = await readCheckpoint(store, interval, { shard: shard! });
    for (const [month, { digest }] of Object.entries(found!.checkpoint.files)) {
      files.push(`${interval} ${month} ${shard!.index}/${shard!.count} ${digest}`);
    }
  }
  return files.sort();
}

export async function recordedFiles({ query }: Pick<TestDatabase, 'query'>): Promise<string[]> {
  const rows = await query<{ file: string }>(
    `SELECT format('%s %s %s/%s %s', interval_sessions, to_char(month, 'YYYYMM'), shard_index, shard_count, digest) AS file
      FROM silver_files`,
  );
  return rows.map(({ file }) => file).sort();
}

/** Counts of a run that did nothing. */
export const NOTHING = {
  filesWritten: 0,
  filesDeleted: 0,
  filesPending: 0,
  rowsWritten: 0,
  rowsUnchanged: 0,
  rowsDeleted: 0,
};

/** The sums over all intervals. */
export function totalOf({ intervals }: MirrorResult) {
  const names = ['filesUnchanged', ...(Object.keys(NOTHING) as (keyof typeof NOTHING)[])] as const;
  const sums = names.map((name) => [name, intervals.reduce((sum, interval) => sum + interval[name], 0)]);
  return Object.fromEntries(sums) as Record<(typeof names)[number], number>;
}

export const mirror = (store: ObjectStore, database: Database, options: MirrorOptions = {}) =>
  mirrorSilver(store, database, { intervals: INTERVALS, ...options });

/** Mirrors, and expects that the tables have what silver has, and nothing is left to do. */
export async function expectMirrored(
  store: ObjectStore,
  world: OpenTestDatabase,
  intervals: readonly number[] = INTERVALS,
) {
  const result = await mirrorSilver(store, world.database, { intervals });
  expect(result).toMatchObject({ failed: [] });
  expect(result.failure).toBeUndefined();
  await expectSame(store, world, intervals);
  return totalOf(result);
}

/** Expects that the tables have what silver has. */
export async function expectSame(
  store: ObjectStore,
  world: Pick<OpenTestDatabase, 'query'>,
  intervals: readonly number[] = INTERVALS,
) {
  expect(await tableGroups(world, intervals)).toEqual(await lakeGroups(store, intervals));
  expect(await recordedFiles(world)).toEqual(await committedFiles(store, intervals));
}

/** What changes as soon as anything is written to the tables. */
export async function versionsOfAll(world: OpenTestDatabase, intervals: readonly number[] = INTERVALS) {
  const tables = ['silver_files', ...intervals.map((interval) => `silver_${interval}d`)];
  return Promise.all(tables.map((table) => versionsOf(world, table)));
}
