import type { Data } from 'apache-arrow';
import { type ForeignColumn, PHYSICAL } from '../../lake/foreign-columns.ts';
import { numberFrom } from '../row-values.ts';

// Values as files of others store them, row by row. Readers are made once a column and look at the decoder's memory.

const JULIAN_1970 = 2_440_588;
const DAY_SECONDS = 86_400;
const HIGH = 2 ** 32;
const EXACT = 2 ** 53;
/** Longer than any symbol, time or number is. */
const MAX_TEXT_BYTES = 1024;
/** Powers of ten up to this one are exact as doubles, so that a division by one rounds once. */
const MAX_EXACT_SCALE = 22;

/** Whether a row has a value. */
export function presence({ nullCount, nullBitmap }: Data): (i: number) => boolean {
  if (nullCount === 0 || !nullBitmap) return () => true;
  return (i) => ((nullBitmap[i >> 3]! >> (i & 7)) & 1) === 1;
}

/** Texts, without spaces around them; of a long one the beginning, and a sign that it is not all. */
export function textReader(data: Data): (i: number) => string {
  const offsets = data.valueOffsets as Int32Array;
  const bytes = bufferOf(data);
  return (i) => {
    const [from, to] = [offsets[i]!, offsets[i + 1]!];
    if (to - from <= MAX_TEXT_BYTES) return bytes.toString('utf8', from, to).trim();
    return `${bytes.toString('utf8', from, from + MAX_TEXT_BYTES)}…`;
  };
}

/**
 * Numbers; NaN where the row says there is none, infinite where it says something that is no number.
 *
 * A decimal is the double next to it, a float the double that is the same number.
 */
export function numberReader(data: Data, { physical, length, meaning }: ForeignColumn): (i: number) => number {
  switch (meaning.kind) {
    case 'text': {
      const textOf = textReader(data);
      return (i) => numberFrom(textOf(i));
    }
    case 'float': {
      const values = data.values as Float32Array | Float64Array;
      return (i) => values[i]!;
    }
    case 'integer':
      return wholeReader(data, physical, meaning.isUnsigned);
    case 'decimal':
      return decimalReader(data, { physical, length: length ?? 0, scale: meaning.scale });
    default:
      throw new Error(`${meaning.kind} is no kind of number`);
  }
}

/** Seconds since 1970-01-01 UTC, of columns that are no text. */
export function secondsReader(data: Data, { meaning }: ForeignColumn): (i: number) => number {
  switch (meaning.kind) {
    case 'date': {
      const days = data.values as Int32Array;
      return (i) => days[i]! * DAY_SECONDS;
    }
    case 'timestamp': {
      const words = wordsOf(data);
      const { perSecond } = meaning;
      return (i) => divide(words[2 * i + 1]!, words[2 * i]!, perSecond);
    }
    case 'int96': {
      const words = wordsOf(data);
      return (i) => {
        const ofDay = divide(words[3 * i + 1]!, words[3 * i]!, 1e9);
        return (words[3 * i + 2]! - JULIAN_1970) * DAY_SECONDS + ofDay;
      };
    }
    default:
      throw new Error(`${meaning.kind} is no kind of time`);
  }
}

function bufferOf({ values }: Data): Buffer {
  const { buffer, byteOffset, byteLength } = values as Uint8Array;
  return Buffer.from(buffer, byteOffset, byteLength);
}

/** Little-endian 32-bit words. */
function wordsOf({ values }: Data): Int32Array {
  const { buffer, byteOffset, byteLength } = values as Uint8Array;
  return new Int32Array(buffer, byteOffset, byteLength / 4);
}

function wholeReader(data: Data, physical: number, isUnsigned: boolean): (i: number) => number {
  const words = wordsOf(data);
  if (physical === PHYSICAL.int32) return isUnsigned ? (i) => words[i]! >>> 0 : (i) => words[i]!;
  return (i) => {
    const high = words[2 * i + 1]!;
    return (isUnsigned ? high >>> 0 : high) * HIGH + (words[2 * i]! >>> 0);
  };
}

/** A 64-bit whole number divided, rounded down: nanoseconds since 1970 are more than a double counts. */
function divide(high: number, low: number, divisor: number): number {
  // A thousand at a time, of which 2^32 = 4,294,967 × 1,000 + 296.
  const thousands = high * 4_294_967 + Math.floor((high * 296 + (low >>> 0)) / 1000);
  return Math.floor(thousands / (divisor / 1000));
}

function decimalReader(
  data: Data,
  { physical, length, scale }: { readonly physical: number; readonly length: number; readonly scale: number },
): (i: number) => number {
  const power = scale <= MAX_EXACT_SCALE ? 10 ** scale : Number.NaN;
  const shift = (unscaled: number): number => (Math.abs(unscaled) < EXACT ? unscaled / power : Number.NaN);
  const shiftDigits = (unscaled: bigint): number => Number(`${unscaled}e-${scale}`);
  const orDigits = (shifted: number, digits: (i: number) => bigint, i: number): number =>
    Number.isNaN(shifted) ? shiftDigits(digits(i)) : shifted;
  if (physical === PHYSICAL.int32 || physical === PHYSICAL.int64) {
    const values = data.values as Int32Array | BigInt64Array;
    const [whole, digits] = [wholeReader(data, physical, false), (i: number) => BigInt(values[i]!)];
    return (i) => orDigits(shift(whole(i)), digits, i);
  }
  const bytes = bufferOf(data);
  const offsets = physical === PHYSICAL.bytes ? (data.valueOffsets as Int32Array) : undefined;
  const start = (i: number): number => (offsets ? offsets[i]! : i * length);
  const digits = (i: number): bigint => exactBigEndian(bytes, start(i), start(i + 1));
  return (i) => {
    const [from, to] = [start(i), start(i + 1)];
    return from === to ? Number.POSITIVE_INFINITY : orDigits(shift(bigEndian(bytes, from, to)), digits, i);
  };
}

/** Two's complement, the first byte the highest; rounded where it is more than a double can be. */
function bigEndian(bytes: Uint8Array, from: number, to: number): number {
  let value = (bytes[from]! << 24) >> 24;
  for (let at = from + 1; at < to; at++) value = value * 256 + bytes[at]!;
  return value;
}

function exactBigEndian(bytes: Uint8Array, from: number, to: number): bigint {
  return BigInt.asIntN(8 * (to - from), BigInt(`0x${Buffer.from(bytes.subarray(from, to)).toString('hex')}`));
}
