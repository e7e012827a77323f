import { allocateBars, type Bars, copyBar } from '../bars.ts';
import { BatchLayerError, hasCode } from '../errors.ts';
import { formatSession } from '../session.ts';
import { compareSymbols } from '../symbol.ts';
import { BRONZE_SCHEMA, checkPrices, columnsToBars, RAW_PRICES } from './bronze.ts';
import {
  type Columns,
  type ColumnValues,
  columnOf,
  decodeUtf8,
  encodeUtf8,
  sameBytes,
  type Utf8Values,
} from './columns.ts';
import { parseSessionKey, SESSIONS_PREFIX, sessionKey } from './keys.ts';
import { decodeTable } from './parquet-decode.ts';
import { encodeTable } from './parquet-encode.ts';
import type { ObjectStore, StoreCall } from './store.ts';

/** All bars of one session, a symbol each. */
export interface SessionBars {
  readonly session: number;
  /** In ascending order, each once. */
  readonly symbols: readonly string[];
  /** Row i is the bar of `symbols[i]`; all of the one session, vwap and trades included. */
  readonly bars: Bars;
}

/** A source's answer for a session. */
export interface SessionFile extends SessionBars {
  /** Symbols that a row came of, but no bar that can be taken. */
  readonly missing: readonly string[];
  /** Whose answer it is. */
  readonly source: string;
  /** When it was asked for, in milliseconds since 1970-01-01. */
  readonly askedAt: number;
}

/** An answer as a file, and the digest of its bars, which names it. */
export function encodeSession(answer: SessionFile): { readonly bytes: Uint8Array; readonly digest: string } {
  const { bytes, digest } = encodeTable(BRONZE_SCHEMA, toColumns(answer), {
    metadata: {
      missing: answer.missing.join(),
      source: answer.source,
      asked_at: String(answer.askedAt),
      ...RAW_PRICES,
    },
  });
  return { bytes, digest: digest.digest };
}

/**
 * Keeps what a source gave of a session, before anything is made of it: a run that is killed asks for it no second time, and
 * the next answer tells by it what has changed.
 */
export async function putSessionFile(
  store: ObjectStore,
  session: number,
  { bytes, digest }: ReturnType<typeof encodeSession>,
  call?: StoreCall,
): Promise<void> {
  const key = sessionKey(session, digest);
  try {
    await store.put(key, bytes, { ...call, ifNoneMatch: '*' });
  } catch (error) {
    if (!hasCode(error, 'Conflict')) throw error;
    await replaceOlder(store, key, bytes, call);
  }
}

// Its name says what bars it has. What else it tells may be older, or it is damaged.
async function replaceOlder(store: ObjectStore, key: string, bytes: Uint8Array, call?: StoreCall): Promise<void> {
  const found = await store.get(key, call);
  if (sameBytes(found.body, bytes)) return;
  try {
    await store.put(key, bytes, { ...call, ifMatch: found.etag });
  } catch (error) {
    // Somebody else has just had the same bars.
    if (!hasCode(error, 'Conflict')) throw error;
  }
}

/** @throws BatchLayerError `NotFound`, or `CorruptObject` with the key */
export async function readSessionFile(
  store: ObjectStore,
  session: number,
  digest: string,
  call?: StoreCall,
): Promise<SessionFile> {
  const key = sessionKey(session, digest);
  const { body } = await store.get(key, call);
  const { columns, digest: found, metadata } = decodeTable(BRONZE_SCHEMA, body, key);
  const symbols = decodeUtf8(columnOf<Utf8Values>(BRONZE_SCHEMA, columns, 'symbol'));
  const dates = columnOf<Int32Array>(BRONZE_SCHEMA, columns, 'date');
  const isSorted = symbols.every((symbol, i) => i === 0 || compareSymbols(symbols[i - 1]!, symbol) < 0);
  if (found !== digest || !isSorted || dates.some((date) => date !== session)) {
    throw new BatchLayerError(
      'CorruptObject',
      `${key}: is not the bars of ${formatSession(session)}, by symbol, of this digest; delete it and fetch the session again`,
    );
  }
  checkPrices(metadata, key);
  const missing = metadata.missing ? metadata.missing.split(',') : [];
  const { source = '', asked_at: askedAt = '0' } = metadata;
  return { session, symbols, bars: columnsToBars(columns), missing, source, askedAt: Number(askedAt) };
}

/** Digests of all session files from one session to another. */
export async function listSessionFiles(
  store: ObjectStore,
  { from, to, ...call }: StoreCall & { readonly from: number; readonly to: number },
): Promise<Map<number, string[]>> {
  const found = new Map<number, string[]>();
  const startAfter = `${SESSIONS_PREFIX}date=${formatSession(from)}`;
  for await (const { key } of store.list(SESSIONS_PREFIX, { ...call, startAfter })) {
    const parsed = parseSessionKey(key);
    if (parsed === undefined) continue;
    if (parsed.session > to) break;
    found.set(parsed.session, [...(found.get(parsed.session) ?? []), parsed.digest]);
  }
  return found;
}

/** The bars of a session that are asked for. */
export function filterSession(
  { session, symbols, bars }: SessionBars,
  isKept: (symbol: string, i: number) => boolean,
): SessionBars {
  const kept = symbols.flatMap((symbol, i) => (isKept(symbol, i) ? [i] : []));
  const picked = allocateBars(kept.length, { vwap: true, trades: true });
  for (const [at, i] of kept.entries()) copyBar(bars, i, picked, at);
  return { session, symbols: kept.map((i) => symbols[i]!), bars: picked };
}

/** The bars of some symbols. */
export function pickSymbols(session: SessionBars, symbols: ReadonlySet<string>): SessionBars {
  return filterSession(session, (symbol) => symbols.has(symbol));
}

function toColumns({ symbols, bars }: SessionBars): Columns {
  const values: Record<string, ColumnValues | undefined> = {
    vwap: new Float64Array(symbols.length).fill(Number.NaN),
    trades: new Int32Array(symbols.length).fill(-1),
    ...bars,
    symbol: encodeUtf8(symbols),
    date: bars.session,
  };
  return { length: symbols.length, values: BRONZE_SCHEMA.map(({ name }) => values[name]!) };
}
