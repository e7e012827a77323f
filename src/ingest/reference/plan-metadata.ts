import { BatchLayerError } from '../../errors.ts';
import { compareSymbols } from '../../symbol.ts';
import type { ListedTicker, TickerList } from '../api/tickers.ts';
import type { SymbolMetadata } from './symbol-metadata.ts';
import { closeRange, endOf, findExit, newestOf, openRange, rangesBefore, updateRow } from './symbol-ranges.ts';
import { findRenames, groupBy, isSameSecurity } from './ticker-identity.ts';

/** A security that has another symbol. */
export interface Renaming {
  readonly from: string;
  readonly to: string;
}

/** What becomes of the metadata, and why; everything in ascending order of symbol. */
export interface MetadataPlan {
  /** The new table, in order of symbol and first session. */
  readonly rows: readonly SymbolMetadata[];
  /** Active now, and not before. */
  readonly added: readonly string[];
  /** Seen for the first time when they were active no longer. */
  readonly addedInactive: readonly string[];
  /** Active before, in the list of inactive tickers now. */
  readonly delisted: readonly string[];
  /** In order of the new symbol. */
  readonly renamed: readonly Renaming[];
  /** Another security's now. */
  readonly recycled: readonly string[];
  /** Active before, in neither list now: they stay as they are. */
  readonly missing: readonly string[];
  /** Still the same security's, of which the list tells something else. */
  readonly updated: readonly string[];
}

type Lists = Pick<TickerList, 'active' | 'inactive'>;
type Change = Exclude<keyof MetadataPlan, 'rows' | 'renamed'>;

/** So few are no sign of a list that is not whole. */
const MAX_LOST = 10;

/**
 * Checks that a list of tickers can be whole.
 *
 * @param maxLostShare of the symbols that were active, how many may be so no longer; ten may in any case
 * @throws BatchLayerError `Unavailable` where it has no active ticker, or has lost more
 */
export function checkList(known: readonly SymbolMetadata[], { active }: Lists, maxLostShare: number): void {
  const listed = new Set(active.map(({ symbol }) => symbol));
  const before = known.filter((row) => row.active);
  const lost = before.filter(({ symbol }) => !listed.has(symbol)).length;
  if (listed.size > 0 && lost <= Math.max(before.length * maxLostShare, MAX_LOST)) return;
  throw new BatchLayerError(
    'Unavailable',
    `the list of active tickers has ${listed.size} symbols, and lacks ${lost} of the ${before.length} that were active: it cannot be whole, and nothing was changed`,
  );
}

/**
 * Plans what becomes of the metadata of all symbols: pure. The same list again changes nothing, and its order is of no
 * importance.
 *
 * A range ends one past `delisted_utc` ("the last date that the asset was traded": docs of `/v3/reference/tickers`; where
 * it is the day after, a session without bars is in the range), else today. A new one begins today, of a renamed security
 * where its old one ends; of tickers that are there at first look it has no beginning. One without a session is left out.
 *
 * @param today the session (days since 1970-01-01) the list was made on
 */
export function planMetadata(known: readonly SymbolMetadata[], listed: Lists, today: number): MetadataPlan {
  const histories = groupBy(known, ({ symbol }) => symbol);
  const inactive = groupBy(listed.inactive, ({ symbol }) => symbol);
  const active = new Map<string, ListedTicker>();
  for (const ticker of listed.active) active.set(ticker.symbol, newestOf(ticker, active.get(ticker.symbol)));

  const open = known.filter((row) => row.active);
  const hasEnded = (row: SymbolMetadata) => !isTickerOf(active.get(row.symbol), row);
  const ended = new Map(open.filter(hasEnded).map((row) => [row.symbol, row]));
  const goesOn = new Set(open.filter((row) => !hasEnded(row)).map(({ symbol }) => symbol));
  const fresh = [...active.values()].filter(({ symbol }) => !goesOn.has(symbol));
  const successors = findRenames({ ended: [...ended.values()], fresh, known: open, active: [...active.values()] });
  const predecessors = new Map([...successors].map(([symbol, ticker]) => [ticker.symbol, ended.get(symbol)!]));

  const caseOf = (symbol: string): SymbolCase => {
    const past = histories.get(symbol) ?? [];
    const entries = inactive.get(symbol) ?? [];
    const [row, ticker, successor] = [ended.get(symbol), active.get(symbol), successors.get(symbol)?.symbol];
    return { past, entries, row, ticker, successor, exit: row && findExit(row, past.at(-2), entries) };
  };
  const rows: SymbolMetadata[] = [];
  const renamed: Renaming[] = [];
  const changes = Object.fromEntries(CHANGES.map((change) => [change, [] as string[]])) as Record<Change, string[]>;
  const symbols = new Set([...histories.keys(), ...active.keys(), ...inactive.keys()]);
  for (const symbol of [...symbols].sort(compareSymbols)) {
    const predecessor = predecessors.get(symbol);
    const planned = planSymbol(caseOf(symbol), {
      predecessor,
      begin: predecessor ? endOfCase(caseOf(predecessor.symbol), today) : known.length === 0 ? undefined : today,
      today,
    });
    rows.push(...planned.rows);
    if (predecessor) renamed.push({ from: predecessor.symbol, to: symbol });
    if (planned.change) changes[planned.change].push(symbol);
  }
  return { rows, renamed, ...changes };
}

const CHANGES: readonly Change[] = ['added', 'addedInactive', 'delisted', 'recycled', 'missing', 'updated'];

/** All that is told of one symbol. */
interface SymbolCase {
  /** Its rows. */
  readonly past: readonly SymbolMetadata[];
  /** The last of them, where it is active and its security no longer has the symbol. */
  readonly row: SymbolMetadata | undefined;
  /** The active ticker. */
  readonly ticker: ListedTicker | undefined;
  /** Inactive tickers. */
  readonly entries: readonly ListedTicker[];
  /** Which of them tells of the end of `row`. */
  readonly exit: ListedTicker | undefined;
  /** The symbol that the security of `row` has now. */
  readonly successor: string | undefined;
}

interface Opening {
  /** What the security of the ticker was before. */
  readonly predecessor: SymbolMetadata | undefined;
  /** Where a new row begins; `undefined` = nobody knows. */
  readonly begin: number | undefined;
  readonly today: number;
}

function planSymbol(
  symbolCase: SymbolCase,
  { predecessor, begin, today }: Opening,
): { readonly rows: readonly SymbolMetadata[]; readonly change?: Change } {
  const { past, row, ticker, entries, exit, successor } = symbolCase;
  const last = past.at(-1);
  if (last?.active && !row) {
    const next = updateRow(last, ticker!);
    return next === last ? { rows: past } : { rows: [...past.slice(0, -1), next], change: 'updated' };
  }
  if (row && !ticker && !exit && successor === undefined) return { rows: past, change: 'missing' };
  let rows = past;
  if (row) {
    // Where nothing tells when it ended, it was when another security began in its place.
    const isUntold = exit?.delistedDate === undefined && successor === undefined;
    const by = isUntold && ticker && begin !== undefined ? Math.min(begin, today) : today;
    const changes = { delistedDate: exit?.delistedDate, renamedTo: successor ?? '' };
    rows = closeRange(past, endOfCase(symbolCase, by), changes);
  }
  if (rows.length === 0) rows = rangesBefore(ticker, entries, today);
  if (ticker) rows = openRange(rows, ticker, { predecessor, begin, today });
  if (ticker && row) return { rows, change: 'recycled' };
  if (row) return successor === undefined ? { rows, change: 'delisted' } : { rows };
  if (ticker) return predecessor ? { rows } : { rows, change: 'added' };
  return past.length === 0 ? { rows, change: 'addedInactive' } : { rows };
}

function endOfCase({ row, exit, ticker, successor }: SymbolCase, today: number): number {
  return endOf(row!, exit, { isSucceeded: ticker !== undefined || successor !== undefined, today });
}

function isTickerOf(ticker: ListedTicker | undefined, row: SymbolMetadata): boolean {
  return ticker !== undefined && isSameSecurity(row, ticker);
}
