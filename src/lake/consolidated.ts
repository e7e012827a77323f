import { z } from 'zod';
import type { Bars } from '../bars.ts';
import { BatchLayerError } from '../errors.ts';
import { parseJson } from '../json.ts';
import { formatSession, parseSession } from '../session.ts';
import { type BarsFile, BRONZE_SCHEMA, decodeBars, encodeBars } from './bronze.ts';
import { splitFooter } from './footer.ts';
import { type HistoryChange, MAX_CHANGES } from './history.ts';
import { dataKey } from './keys.ts';
import { checkFooter, metadataOf } from './parquet-decode.ts';
import type { FileMetadata } from './parquet-encode.ts';
import { type ObjectStore, orNone, type StoreCall } from './store.ts';
import type { Codec } from './wasm.ts';

/** A version of a daily file. */
export interface DailyVersion {
  /** Of its content: the same bar has the same digest in every store. */
  readonly digest: string;
  readonly etag: string;
  /** Names the write that made it, and before that those it replaced; none of files that others wrote. */
  readonly writes: readonly string[];
}

/** What of a session's daily file has been taken over. */
export interface AppliedFile extends DailyVersion {
  /** When, in days since 1970-01-01. */
  readonly on: number;
}

/** A symbol's `data.parquet`: its bars, and what they were made of. */
export interface Consolidated {
  readonly bars: Bars;
  /**
   * The daily files whose bars have been taken over, by session: each file is applied once, so that a bulk import that
   * came later is not undone by it.
   */
  readonly applied: ReadonlyMap<number, AppliedFile>;
  /** How it came to be what it is: the last 64 changes, oldest first. */
  readonly changes: readonly HistoryChange[];
}

const hex16 = z.string().regex(/^[0-9a-f]{16}$/);
const etag = z.string().min(1).max(200);
const changesDocument = z.array(z.tuple([hex16, z.int().min(0), z.string()])).max(MAX_CHANGES);
const appliedDocument = z.record(z.string(), z.tuple([hex16, etag, z.int()], hex16));

/**
 * Reads a symbol's `data.parquet`, checked.
 *
 * @returns `undefined` where there is none
 * @throws BatchLayerError `CorruptObject`
 */
export async function readConsolidated(
  store: ObjectStore,
  symbol: string,
  call?: StoreCall,
): Promise<(Consolidated & Pick<BarsFile, 'etag' | 'digest'>) | undefined> {
  const object = await orNone(store.get(dataKey(symbol), call));
  return object && { ...decodeConsolidated(object.body, symbol), etag: object.etag };
}

/** {@link readConsolidated} of a file that is in memory. */
export function decodeConsolidated(body: Uint8Array, symbol: string): Consolidated & Pick<BarsFile, 'digest'> {
  const key = dataKey(symbol);
  const { bars, digest, metadata } = decodeBars(body, symbol, key);
  return { bars, digest, changes: changesOf(metadata, key), applied: parseApplied(metadata.applied, key) };
}

/** What a `data.parquet` says it was made of: its footer alone is decoded. */
export function decodeApplied(body: Uint8Array, symbol: string): Consolidated['applied'] {
  const key = dataKey(symbol);
  const footer = splitFooter(body, key);
  checkFooter(BRONZE_SCHEMA, footer, key);
  return parseApplied(metadataOf(footer).applied, key);
}

/** A symbol's `data.parquet` as bytes. */
export function encodeConsolidated(
  symbol: string,
  { bars, applied, changes }: Consolidated,
  codec?: Codec,
): { readonly bytes: Uint8Array; readonly digest: string } {
  const entries = [...applied].map(([session, { digest, etag, on, writes }]) => {
    return [formatSession(session), [digest, etag, on, ...writes]];
  });
  const metadata = {
    changes: JSON.stringify(changes.map(({ of, rows, from }) => [of, rows, formatSession(from)])),
    applied: JSON.stringify(Object.fromEntries(entries)),
  };
  return encodeBars(symbol, bars, { codec, metadata });
}

/** Whether this very write of a daily file has been taken over, also where another came after it. */
export function isApplied(
  applied: AppliedFile | undefined,
  { etag, digest, writes: [write] = [] }: Partial<DailyVersion>,
): boolean {
  if (applied === undefined) return false;
  if (applied.etag === etag) return true;
  return write === undefined ? applied.digest === digest : applied.writes.includes(write);
}

/**
 * The changes that the metadata of a `data.parquet` tells of.
 *
 * @throws BatchLayerError `CorruptObject`
 */
export function changesOf(metadata: FileMetadata, key: string): readonly HistoryChange[] {
  try {
    const entries = changesDocument.parse(parseJson(metadata.changes ?? '[]'));
    return entries.map(([of, rows, date]) => ({ of, rows, from: sessionOf(date) }));
  } catch (error) {
    throw new BatchLayerError('CorruptObject', `${key}: its list of changes is damaged`, { cause: error });
  }
}

function parseApplied(text: string | undefined, key: string): Consolidated['applied'] {
  try {
    const entries = Object.entries(appliedDocument.parse(parseJson(text ?? '{}')));
    return new Map(
      entries.map(([date, [digest, etag, on, ...writes]]) => [sessionOf(date), { digest, etag, on, writes }]),
    );
  } catch (error) {
    throw new BatchLayerError('CorruptObject', `${key}: its list of applied daily files is damaged`, { cause: error });
  }
}

function sessionOf(date: string): number {
  const session = parseSession(date);
  if (session === undefined) throw new Error(`"${date}" is not a date`);
  return session;
}
