import type { Bars } from '../bars.ts';

/** Sums of the hashes of bars: the high halves, signed, and the low halves, unsigned. Exact for up to two million bars. */
export interface HashSum {
  high: number;
  low: number;
}

const SEED_OF_8_BYTES = 0x9e3779b9 + 8 + 3923095;
const SEED_OF_4_BYTES = 0x9e3779b9 + 4 + 3923095;

const number = new Float64Array(1);
const words = new Int32Array(number.buffer);
// Hash so far; a function that returned two numbers would make an object a value.
let [high, low] = [0, 0];

/**
 * Adds the hashes of the bars `from` (inclusive) to `to` (exclusive) to a sum.
 *
 * The hash is that of the function `bar_hash` in the database, made of PostgreSQL's own hash functions for its types, each
 * seeded with the one before and the number of the column (`hash_bytes_extended` in PostgreSQL's src/common/hashfn.c, after Bob Jenkins' lookup3). Tables
 * partitioned by hash rest on these, so they stay as they are. A value that is absent counts as NaN, and −1 of trades.
 */
export function addHashes(bars: Bars, from: number, to: number, sum: HashSum): void {
  const { session, open, high: highs, low: lows, close, volume, vwap, trades } = bars;
  for (let i = from; i < to; i++) {
    low = session[i]!;
    high = low < 0 ? -1 : 0;
    hashFloat(open[i]!, 1);
    hashFloat(highs[i]!, 2);
    hashFloat(lows[i]!, 3);
    hashFloat(close[i]!, 4);
    hashFloat(volume[i]!, 5);
    hashFloat(vwap ? vwap[i]! : Number.NaN, 6);
    low ^= 7;
    hashWords(SEED_OF_4_BYTES, trades ? trades[i]! : -1, 0);
    sum.high += high;
    sum.low += low >>> 0;
  }
}

/** The sum as the whole number that PostgreSQL's sum of the hashes is. */
export function toBigInt({ high, low }: HashSum): bigint {
  return (BigInt(high) << 32n) + BigInt(low);
}

/** @param column its number: the hash of zero is its seed, and would not tell in which column it is */
function hashFloat(value: number, column: number): void {
  low ^= column;
  // Zero has two forms, which are equal.
  if (value === 0) return;
  // There is one NaN here, the same as PostgreSQL's.
  number[0] = Number.isNaN(value) ? Number.NaN : value;
  hashWords(SEED_OF_8_BYTES, words[0]!, words[1]!);
}

/** Hashes one or two words of 32 bits, with the hash so far as seed. */
function hashWords(start: number, first: number, second: number): void {
  let [a, b, c] = [start | 0, start | 0, start | 0];
  if (high !== 0 || low !== 0) {
    a = (a + high) | 0;
    b = (b + low) | 0;
    a = ((a - c) | 0) ^ rotate(c, 4);
    c = (c + b) | 0;
    b = ((b - a) | 0) ^ rotate(a, 6);
    a = (a + c) | 0;
    c = ((c - b) | 0) ^ rotate(b, 8);
    b = (b + a) | 0;
    a = ((a - c) | 0) ^ rotate(c, 16);
    c = (c + b) | 0;
    b = ((b - a) | 0) ^ rotate(a, 19);
    a = (a + c) | 0;
    c = ((c - b) | 0) ^ rotate(b, 4);
    b = (b + a) | 0;
  }
  a = (a + first) | 0;
  b = (b + second) | 0;
  c = ((c ^ b) - rotate(b, 14)) | 0;
  a = ((a ^ c) - rotate(c, 11)) | 0;
  b = ((b ^ a) - rotate(a, 25)) | 0;
  c = ((c ^ b) - rotate(b, 16)) | 0;
  a = ((a ^ c) - rotate(c, 4)) | 0;
  b = ((b ^ a) - rotate(a, 14)) | 0;
  c = ((c ^ b) - rotate(b, 24)) | 0;
  high = b;
  low = c;
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
