import { BatchLayerError } from '../../errors.ts';
import {
  type Columns,
  type ColumnType,
  decodeUtf8,
  encodeUtf8,
  type TableSchema,
  type Utf8Values,
} from '../../lake/columns.ts';
import { REFERENCE_PREFIX, readReferenceTable, replaceReferenceTable } from '../../lake/reference-table.ts';
import type { ObjectStore, StoreCall } from '../../lake/store.ts';
import { compareSymbols } from '../../symbol.ts';
import type { TickerDetails } from '../api/ticker-details.ts';
import type { ListedSecurity } from '../api/tickers.ts';

/** Where the metadata of all symbols is. */
export const SYMBOL_METADATA_KEY = `${REFERENCE_PREFIX}symbol_metadata.parquet`;

/**
 * What a symbol stood for in a range of sessions: a ticker is given to another security when nobody has it, so a symbol may
 * have several rows, one after the other. Dates are days since 1970-01-01; `undefined` and '' = absent.
 */
export interface SymbolMetadata extends ListedSecurity, TickerDetails {
  readonly symbol: string;
  /** First session; `undefined` where it was so when it was first seen. */
  readonly validFrom: number | undefined;
  /** One past the last session; `undefined` where it still is so. */
  readonly validTo: number | undefined;
  /** Whether it still is so. */
  readonly active: boolean;
  /** Last session it was traded, as the API tells it. */
  readonly delistedDate: number | undefined;
  /** Division of the SIC code. */
  readonly sector: string;
  /** The symbol this security had before. */
  readonly renamedFrom: string;
  /** The symbol this security has had since. */
  readonly renamedTo: string;
  /** When the details were asked for; they are absent where the API had none. `undefined` where that was never. */
  readonly detailsAsOf: number | undefined;
}

type Field = keyof SymbolMetadata;

const COLUMNS: readonly (readonly [field: Field, name: string, type: ColumnType])[] = [
  ['symbol', 'symbol', 'utf8'],
  ['validFrom', 'valid_from', 'date'],
  ['validTo', 'valid_to', 'date'],
  ['active', 'active', 'bool'],
  ['name', 'name', 'utf8'],
  ['type', 'type', 'utf8'],
  ['exchange', 'exchange', 'utf8'],
  ['currency', 'currency', 'utf8'],
  ['cik', 'cik', 'utf8'],
  ['compositeFigi', 'composite_figi', 'utf8'],
  ['shareClassFigi', 'share_class_figi', 'utf8'],
  ['listDate', 'list_date', 'date'],
  ['delistedDate', 'delisted_date', 'date'],
  ['sicCode', 'sic_code', 'utf8'],
  ['industry', 'industry', 'utf8'],
  ['sector', 'sector', 'utf8'],
  ['marketCap', 'market_cap', 'float64'],
  ['shareClassShares', 'share_class_shares', 'float64'],
  ['weightedShares', 'weighted_shares', 'float64'],
  ['employees', 'employees', 'int32'],
  ['homepage', 'homepage', 'utf8'],
  ['renamedFrom', 'renamed_from', 'utf8'],
  ['renamedTo', 'renamed_to', 'utf8'],
  ['detailsAsOf', 'details_as_of', 'date'],
];

/** Columns of the metadata of symbols; rows are in order of symbol and valid_from. */
export const SYMBOL_METADATA_SCHEMA: TableSchema = COLUMNS.map(([, name, type]) => {
  return type === 'utf8' || type === 'bool' ? { name, type } : { name, type, nullable: true };
});

/** The table, and the version that was read. */
export interface MetadataTable {
  readonly rows: readonly SymbolMetadata[];
  readonly etag: string | undefined;
  readonly digest: string | undefined;
}

/**
 * Reads the metadata of all symbols, in order of symbol and first session; none where there is no table.
 *
 * @throws BatchLayerError `CorruptObject` where it is damaged
 * @example
 * const rows = await readSymbolMetadata(store);
 * metadataAt(rows, 'META', sessionFrom('2022-01-31'))?.name; // 'Roundhill Ball Metaverse ETF'
 */
export async function readSymbolMetadata(store: ObjectStore, call?: StoreCall): Promise<readonly SymbolMetadata[]> {
  return (await readMetadataTable(store, call)).rows;
}

/** {@link readSymbolMetadata}, to be replaced. */
export async function readMetadataTable(store: ObjectStore, call?: StoreCall): Promise<MetadataTable> {
  const table = await readReferenceTable(store, SYMBOL_METADATA_KEY, SYMBOL_METADATA_SCHEMA, call);
  if (table === undefined) return { rows: [], etag: undefined, digest: undefined };
  if (table.damage !== undefined) throw damaged(table.damage);
  const rows = decodeRows(table.columns);
  checkRanges(rows);
  return { rows, etag: table.etag, digest: table.digest };
}

/**
 * Puts rows in the place of the table that was read; the same rows are not written again.
 *
 * @returns whether it was written
 * @throws BatchLayerError `Conflict` where another table is there by now
 */
export async function replaceMetadataTable(
  store: ObjectStore,
  rows: readonly SymbolMetadata[],
  { etag, digest }: Omit<MetadataTable, 'rows'>,
  { signal }: StoreCall = {},
): Promise<boolean> {
  if (rows.length === 0 && etag === undefined) return false;
  const schema = SYMBOL_METADATA_SCHEMA;
  return replaceReferenceTable(store, SYMBOL_METADATA_KEY, schema, metadataToColumns(rows), { etag, digest, signal });
}

/** What a symbol stood for on a session (days since 1970-01-01); of rows as they are in the table. */
export function metadataAt(
  rows: readonly SymbolMetadata[],
  symbol: string,
  session: number,
): SymbolMetadata | undefined {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const { symbol: other, validFrom } = rows[middle]!;
    const order = compareSymbols(other, symbol) || (validFrom ?? Number.NEGATIVE_INFINITY) - session;
    if (order <= 0) low = middle + 1;
    else high = middle;
  }
  const row = rows[low - 1];
  return row?.symbol === symbol && session < (row.validTo ?? Number.POSITIVE_INFINITY) ? row : undefined;
}

// Rows of a table that is no history would be rewritten as one: better to stop.
function checkRanges(rows: readonly SymbolMetadata[]): void {
  for (const [i, row] of rows.entries()) {
    const before = rows[i - 1];
    const end = before?.symbol === row.symbol ? before.validTo : undefined;
    const isAfter = before?.symbol === row.symbol ? isUpTo(end, row.validFrom) : isBefore(before?.symbol, row.symbol);
    const isRange = row.validTo === undefined || row.validTo > (row.validFrom ?? Number.NEGATIVE_INFINITY);
    if (!isAfter || !isRange || row.active !== (row.validTo === undefined)) {
      throw damaged(`${SYMBOL_METADATA_KEY}: row ${i}: ranges of ${row.symbol} are not one history in order`);
    }
  }
}

function isUpTo(end: number | undefined, start: number | undefined): boolean {
  return end !== undefined && start !== undefined && end <= start;
}

function isBefore(symbol: string | undefined, next: string): boolean {
  return symbol === undefined || compareSymbols(symbol, next) < 0;
}

// What the API knows today makes no history: a table begun anew would have lost every rename and every earlier holder.
function damaged(message: string): BatchLayerError {
  return new BatchLayerError(
    'CorruptObject',
    `${message}; its history cannot be made again: restore an earlier version of the object, or delete it to begin anew`,
  );
}

/** Rows as a table of {@link SYMBOL_METADATA_SCHEMA}. */
export function metadataToColumns(rows: readonly SymbolMetadata[]): Columns {
  const values = COLUMNS.map(([field, , type]) => {
    if (type === 'utf8') return encodeUtf8(rows.map((row) => row[field] as string));
    if (type === 'bool') return Uint8Array.from(rows, (row) => Number(row[field]));
    if (type === 'float64') return Float64Array.from(rows, (row) => (row[field] as number | undefined) ?? Number.NaN);
    return Int32Array.from(rows, (row) => (row[field] as number | undefined) ?? -1);
  });
  return { length: rows.length, values };
}

function decodeRows({ length, values }: Columns): readonly SymbolMetadata[] {
  const valuesOf = COLUMNS.map(([, , type], c): readonly (string | number | boolean | undefined)[] => {
    if (type === 'utf8') return decodeUtf8(values[c] as Utf8Values);
    const numbers = Array.from(values[c] as Int32Array | Float64Array | Uint8Array);
    if (type === 'bool') return numbers.map(Boolean);
    return numbers.map((value) => (value === -1 || Number.isNaN(value) ? undefined : value));
  });
  return Array.from({ length }, (_, i) => {
    return Object.fromEntries(COLUMNS.map(([field], c) => [field, valuesOf[c]![i]])) as unknown as SymbolMetadata;
  });
}
