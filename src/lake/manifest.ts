import { hasCode } from '../errors.ts';
import { compareSymbols } from '../symbol.ts';
import { type Columns, columnOf, decodeUtf8, encodeUtf8, type TableSchema, type Utf8Values } from './columns.ts';
import { digestText } from './digest.ts';
import { MANIFEST_KEY } from './keys.ts';
import { decodeTable } from './parquet-decode.ts';
import { encodeTable } from './parquet-encode.ts';
import { conditionOf, type ObjectStore, orNone, type StoreCall } from './store.ts';
import type { DailyFile } from './symbol-files.ts';

/** Columns of the consolidation manifest. */
export const MANIFEST_SCHEMA: TableSchema = [
  { name: 'symbol', type: 'utf8' },
  { name: 'first_date', type: 'date' },
  { name: 'last_consolidated_date', type: 'date' },
  { name: 'row_count', type: 'int32' },
  { name: 'digest', type: 'utf8' },
  { name: 'appended_to', type: 'utf8' },
  { name: 'etag', type: 'utf8' },
  { name: 'daily_fingerprint', type: 'utf8' },
  { name: 'last_updated', type: 'timestamp' },
];

/** What the manifest tells of a symbol: an index of what its objects say, never the truth itself. */
export interface ManifestEntry {
  readonly symbol: string;
  readonly firstSession: number;
  readonly lastSession: number;
  readonly rows: number;
  /** Digest and version of `data.parquet`. */
  readonly digest: string;
  readonly etag: string;
  /** Digests of earlier versions that this one only appends to, newest first. */
  readonly appendedTo: readonly string[];
  /** Of the daily files there were, all applied: {@link fingerprintDaily}. */
  readonly dailyFingerprint: string;
  /** Milliseconds since 1970-01-01. */
  readonly updatedAt: number;
}

export interface Manifest {
  readonly entries: ReadonlyMap<string, ManifestEntry>;
  readonly etag: string | undefined;
  /** Set where the object is there but damaged: it counts as empty and is rebuilt from the objects. */
  readonly damage?: string;
}

const MAX_ATTEMPTS = 20;

/** Digest of which versions of which daily files there are. */
export function fingerprintDaily(daily: readonly DailyFile[]): string {
  return digestText(JSON.stringify(daily.map(({ session, etag }) => [session, etag])));
}

/** Reads the consolidation manifest; one that is missing or damaged is empty. */
export async function readManifest(store: ObjectStore, call?: StoreCall): Promise<Manifest> {
  const object = await orNone(store.get(MANIFEST_KEY, call));
  if (object === undefined) return { entries: new Map(), etag: undefined };
  try {
    const { columns } = decodeTable(MANIFEST_SCHEMA, object.body, MANIFEST_KEY);
    return { entries: decodeEntries(columns), etag: object.etag };
  } catch (error) {
    if (!hasCode(error, 'CorruptObject')) throw error;
    return { entries: new Map(), etag: object.etag, damage: error.message };
  }
}

/**
 * Puts entries into the manifest, by compare-and-swap: those of runs at the same time are kept.
 *
 * @param base the manifest as read before
 * @param isKept whether an entry that is already there stays
 */
export async function updateManifest(
  store: ObjectStore,
  entries: readonly ManifestEntry[],
  {
    base,
    isKept = () => true,
    signal,
  }: StoreCall & {
    readonly base?: Manifest | undefined;
    readonly isKept?: ((symbol: string) => boolean) | undefined;
  } = {},
): Promise<void> {
  let manifest = base ?? (await readManifest(store, { signal }));
  for (let attempt = 1; ; attempt++) {
    const kept = [...manifest.entries.values()].filter(({ symbol }) => isKept(symbol));
    if (entries.length === 0 && kept.length === manifest.entries.size && !manifest.damage) return;
    const merged = new Map([...kept, ...entries].map((entry) => [entry.symbol, entry]));
    const sorted = [...merged.values()].sort((a, b) => compareSymbols(a.symbol, b.symbol));
    const { bytes } = encodeTable(MANIFEST_SCHEMA, encodeEntries(sorted));
    try {
      await store.put(MANIFEST_KEY, bytes, { ...conditionOf(manifest.etag), signal });
      return;
    } catch (error) {
      if (!hasCode(error, 'Conflict') || attempt === MAX_ATTEMPTS) throw error;
    }
    manifest = await readManifest(store, { signal });
  }
}

function encodeEntries(entries: readonly ManifestEntry[]): Columns {
  return {
    length: entries.length,
    values: [
      encodeUtf8(entries.map((entry) => entry.symbol)),
      Int32Array.from(entries, (entry) => entry.firstSession),
      Int32Array.from(entries, (entry) => entry.lastSession),
      Int32Array.from(entries, (entry) => entry.rows),
      encodeUtf8(entries.map((entry) => entry.digest)),
      encodeUtf8(entries.map((entry) => entry.appendedTo.join())),
      encodeUtf8(entries.map((entry) => entry.etag)),
      encodeUtf8(entries.map((entry) => entry.dailyFingerprint)),
      Float64Array.from(entries, (entry) => entry.updatedAt),
    ],
  };
}

function decodeEntries(columns: Columns): Map<string, ManifestEntry> {
  const strings = (name: string) => decodeUtf8(columnOf<Utf8Values>(MANIFEST_SCHEMA, columns, name));
  const numbers = (name: string) => columnOf<Int32Array | Float64Array>(MANIFEST_SCHEMA, columns, name);
  const [digests, appendedTo] = [strings('digest'), strings('appended_to')];
  const [etags, fingerprints] = [strings('etag'), strings('daily_fingerprint')];
  return new Map(
    strings('symbol').map((symbol, i) => [
      symbol,
      {
        symbol,
        firstSession: numbers('first_date')[i]!,
        lastSession: numbers('last_consolidated_date')[i]!,
        rows: numbers('row_count')[i]!,
        digest: digests[i]!,
        etag: etags[i]!,
        appendedTo: appendedTo[i] === '' ? [] : appendedTo[i]!.split(','),
        dailyFingerprint: fingerprints[i]!,
        updatedAt: numbers('last_updated')[i]!,
      },
    ]),
  );
}
