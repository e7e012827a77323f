import { BatchLayerError } from '../errors.ts';
import { digestText } from './digest.ts';

/** One of `count` parts of all symbols, counted from 0; each part has month files and checkpoints of its own. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** All symbols: what there is without shards. */
export const WHOLE: Shard = { index: 0, count: 1 };

/** As many as an AWS Batch array job has children, and as three digits of a key hold. */
const MAX_SHARDS = 1000;

/**
 * The shard that a text such as `3/16` names: the fourth of 16.
 *
 * @throws BatchLayerError `BadInput`
 */
export function parseShard(text: string): Shard {
  const [, index, count] = /^(\d{1,4})\/(\d{1,4})$/.exec(text) ?? [];
  if (index === undefined) throw wrongShard(`"${text}"`);
  return checkShard({ index: Number(index), count: Number(count) });
}

/** @throws BatchLayerError `BadInput` unless 0 ≤ index < count ≤ 1,000 */
export function checkShard(shard: Shard): Shard {
  const { index, count } = shard;
  const isRight = Number.isInteger(index) && Number.isInteger(count) && 0 <= index && index < count;
  if (isRight && count <= MAX_SHARDS) return shard;
  throw wrongShard(`${index}/${count}`);
}

function wrongShard(found: string): BatchLayerError {
  return new BatchLayerError(
    'BadInput',
    `shard ${found}: expected i/N with 0 ≤ i < N ≤ ${MAX_SHARDS}, such as 0/4 for the first of four`,
  );
}

/** Whether a symbol belongs to a shard: hash(symbol) mod N, the same for ever and everywhere. */
export function isInShard(symbol: string, { index, count }: Shard): boolean {
  return count === 1 || Number(BigInt(`0x${digestText(symbol)}`) % BigInt(count)) === index;
}

/** What a shard's keys have in their names: `.s003of016`, nothing where there is but one. */
export function shardSuffix({ index, count }: Shard = WHOLE): string {
  if (count === 1) return '';
  return `.s${String(index).padStart(3, '0')}of${String(count).padStart(3, '0')}`;
}

/** Whether two shards are the same part of the same division. */
export function sameShard(a: Shard, b: Shard): boolean {
  return a.index === b.index && a.count === b.count;
}
