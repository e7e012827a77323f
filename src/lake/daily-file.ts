import { randomBytes } from 'node:crypto';
import type { Bars } from '../bars.ts';
import { BatchLayerError } from '../errors.ts';
import { formatSession } from '../session.ts';
import { type BarsFile, decodeBars, encodeBars, RAW_PRICES } from './bronze.ts';
import type { DailyVersion } from './consolidated.ts';
import { encodeOneBar } from './one-bar-file.ts';
import type { ObjectStore, StoreCall } from './store.ts';
import type { DailyFile } from './symbol-files.ts';
import type { Codec } from './wasm.ts';

const WRITES = /^[0-9a-f]{16}(?:,[0-9a-f]{16}){0,15}$/;
/** Writes of one session that are remembered. */
export const MAX_WRITES = 16;

/** A daily file that was read: its one bar, and which version it was. */
export interface ReadDaily extends DailyVersion, Pick<BarsFile, 'bars'> {
  readonly session: number;
}

/**
 * A session's bar as a daily file. Each write has a name of its own, and says which it replaces: one that comes again, late,
 * is known by it.
 *
 * @param replaces names of the writes it is written over, the last one first
 */
export function encodeDaily(
  symbol: string,
  bar: Bars,
  { replaces = [], codec }: { readonly replaces?: readonly string[]; readonly codec?: Codec | undefined } = {},
): { readonly bytes: Uint8Array; readonly digest: string; readonly writes: readonly string[] } {
  const writes = [...new Set([randomBytes(8).toString('hex'), ...replaces])].slice(0, MAX_WRITES);
  const metadata = { writes: writes.join() };
  const file = codec ? undefined : encodeOneBar(symbol, bar, { ...metadata, ...RAW_PRICES });
  return { ...(file ?? encodeBars(symbol, bar, { codec, metadata })), writes };
}

/**
 * Reads a daily file and checks that it has the one bar its key names.
 *
 * @throws BatchLayerError `NotFound`, or `CorruptObject` with the key
 */
export async function readDaily(
  store: ObjectStore,
  symbol: string,
  file: Pick<DailyFile, 'key' | 'session'>,
  call?: StoreCall,
): Promise<ReadDaily> {
  const { body, etag } = await store.get(file.key, call);
  return decodeDaily(body, symbol, { ...file, etag });
}

/** {@link readDaily} of a file that is in memory. */
export function decodeDaily(
  body: Uint8Array,
  symbol: string,
  { key, session, etag }: Pick<DailyFile, 'key' | 'session' | 'etag'>,
): ReadDaily {
  const { bars, digest, metadata } = decodeBars(body, symbol, key);
  if (bars.session.length !== 1 || bars.session[0] !== session) {
    const found = Array.from(bars.session, formatSession).join(', ');
    throw new BatchLayerError(
      'CorruptObject',
      `${key}: has bars of ${found || 'no session'}: expected one, of the key's date`,
    );
  }
  const { writes } = metadata;
  if (writes !== undefined && !WRITES.test(writes)) {
    throw new BatchLayerError('CorruptObject', `${key}: its writes are "${writes.slice(0, 40)}": expected their names`);
  }
  return { session, bars, digest, etag, writes: writes?.split(',') ?? [] };
}
