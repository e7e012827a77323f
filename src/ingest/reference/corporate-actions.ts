import { BatchLayerError, hasCode } from '../../errors.ts';
import type { Columns, TableSchema } from '../../lake/columns.ts';
import {
  collectRows,
  REFERENCE_PREFIX,
  type ReferenceTable,
  readReferenceTable,
  replaceReferenceTable,
} from '../../lake/reference-table.ts';
import type { ObjectStore, StoreCall } from '../../lake/store.ts';
import type { OnProgress } from '../../progress.ts';
import { formatSession } from '../../session.ts';
import { compareSymbols } from '../../symbol.ts';
import { DIVIDENDS_SCHEMA, fetchDividends } from '../api/dividends.ts';
import type { ApiCall, MarketApi } from '../api/market-api.ts';
import { type CheckedAction, fetchSplits, SPLITS_SCHEMA } from '../api/splits.ts';
import { keyOfSplit, type RowRange, SPLITS_KEY, splitsOf, symbolsOf } from './splits-table.ts';

/** Where the dividends of all symbols are, by symbol, ex-dividend date and id. */
export const DIVIDENDS_KEY = `${REFERENCE_PREFIX}dividends.parquet`;

export interface CorporateActionsOptions extends StoreCall {
  readonly onProgress?: OnProgress | undefined;
}

/** A row of the API that is in no table. */
export interface RejectedAction {
  readonly table: 'splits' | 'dividends';
  /** '' where the row has none. */
  readonly id: string;
  readonly reason: string;
}

export interface CorporateActionsResult {
  /** Rows of the table of splits, as it is now. */
  readonly splits: number;
  /** Rows of the table of dividends, as it is now. */
  readonly dividends: number;
  /**
   * Symbols whose adjusted history changed, in ascending order: a split is new, gone or different. An announced split counts
   * from when it is first seen. Empty on a `first` run; every symbol with a split where the table was damaged.
   */
  readonly adjusted: readonly string[];
  /** Symbols whose dividends changed, likewise. */
  readonly dividendsChanged: readonly string[];
  /** A table was not there before. None of its symbols is named: nobody can have adjusted anything by it. */
  readonly first: boolean;
  /** Whether anything was written: not where both tables were the same already. */
  readonly written: boolean;
  /** The first 1,000 rows that are wrong, and how many there are. */
  readonly rejected: readonly RejectedAction[];
  readonly rejectedCount: number;
  /** Rows that came again with the same id: the last one counts. */
  readonly repeated: number;
  /** What somebody should look at: damaged tables, splits that contradict each other. */
  readonly warnings: readonly string[];
}

/** One of the two tables, and how it is filled. */
interface ActionTable {
  readonly name: RejectedAction['table'];
  readonly key: string;
  readonly schema: TableSchema;
  readonly order: readonly string[];
  fetch(api: MarketApi, call: ApiCall): AsyncGenerator<readonly CheckedAction[]>;
  /** Tells what rows `from` to `to`, those of one symbol, come to; '' where it is nothing. */
  describe(columns: Columns, from: number, to: number): string;
}

const SPLITS: ActionTable = {
  name: 'splits',
  key: SPLITS_KEY,
  schema: SPLITS_SCHEMA,
  order: ['symbol', 'execution_date', 'id'],
  fetch: fetchSplits,
  describe: (columns, from, to) => splitsOf(columns, from, to).map(keyOfSplit).sort().join(),
};

const DIVIDENDS: ActionTable = {
  name: 'dividends',
  key: DIVIDENDS_KEY,
  schema: DIVIDENDS_SCHEMA,
  order: ['symbol', 'ex_dividend_date', 'id'],
  fetch: fetchDividends,
  describe: describeDividends,
};

const MAX_ATTEMPTS = 5;
const MAX_REJECTED = 1_000;
const MAX_NAMED = 10;

/**
 * Fetches all splits and dividends, and keeps them as `reference/splits.parquet` and `reference/dividends.parquet`, whole.
 *
 * Nothing is written before both lists are there. The same rows give the same files, and are not written again. The splits
 * are written last: which symbols changed is known to the run that wrote them alone, and it ends there.
 *
 * @throws BatchLayerError `Unavailable` where a list cannot be had whole, or is empty where the table has rows: the tables
 * stay as they are
 * @example
 * const { adjusted } = await ingestCorporateActions(store, api);
 * const splits = await readSplits(store);
 * for (const symbol of adjusted) draw(adjustBars(await readBars(store, symbol), splits.get(symbol) ?? []));
 */
export async function ingestCorporateActions(
  lake: ObjectStore,
  api: MarketApi,
  { signal, onProgress }: CorporateActionsOptions = {},
): Promise<CorporateActionsResult> {
  const rejected: RejectedAction[] = [];
  let [rejectedCount, repeated] = [0, 0];

  async function fetchTable({ name, schema, order, fetch }: ActionTable): Promise<Columns> {
    const collector = collectRows(schema);
    for await (const page of fetch(api, { signal })) {
      for (const action of page) {
        if ('row' in action) collector.add(action.row);
        else if (++rejectedCount <= MAX_REJECTED) rejected.push({ table: name, ...action });
      }
      onProgress?.({ step: `fetch ${name}`, done: collector.rows() });
    }
    repeated += collector.repeated();
    return collector.finish(order);
  }

  const splits = await fetchTable(SPLITS);
  const dividends = await fetchTable(DIVIDENDS);
  const [splitsBefore, dividendsBefore] = await Promise.all([
    readBefore(lake, SPLITS, splits, { signal }),
    readBefore(lake, DIVIDENDS, dividends, { signal }),
  ]);
  // Commit points, one a table.
  const dividendsAfter = await replaceTable(lake, DIVIDENDS, dividends, dividendsBefore, { signal });
  const splitsAfter = await replaceTable(lake, SPLITS, splits, splitsBefore, { signal });
  return {
    splits: splits.length,
    dividends: dividends.length,
    adjusted: splitsAfter.changed,
    dividendsChanged: dividendsAfter.changed,
    first: splitsAfter.first || dividendsAfter.first,
    written: splitsAfter.written || dividendsAfter.written,
    rejected,
    rejectedCount,
    repeated,
    warnings: [...splitsAfter.warnings, ...dividendsAfter.warnings, ...findContradictions(splits)],
  };
}

/** What became of a table. */
interface Replacement {
  readonly changed: readonly string[];
  readonly first: boolean;
  readonly written: boolean;
  readonly warnings: readonly string[];
}

async function replaceTable(
  lake: ObjectStore,
  table: ActionTable,
  after: Columns,
  base: ReferenceTable | undefined,
  { signal }: StoreCall,
): Promise<Replacement> {
  const { key, schema } = table;
  let before = base;
  for (let attempt = 1; ; attempt++) {
    const { etag, digest, damage } = before ?? {};
    try {
      const written = await replaceReferenceTable(lake, key, schema, after, { etag, digest, signal });
      const changed = written && before ? changedSymbols(table, before.columns, after) : [];
      const warnings = damage === undefined ? [] : [`${damage}: replaced; all its symbols count as changed`];
      return { changed, first: before === undefined, written, warnings };
    } catch (error) {
      if (!hasCode(error, 'Conflict') || attempt === MAX_ATTEMPTS) throw error;
    }
    // Another run was faster: what changed is what differs from its table.
    before = await readBefore(lake, table, after, { signal });
  }
}

async function readBefore(
  lake: ObjectStore,
  { name, key, schema }: ActionTable,
  after: Columns,
  call: StoreCall,
): Promise<ReferenceTable | undefined> {
  const before = await readReferenceTable(lake, key, schema, call);
  const hadRows = before !== undefined && (before.columns.length > 0 || before.damage !== undefined);
  if (after.length > 0 || !hadRows) return before;
  const rows = before.damage === undefined ? `${before.columns.length} rows` : 'rows, though damaged';
  throw new BatchLayerError(
    'Unavailable',
    `${key}: the API has no ${name} that could be taken, and the table has ${rows}: it stays; try again later`,
  );
}

function changedSymbols({ describe }: ActionTable, before: Columns, after: Columns): readonly string[] {
  const [old, now] = [symbolsOf(before), symbolsOf(after)];
  const describeOf = (columns: Columns, rows: RowRange | undefined) => (rows ? describe(columns, ...rows) : '');
  return [...new Set([...old.keys(), ...now.keys()])]
    .filter((symbol) => describeOf(before, old.get(symbol)) !== describeOf(after, now.get(symbol)))
    .sort(compareSymbols);
}

const TOLD = DIVIDENDS_SCHEMA.flatMap(({ name }, c) => (name === 'id' || name === 'symbol' ? [] : [c]));

function describeDividends({ values }: Columns, from: number, to: number): string {
  const texts = TOLD.map((c): ((i: number) => unknown) => {
    const column = values[c]!;
    if (!('offsets' in column)) return (i) => column[i];
    const { buffer, byteOffset, byteLength } = column.bytes;
    const bytes = Buffer.from(buffer, byteOffset, byteLength);
    return (i) => bytes.toString('latin1', column.offsets[i], column.offsets[i + 1]);
  });
  const rows = Array.from({ length: to - from }, (_, i) => texts.map((text) => text(from + i)).join('\n'));
  return rows.sort().join('\n');
}

// The API has had such splits, one of the two wrong (github.com/polygon-io/issues/issues/324). Which one is not ours to say.
function findContradictions(columns: Columns): readonly string[] {
  const found: string[] = [];
  for (const [symbol, rows] of symbolsOf(columns)) {
    const splits = splitsOf(columns, ...rows);
    for (const [i, { session, from, to }] of splits.entries()) {
      const before = splits[i - 1];
      if (before?.session !== session) continue;
      const both = `${before.from} to ${before.to} and ${from} to ${to}`;
      found.push(`${symbol} has two splits on ${formatSession(session)}, ${both}: both count`);
    }
  }
  const more = found.length - MAX_NAMED;
  return more > 0 ? [...found.slice(0, MAX_NAMED), `${more} more symbols have two splits on one day`] : found;
}
