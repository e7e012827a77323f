import type { Split } from '../../adjust-bars.ts';
import { BatchLayerError } from '../../errors.ts';
import { type Columns, columnOf, runsOfUtf8, type Utf8Values } from '../../lake/columns.ts';
import { REFERENCE_PREFIX, readReferenceTable } from '../../lake/reference-table.ts';
import type { ObjectStore, StoreCall } from '../../lake/store.ts';
import { SPLITS_SCHEMA } from '../api/splits.ts';

/** Where the splits of all symbols are, by symbol, execution date and id. */
export const SPLITS_KEY = `${REFERENCE_PREFIX}splits.parquet`;

/**
 * Reads the splits of all symbols, as `adjustBars` wants them.
 *
 * Splits without a date are left out. So is a split that is there twice under two ids, which the API has had
 * (github.com/polygon-io/issues/issues/311). Announced splits are among them, and count at once: who wants prices as they
 * are traded today leaves them out by `until`.
 *
 * @param options `until` is the last session whose splits count, in days since 1970-01-01
 * @throws BatchLayerError `NotFound` where corporate actions were never ingested, `CorruptObject` where the table is damaged
 * @example
 * const splits = await readSplits(store);
 * adjustBars(bars, splits.get('AAPL') ?? []);
 */
export async function readSplits(
  store: ObjectStore,
  { until = Number.POSITIVE_INFINITY, ...call }: StoreCall & { readonly until?: number | undefined } = {},
): Promise<Map<string, Split[]>> {
  const table = await readReferenceTable(store, SPLITS_KEY, SPLITS_SCHEMA, call);
  if (table === undefined) {
    throw new BatchLayerError('NotFound', `${SPLITS_KEY}: no such object: ingest corporate actions first`);
  }
  if (table.damage !== undefined) throw new BatchLayerError('CorruptObject', table.damage);
  const splits = new Map<string, Split[]>();
  for (const [symbol, [from, to]] of symbolsOf(table.columns)) {
    const found = splitsOf(table.columns, from, to).filter(({ session }) => session <= until);
    if (found.length > 0) splits.set(symbol, found);
  }
  return splits;
}

/** Rows from (inclusive) and to (exclusive). */
export type RowRange = readonly [from: number, to: number];

/** Which rows are of which symbol. Both tables have it as their second column, and are sorted by it. */
export function symbolsOf({ values }: Columns): Map<string, RowRange> {
  const { values: symbols, starts } = runsOfUtf8(values[1] as Utf8Values);
  return new Map(symbols.map((symbol, i) => [symbol, [starts[i]!, starts[i + 1]!]]));
}

/** The splits in some rows of one symbol, in order, each once. */
export function splitsOf(columns: Columns, first: number, end: number): Split[] {
  const numbers = (name: string) => columnOf<Int32Array | Float64Array>(SPLITS_SCHEMA, columns, name);
  const [sessions, olds, news] = [numbers('execution_date'), numbers('split_from'), numbers('split_to')];
  const splits = new Map<string, Split>();
  for (let i = first; i < end; i++) {
    const split = { session: sessions[i]!, from: olds[i]!, to: news[i]! };
    if (split.session !== -1 && split.from !== split.to) splits.set(keyOfSplit(split), split);
  }
  return [...splits.values()];
}

/** Names a split among those of its symbol: 1 to 2 and 2 to 4 are one. */
export function keyOfSplit({ session, from, to }: Split): string {
  return `${session} ${from / to}`;
}
