import { allocateBars, type Bars, copyBar, REQUIRED_VALUES, sameBar } from '../bars.ts';
import { BatchLayerError, hasCode } from '../errors.ts';
import { compareSymbols } from '../symbol.ts';
import {
  type Columns,
  type ColumnValues,
  columnOf,
  encodeUtf8,
  gatherUtf8,
  runsOfUtf8,
  type TableSchema,
  type Utf8Values,
} from './columns.ts';
import { RECENT_BARS_KEY } from './keys.ts';
import { decodeTable } from './parquet-decode.ts';
import { encodeTable } from './parquet-encode.ts';
import { conditionOf, type ObjectStore, orNone, type StoreCall } from './store.ts';

/** Bars that are kept of each symbol: more than a quarter of a year, and than the longest usual interval. */
export const RECENT_ROWS = 64;

/** Columns of the recent bars; `digest` is that of the `data.parquet` they are the end of. */
export const RECENT_BARS_SCHEMA: TableSchema = [
  { name: 'symbol', type: 'utf8' },
  { name: 'digest', type: 'utf8' },
  { name: 'date', type: 'date' },
  ...REQUIRED_VALUES.map((name) => ({ name, type: 'float64' }) as const),
  { name: 'vwap', type: 'float64', nullable: true },
];

/** The last bars of every symbol in one object, so that whoever needs no others reads one instead of one a symbol. */
export interface RecentBars {
  /** All symbols end to end, in order of symbol and session; without trades. */
  readonly bars: Bars;
  readonly symbols: ReadonlyMap<string, RecentRows>;
  readonly etag: string | undefined;
  /** Set where the object is there but damaged: it counts as empty. */
  readonly damage?: string;
}

/** Rows `from` (inclusive) to `to` (exclusive): the end of the `data.parquet` with this digest, and of no other. */
export interface RecentRows {
  readonly from: number;
  readonly to: number;
  readonly digest: string;
}

/** A symbol's history, or its end. */
export interface RecentEntry {
  readonly symbol: string;
  /** Of its `data.parquet`. */
  readonly digest: string;
  readonly bars: Bars;
}

const COPIED = ['session', ...REQUIRED_VALUES, 'vwap'] as const;
const MAX_ATTEMPTS = 20;

/** A copy of the last bars, without trades. */
export function copyRecent(bars: Bars): Bars {
  const length = Math.min(bars.session.length, RECENT_ROWS);
  const copy = allocateBars(length, { vwap: bars.vwap !== undefined });
  for (let i = 0; i < length; i++) copyBar(bars, bars.session.length - length + i, copy, i);
  return copy;
}

/** Reads the recent bars; an object that is missing or damaged has none: whoever needs more reads `data.parquet`. */
export async function readRecentBars(store: ObjectStore, call?: StoreCall): Promise<RecentBars> {
  const object = await orNone(store.get(RECENT_BARS_KEY, call));
  const none = { bars: allocateBars(0), symbols: new Map(), etag: object?.etag };
  if (object === undefined) return none;
  try {
    const { columns } = decodeTable(RECENT_BARS_SCHEMA, object.body, RECENT_BARS_KEY);
    return { ...decodeRecent(columns), etag: object.etag };
  } catch (error) {
    if (!hasCode(error, 'CorruptObject')) throw error;
    return { ...none, damage: error.message };
  }
}

/**
 * Puts the ends of histories in the place of what is there of their symbols, by compare-and-swap: those of other runs
 * are kept. Of two runs the later one may put an older end over a newer one; its digest tells.
 *
 * @param base the recent bars as read before
 * @param isKept whether what is already there of a symbol stays; all does where left out
 */
export async function updateRecentBars(
  store: ObjectStore,
  entries: readonly RecentEntry[],
  {
    base,
    isKept,
    signal,
  }: StoreCall & {
    readonly base?: RecentBars | undefined;
    readonly isKept?: ((symbol: string) => boolean) | undefined;
  } = {},
): Promise<void> {
  if (entries.length === 0 && !isKept) return;
  let current = base ?? (await readRecentBars(store, { signal }));
  for (let attempt = 1; ; attempt++) {
    const parts = planParts(current, entries, isKept);
    if (parts === undefined) return;
    const { bytes } = encodeTable(RECENT_BARS_SCHEMA, encodeParts(parts));
    try {
      await store.put(RECENT_BARS_KEY, bytes, { ...conditionOf(current.etag), signal });
      return;
    } catch (error) {
      if (!hasCode(error, 'Conflict') || attempt === MAX_ATTEMPTS) throw error;
    }
    current = await readRecentBars(store, { signal });
  }
}

/** Whether these rows are the end of a history. */
export function isEndOf({ bars, from, to }: Omit<Part, 'symbol' | 'digest'>, history: Bars): boolean {
  const shift = history.session.length - to;
  if (from + shift < 0) return false;
  const { trades: _, ...values } = history;
  for (let i = from; i < to; i++) if (!sameBar(bars, i, values, i + shift)) return false;
  return true;
}

/** Rows of one symbol, and where they are. */
type Part = RecentEntry & RecentRows;

/** What the object becomes, in order; `undefined` where it stays as it is. */
function planParts(
  { bars, symbols, damage }: RecentBars,
  entries: readonly RecentEntry[],
  isKept: (symbol: string) => boolean = () => true,
): readonly Part[] | undefined {
  const parts = new Map<string, Part>();
  for (const [symbol, rows] of symbols) if (isKept(symbol)) parts.set(symbol, { symbol, bars, ...rows });
  let isChanged = damage !== undefined || parts.size < symbols.size;
  for (const entry of entries) {
    const to = entry.bars.session.length;
    const part = { ...entry, from: Math.max(0, to - RECENT_ROWS), to };
    const known = parts.get(entry.symbol);
    if (known && sameRows(known, part)) continue;
    parts.set(entry.symbol, part);
    isChanged = true;
  }
  return isChanged ? [...parts.values()].sort((a, b) => compareSymbols(a.symbol, b.symbol)) : undefined;
}

function sameRows(known: Part, { bars, from, to, digest }: Part): boolean {
  return known.digest === digest && known.to - known.from === to - from && isEndOf(known, bars);
}

function encodeParts(parts: readonly Part[]): Columns {
  const length = parts.reduce((sum, { from, to }) => sum + to - from, 0);
  const bars = allocateBars(length, { vwap: true });
  const owner = new Int32Array(length);
  let at = 0;
  for (const [i, { bars: source, from, to }] of parts.entries()) {
    for (const name of COPIED) if (source[name]) bars[name]?.set(source[name].subarray(from, to), at);
    owner.fill(i, at, at + to - from);
    at += to - from;
  }
  const strings = (values: readonly string[]) => gatherUtf8(encodeUtf8(values), owner);
  const [symbol, digest] = [strings(parts.map((part) => part.symbol)), strings(parts.map((part) => part.digest))];
  const values: Record<string, ColumnValues | undefined> = { ...bars, symbol, digest, date: bars.session };
  return { length, values: RECENT_BARS_SCHEMA.map(({ name }) => values[name]!) };
}

function decodeRecent(columns: Columns): Pick<RecentBars, 'bars' | 'symbols'> {
  const column = <T extends ColumnValues>(name: string) => columnOf<T>(RECENT_BARS_SCHEMA, columns, name);
  const [names, digests] = [runsOfUtf8(column<Utf8Values>('symbol')), runsOfUtf8(column<Utf8Values>('digest'))];
  const [session, vwap] = [column<Int32Array>('date'), column<Float64Array>('vwap')];
  const symbols = new Map<string, RecentRows>();
  let d = 0;
  for (const [i, symbol] of names.values.entries()) {
    const [from, to] = [names.starts[i]!, names.starts[i + 1]!];
    while (digests.starts[d + 1]! <= from) d++;
    const isInOrder = i === 0 || compareSymbols(names.values[i - 1]!, symbol) < 0;
    if (!isInOrder || digests.starts[d + 1]! < to || !isAscending(session, from, to)) {
      throw new BatchLayerError('CorruptObject', `${RECENT_BARS_KEY}: rows of ${symbol} are not one history in order`);
    }
    symbols.set(symbol, { from, to, digest: digests.values[d]! });
  }
  const bars = {
    session,
    open: column<Float64Array>('open'),
    high: column<Float64Array>('high'),
    low: column<Float64Array>('low'),
    close: column<Float64Array>('close'),
    volume: column<Float64Array>('volume'),
    ...(vwap.some((value) => !Number.isNaN(value)) ? { vwap } : {}),
  };
  return { bars, symbols };
}

function isAscending(session: Int32Array, from: number, to: number): boolean {
  for (let i = from + 1; i < to; i++) if (session[i]! <= session[i - 1]!) return false;
  return true;
}
