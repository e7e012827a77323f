import { compareSymbols } from '../../symbol.ts';
import { NO_DETAILS, type TickerDetails } from '../api/ticker-details.ts';
import { sectorOf } from './sectors.ts';
import type { SymbolMetadata } from './symbol-metadata.ts';
import { groupBy } from './ticker-identity.ts';

/** A ticker whose details are to be asked for. */
export interface PlannedDetails {
  readonly symbol: string;
  /** As of this session: of a ticker that is not active any more, the last that it was. */
  readonly session: number | undefined;
}

/** What was found, by symbol; `undefined` = the API has no details of it. */
export type FoundDetails = ReadonlyMap<string, TickerDetails | undefined>;

/**
 * Plans whose details to ask for, those first that were never asked for, then the oldest: pure.
 *
 * @param options `symbols` are asked for regardless of age; without them all active ones whose details are `maxAgeDays`
 * days old or older. `today` in days since 1970-01-01.
 * @returns beside them, those of `symbols` that nothing is known of
 */
export function planDetails(
  rows: readonly SymbolMetadata[],
  {
    symbols,
    maxAgeDays,
    today,
  }: { readonly symbols?: readonly string[] | undefined; readonly maxAgeDays: number; readonly today: number },
): { readonly due: readonly PlannedDetails[]; readonly unknown: readonly string[] } {
  const isDue = ({ active, detailsAsOf }: SymbolMetadata): boolean => {
    return active && (detailsAsOf === undefined || today - detailsAsOf >= maxAgeDays);
  };
  const asked = symbols && new Set(symbols);
  const lastRows = [...groupBy(rows, ({ symbol }) => symbol).values()].map((history) => history.at(-1)!);
  const due = asked ? lastRows.filter(({ symbol }) => asked.has(symbol)) : lastRows.filter(isDue);
  const known = new Set(due.map(({ symbol }) => symbol));
  return {
    due: due.sort(byAge).map(({ symbol, validTo }) => ({ symbol, session: validTo && validTo - 1 })),
    unknown: [...(asked ?? [])].filter((symbol) => !known.has(symbol)).sort(compareSymbols),
  };
}

/** Puts details into the last row of each symbol, except where they are newer there: pure. */
export function applyDetails(
  rows: readonly SymbolMetadata[],
  found: FoundDetails,
  today: number,
): readonly SymbolMetadata[] {
  return rows.map((row, i) => {
    const isLast = rows[i + 1]?.symbol !== row.symbol;
    if (!isLast || !found.has(row.symbol) || (row.detailsAsOf ?? today) > today) return row;
    // Values of another day under the date of this one would be wrong.
    const details = found.get(row.symbol) ?? NO_DETAILS;
    return { ...row, ...details, sector: sectorOf(details.sicCode), detailsAsOf: today };
  });
}

function byAge(a: SymbolMetadata, b: SymbolMetadata): number {
  const never = Number.NEGATIVE_INFINITY;
  const [left, right] = [a.detailsAsOf ?? never, b.detailsAsOf ?? never];
  return left === right ? compareSymbols(a.symbol, b.symbol) : left - right;
}
