import type { ListedSecurity, ListedTicker } from '../api/tickers.ts';
import type { SymbolMetadata } from './symbol-metadata.ts';

// A ticker is no identity: FB became META, and META was a fund before. FIGIs are the best there is, but many are missing
// (of 1,922 active and 18,375 inactive tickers: github.com/polygon-io/issues/issues/249), and appear later.

/**
 * Whether two are the same security by the strongest field that both have: share class FIGI, composite FIGI, issuer and
 * type, name. Where they have none in common nothing says that they differ.
 */
export function isSameSecurity(a: ListedSecurity, b: ListedSecurity): boolean {
  const [name, other] = [plainName(a), plainName(b)];
  return sameByNumber(a, b) ?? (name === '' || other === '' || name === other);
}

/** {@link isSameSecurity}, where a name that differs is no reason to think of another. */
export function mayBeSameSecurity(a: ListedSecurity, b: ListedSecurity): boolean {
  return sameByNumber(a, b) ?? true;
}

function sameByNumber(a: ListedSecurity, b: ListedSecurity): boolean | undefined {
  if (a.shareClassFigi !== '' && b.shareClassFigi !== '') return a.shareClassFigi === b.shareClassFigi;
  if (a.compositeFigi !== '' && b.compositeFigi !== '') return a.compositeFigi === b.compositeFigi;
  if (a.cik === '' || b.cik === '') return undefined;
  return a.cik === b.cik && (a.type === '' || b.type === '' || a.type === b.type);
}

// "CASEYS GENERAL STORES INC" and "Casey's General Stores, Inc." are one (polygon-io/issues 165).
function plainName({ name }: ListedSecurity): string {
  return name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');
}

interface Level {
  /** '' = has none. */
  readonly keyOf: (security: ListedSecurity) => string;
  /** An issuer may have many securities of a type, and many securities may have one name. */
  readonly isShared: boolean;
}

const LEVELS: readonly Level[] = [
  { keyOf: ({ shareClassFigi }) => shareClassFigi, isShared: false },
  { keyOf: ({ compositeFigi }) => compositeFigi, isShared: false },
  { keyOf: ({ cik, type }) => (cik === '' || type === '' ? '' : `${cik} ${type}`), isShared: true },
  {
    keyOf: (security) => (plainName(security) === '' ? '' : `${plainName(security)} ${security.type}`),
    isShared: true,
  },
];

export interface RenameInput {
  /** Rows whose symbol stands for them no longer. */
  readonly ended: readonly SymbolMetadata[];
  /** Active tickers that did not stand for the same security before. */
  readonly fresh: readonly ListedTicker[];
  /** All rows that were active. */
  readonly known: readonly SymbolMetadata[];
  /** All tickers that are active, each once. */
  readonly active: readonly ListedTicker[];
}

/**
 * Finds the securities that have another symbol now: whose identity only one that ended and one fresh ticker have. By
 * issuer and type, or by name, only where it was nobody else's before and is nobody else's now.
 *
 * @returns the new ticker by the old symbol
 */
export function findRenames({ ended, fresh, known, active }: RenameInput): ReadonlyMap<string, ListedTicker> {
  const renames = new Map<string, ListedTicker>();
  const taken = new Set<ListedTicker>();
  if (ended.length === 0) return renames;
  for (const { keyOf, isShared } of LEVELS) {
    const left = groupBy(ended, keyOf);
    const found = groupBy(fresh, keyOf);
    const [before, now] = isShared ? [groupBy(known, keyOf), groupBy(active, keyOf)] : [left, found];
    for (const [key, [row]] of left) {
      const [ticker] = found.get(key) ?? [];
      if (key === '' || !row || !ticker) continue;
      if (before.get(key)!.length > 1 || now.get(key)!.length > 1) continue;
      if (renames.has(row.symbol) || taken.has(ticker) || !isSameSecurity(row, ticker)) continue;
      renames.set(row.symbol, ticker);
      taken.add(ticker);
    }
  }
  return renames;
}

/** Items by key, in their order. */
export function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}
