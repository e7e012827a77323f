import { z } from 'zod';
import type { Bars } from '../bars.ts';
import { BatchLayerError } from '../errors.ts';
import { parseJson } from '../json.ts';
import { formatSession, parseSession } from '../session.ts';
import { type BarsFile, encodeBars, readBarsFile } from './bronze.ts';
import { dataKey } from './keys.ts';
import { wholeNumberOf } from './parquet-decode.ts';
import { conditionOf, type ObjectStore, orNone, type StoreCall } from './store.ts';
import type { Codec } from './wasm.ts';

/** A version of a daily file. */
export interface DailyVersion {
  /** Of its content: the same bar has the same digest in every store. */
  readonly digest: string;
  readonly etag: string;
}

/** A symbol's `data.parquet`: its bars, and what they were made of. */
export interface Consolidated {
  readonly bars: Bars;
  /**
   * The daily files whose bars have been taken over, by session: each file is applied once, so that a bulk import that
   * came later is not undone by it.
   */
  readonly applied: ReadonlyMap<number, DailyVersion>;
  /** Raised whenever the history changes other than by appending. */
  readonly generation: number;
}

const hex16 = z.string().regex(/^[0-9a-f]{16}$/);
const appliedDocument = z.record(z.string(), z.tuple([hex16, z.string().min(1).max(200)]));

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
  const key = dataKey(symbol);
  const file = await orNone(readBarsFile(store, key, symbol, call));
  if (file === undefined) return undefined;
  const { bars, etag, digest, metadata } = file;
  return {
    bars,
    etag,
    digest,
    generation: wholeNumberOf(metadata, 'generation', key),
    applied: parseApplied(metadata.applied, key),
  };
}

/**
 * Writes a symbol's `data.parquet` over the version `etag`, or creates it where that is left out.
 *
 * Commit point: this PUT is the commit of a consolidation.
 *
 * @throws BatchLayerError `Conflict` where another writer was faster
 */
export async function writeConsolidated(
  store: ObjectStore,
  symbol: string,
  { bars, applied, generation }: Consolidated,
  { etag, codec, ...call }: StoreCall & { readonly etag: string | undefined; readonly codec?: Codec | undefined },
): Promise<DailyVersion> {
  const entries = [...applied].map(([session, version]) => [formatSession(session), [version.digest, version.etag]]);
  const metadata = { generation: String(generation), applied: JSON.stringify(Object.fromEntries(entries)) };
  const { bytes, digest } = encodeBars(symbol, bars, { codec, metadata });
  return { digest, etag: await store.put(dataKey(symbol), bytes, { ...call, ...conditionOf(etag) }) };
}

function parseApplied(text: string | undefined, key: string): ReadonlyMap<number, DailyVersion> {
  try {
    const entries = Object.entries(appliedDocument.parse(parseJson(text ?? '{}')));
    return new Map(
      entries.map(([date, [digest, etag]]) => {
        const session = parseSession(date);
        if (session === undefined) throw new Error(`"${date}" is not a date`);
        return [session, { digest, etag }];
      }),
    );
  } catch (error) {
    throw new BatchLayerError('CorruptObject', `${key}: its list of applied daily files is damaged`, { cause: error });
  }
}
