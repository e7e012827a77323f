import { formatMonth, formatSession, parseSession } from '../session.ts';
import { checkSymbol, isSymbol } from '../symbol.ts';
import { type Shard, shardSuffix, WHOLE } from './shard.ts';

/** Where bars are: `symbol=X/date=YYYY-MM-DD.parquet` (one session) and `symbol=X/data.parquet` (consolidated). */
export const BRONZE_PREFIX = 'bronze/raw_ohlcv/';
/** Where manifests and checkpoints are. */
export const PROCESSING_PREFIX = 'processing_metadata/';
/** Where groups are. */
export const SILVER_PREFIX = 'silver/';
export const MANIFEST_KEY = `${PROCESSING_PREFIX}consolidation_manifest.parquet`;
/** The last bars of every symbol. */
export const RECENT_BARS_KEY = `${PROCESSING_PREFIX}recent_bars.parquet`;
/** Sessions that sources have answered for, and what of that is in bronze. */
export const SESSION_LEDGER_KEY = `${PROCESSING_PREFIX}sessions.parquet`;
/** The answers themselves. */
export const SESSIONS_PREFIX = `${PROCESSING_PREFIX}sessions/`;
/** How far the fetcher is, by symbol. */
export const WATERMARKS_KEY = `${PROCESSING_PREFIX}watermarks.parquet`;
/** Rows that are no bars. */
export const QUARANTINE_PREFIX = 'quarantine/raw_ohlcv/';
/** Records of what vacuum deleted. */
export const CLEANUP_PREFIX = `${PROCESSING_PREFIX}cleanup/`;

/** Everything of one symbol in bronze. */
export function symbolPrefix(symbol: string): string {
  return `${BRONZE_PREFIX}symbol=${checkSymbol(symbol)}/`;
}

/** A symbol's consolidated bars. */
export function dataKey(symbol: string): string {
  return `${symbolPrefix(symbol)}data.parquet`;
}

/** A symbol's bar of one session. */
export function dailyKey(symbol: string, session: number): string {
  return `${symbolPrefix(symbol)}date=${formatSession(session)}.parquet`;
}

/** All bars of a session as a source gave them, under the digest of the table. */
export function sessionKey(session: number, digest: string): string {
  return `${SESSIONS_PREFIX}date=${formatSession(session)}/${digest}.parquet`;
}

/** What a key of {@link sessionKey} names, or `undefined` where it is none. */
export function parseSessionKey(key: string): { readonly session: number; readonly digest: string } | undefined {
  const [, date = '', digest = ''] = /\/date=([^/]*)\/([0-9a-f]{16})\.parquet$/.exec(key) ?? [];
  const session = parseSession(date);
  return session !== undefined && key === sessionKey(session, digest) ? { session, digest } : undefined;
}

/**
 * Rows that were put aside, under the digest of what they are.
 *
 * @param of `date=2025-11-19` or `symbol=AAPL`
 */
export function quarantineKey(of: string, digest: string): string {
  return `${QUARANTINE_PREFIX}${of}/${digest}.json`;
}

/** What a bronze key names, or `undefined` where it is no key of this layout. */
export function parseBronzeKey(key: string): { readonly symbol: string; readonly session?: number } | undefined {
  if (!key.startsWith(`${BRONZE_PREFIX}symbol=`)) return undefined;
  const [symbol = '', name = '', ...rest] = key.slice(BRONZE_PREFIX.length + 'symbol='.length).split('/');
  if (!isSymbol(symbol) || rest.length > 0) return undefined;
  if (name === 'data.parquet') return { symbol };
  const session = parseSession(/^date=(.*)\.parquet$/.exec(name)?.[1] ?? '');
  return session === undefined ? undefined : { symbol, session };
}

/** All month files of an interval. */
export function silverPrefix(interval: number): string {
  return `${SILVER_PREFIX}silver_${interval}d/`;
}

/**
 * The groups of an interval whose first session is in a month ({@link monthOf}): all symbols, or those of a shard, as
 * `data_3d_202611.s003of016.parquet`.
 */
export function silverKey(interval: number, month: number, shard?: Shard): string {
  const name = formatMonth(month);
  const folder = `year=${name.slice(0, 4)}/month=${name.slice(4)}`;
  return `${silverPrefix(interval)}${folder}/data_${interval}d_${name}${shardSuffix(shard)}.parquet`;
}

/** What a silver key names, or `undefined` where it is no month file of the interval. */
export function parseSilverKey(
  interval: number,
  key: string,
): { readonly month: number; readonly shard: Shard } | undefined {
  const match = /_(\d{4})(\d{2})(?:\.s(\d+)of(\d+))?\.parquet$/.exec(key);
  if (!match) return undefined;
  const month = Number(match[1]) * 12 + Number(match[2]) - 1;
  const shard = shardOf(match[3], match[4]);
  return key === silverKey(interval, month, shard) ? { month, shard } : undefined;
}

/** State of an interval's resampling, of all symbols or those of a shard. */
export function checkpointKey(interval: number, shard?: Shard): string {
  return `${PROCESSING_PREFIX}silver_${interval}d_checkpoint${shardSuffix(shard)}.json`;
}

/** A record of what one step of vacuum deletes: `cleanup/20261120T210500123Z-….parquet`. */
export function cleanupKey(epochMs: number, id: string): string {
  return `${CLEANUP_PREFIX}${new Date(epochMs).toISOString().replace(/[-:.]/g, '')}-${id}.parquet`;
}

/** The interval whose folder a key of silver is in, or `undefined` where it is in none. */
export function parseSilverInterval(key: string): number | undefined {
  const interval = /^silver\/silver_([1-9]\d{0,3})d\//.exec(key)?.[1];
  return interval === undefined ? undefined : Number(interval);
}

/** What a checkpoint's key names, or `undefined` where it is none. */
export function parseCheckpointKey(key: string): { readonly interval: number; readonly shard: Shard } | undefined {
  const match = /_([1-9]\d{0,3})d_checkpoint(?:\.s(\d+)of(\d+))?\.json$/.exec(key);
  if (!match) return undefined;
  const interval = Number(match[1]);
  const shard = shardOf(match[2], match[3]);
  return key === checkpointKey(interval, shard) ? { interval, shard } : undefined;
}

function shardOf(index: string | undefined, count: string | undefined): Shard {
  return index === undefined ? WHOLE : { index: Number(index), count: Number(count) };
}
