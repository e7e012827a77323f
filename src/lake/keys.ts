import { formatMonth, formatSession, parseSession } from '../session.ts';
import { checkSymbol, isSymbol } from '../symbol.ts';

/** Where bars are: `symbol=X/date=YYYY-MM-DD.parquet` (one session) and `symbol=X/data.parquet` (consolidated). */
export const BRONZE_PREFIX = 'bronze/raw_ohlcv/';
/** Where manifests and checkpoints are. */
export const PROCESSING_PREFIX = 'processing_metadata/';
/** Where groups are. */
export const SILVER_PREFIX = 'silver/';
export const MANIFEST_KEY = `${PROCESSING_PREFIX}consolidation_manifest.parquet`;
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

/** The groups of an interval whose first session is in a month ({@link monthOf}), all symbols. */
export function silverKey(interval: number, month: number): string {
  const name = formatMonth(month);
  const folder = `year=${name.slice(0, 4)}/month=${name.slice(4)}`;
  return `${silverPrefix(interval)}${folder}/data_${interval}d_${name}.parquet`;
}

/** The month of a silver key, or `undefined` where it is no month file of the interval. */
export function parseSilverKey(interval: number, key: string): number | undefined {
  const match = /_(\d{4})(\d{2})\.parquet$/.exec(key);
  const month = match ? Number(match[1]) * 12 + Number(match[2]) - 1 : undefined;
  return month !== undefined && key === silverKey(interval, month) ? month : undefined;
}

/** State of an interval's resampling. */
export function checkpointKey(interval: number): string {
  return `${PROCESSING_PREFIX}silver_${interval}d_checkpoint.json`;
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

/** The interval of a checkpoint's key, or `undefined` where it is none. */
export function parseCheckpointKey(key: string): number | undefined {
  const interval = /_([1-9]\d{0,3})d_checkpoint\.json$/.exec(key)?.[1];
  return interval !== undefined && key === checkpointKey(Number(interval)) ? Number(interval) : undefined;
}
