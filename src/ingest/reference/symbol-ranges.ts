import { compareSymbols } from '../../symbol.ts';
import { NO_DETAILS } from '../api/ticker-details.ts';
import type { ListedTicker } from '../api/tickers.ts';
import type { SymbolMetadata } from './symbol-metadata.ts';
import { isSameSecurity, mayBeSameSecurity } from './ticker-identity.ts';

const LISTED = ['name', 'type', 'exchange', 'currency', 'cik', 'compositeFigi', 'shareClassFigi'] as const;
const EVER = Number.NEGATIVE_INFINITY;

/** A row as the list has it now; what the list does not tell is kept. The row itself where nothing changes. */
export function updateRow(row: SymbolMetadata, ticker: ListedTicker): SymbolMetadata {
  const changed = LISTED.filter((field) => ticker[field] !== '' && ticker[field] !== row[field]);
  if (changed.length === 0) return row;
  return { ...row, ...Object.fromEntries(changed.map((field) => [field, ticker[field]])) };
}

/** The inactive ticker that tells of the end of a row, and not of one `before` it. */
export function findExit(
  row: SymbolMetadata,
  before: SymbolMetadata | undefined,
  entries: readonly ListedTicker[],
): ListedTicker | undefined {
  const since = before?.validTo ?? EVER;
  const start = Math.max(since, row.validFrom ?? EVER);
  const same = entries.filter((entry) => isSameSecurity(row, entry) && (entry.delistedDate ?? since) >= since);
  const likely = entries.filter((entry) => mayBeSameSecurity(row, entry) && (entry.delistedDate ?? EVER) >= start);
  return (same.length > 0 ? same : likely).sort(byDelisting).at(-1);
}

/**
 * Where a row ends: one past its last session, or on `today` where no date is told.
 *
 * @param isSucceeded whether something else stands in its place by then, so that it may have had no session at all
 */
export function endOf(
  { validFrom = EVER }: SymbolMetadata,
  exit: ListedTicker | undefined,
  { isSucceeded, today }: { readonly isSucceeded: boolean; readonly today: number },
): number {
  const told = exit?.delistedDate === undefined ? today : exit.delistedDate + 1;
  return isSucceeded ? Math.max(validFrom, Math.min(told, today)) : Math.max(validFrom + 1, told);
}

/** Closes the last row; it is left out where it had no session. */
export function closeRange(
  rows: readonly SymbolMetadata[],
  validTo: number,
  changes: Pick<SymbolMetadata, 'delistedDate' | 'renamedTo'>,
): readonly SymbolMetadata[] {
  const [past, last] = [rows.slice(0, -1), rows.at(-1)!];
  return validTo <= (last.validFrom ?? EVER) ? past : [...past, { ...last, ...changes, active: false, validTo }];
}

/** Closed ranges of a symbol that was never known, of the inactive tickers of its name: one after the other. */
export function rangesBefore(
  ticker: ListedTicker | undefined,
  entries: readonly ListedTicker[],
  today: number,
): readonly SymbolMetadata[] {
  const others = entries.filter((entry) => !ticker || !isSameSecurity(entry, ticker)).sort(byDelisting);
  const dated = others.filter(({ delistedDate }) => delistedDate !== undefined);
  // Of one without a date is known that it is over; where somebody has the symbol since, not even when.
  if (dated.length === 0) return others.length === 0 || ticker ? [] : [rangeOf(others.at(-1)!, undefined, today)];
  const distinct = dated.filter((entry, i) => {
    const next = dated[i + 1];
    return !next || (next.delistedDate !== entry.delistedDate && !isSameSecurity(entry, next));
  });
  return distinct.map((entry, i) => {
    const before = distinct[i - 1]?.delistedDate;
    return rangeOf(entry, before === undefined ? undefined : before + 1, entry.delistedDate! + 1);
  });
}

/** Adds an active row. It begins on `begin`, or wherever it can; of a renamed security it has what its old row had. */
export function openRange(
  rows: readonly SymbolMetadata[],
  ticker: ListedTicker,
  {
    predecessor,
    begin,
    today,
  }: {
    readonly predecessor: SymbolMetadata | undefined;
    readonly begin: number | undefined;
    readonly today: number;
  },
): readonly SymbolMetadata[] {
  // A delisting that is told to come is over where somebody has the symbol already.
  const past = rows
    .filter(({ validFrom = EVER }) => validFrom < today)
    .map((row) => (row.validTo! > today ? { ...row, validTo: today } : row));
  const end = past.at(-1)?.validTo;
  const validFrom = end === undefined ? begin : Math.max(end, begin ?? EVER);
  if (!predecessor) return [...past, rangeOf(ticker, validFrom, undefined)];
  const changes = { symbol: ticker.symbol, validFrom, renamedFrom: predecessor.symbol };
  return [...past, updateRow({ ...predecessor, ...changes }, ticker)];
}

function rangeOf(
  { updatedAt: _, delistedDate, ...security }: ListedTicker,
  validFrom: number | undefined,
  validTo: number | undefined,
): SymbolMetadata {
  const active = validTo === undefined;
  return {
    ...NO_DETAILS,
    ...security,
    validFrom,
    validTo,
    active,
    delistedDate: active ? undefined : delistedDate,
    sector: '',
    renamedFrom: '',
    renamedTo: '',
    detailsAsOf: undefined,
  };
}

/**
 * The one of two rows about a ticker that was learned last. The list has such pairs, and that one was right: github.com
 * polygon-io/issues 165 and 310.
 */
export function newestOf(ticker: ListedTicker, other: ListedTicker | undefined): ListedTicker {
  return other && byUpdate(ticker, other) < 0 ? other : ticker;
}

function byUpdate(a: ListedTicker, b: ListedTicker): number {
  return compareSymbols(a.updatedAt, b.updatedAt) || compareSymbols(textOf(a), textOf(b));
}

function byDelisting(a: ListedTicker, b: ListedTicker): number {
  const [left, right] = [a.delistedDate ?? EVER, b.delistedDate ?? EVER];
  return left === right ? byUpdate(a, b) : left - right;
}

// Any order will do for rows that are all else the same.
function textOf(ticker: ListedTicker): string {
  return JSON.stringify(LISTED.map((field) => ticker[field]));
}
