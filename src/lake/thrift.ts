import { BatchLayerError } from '../errors.ts';

// The Thrift compact protocol, which Parquet footers are written in, read into plain trees and back without loss. Types
// are kept as read, so that fields this library does not know survive a rewrite.

/** Wire types of the compact protocol. */
export const TYPE = {
  true: 1,
  false: 2,
  int8: 3,
  int16: 4,
  int32: 5,
  int64: 6,
  double: 7,
  binary: 8,
  list: 9,
  set: 10,
  map: 11,
  struct: 12,
} as const;

export type Struct = ReadonlyMap<number, Field>;
export interface Field {
  readonly type: number;
  readonly value: Value;
}
export interface List {
  readonly elementType: number;
  readonly items: readonly Value[];
}
/** Whole numbers up to 2^52, doubles as their 8 bytes, strings as bytes. */
export type Value = boolean | number | Uint8Array | List | Struct;

const MAX_DEPTH = 16;
/** Footers of 250 million bars have as many; a struct is a byte in a file and 200 in memory. */
const MAX_VALUES = 2 ** 20;
const MAX_INTEGER = 2 ** 52;

/**
 * Reads one struct.
 *
 * @throws BatchLayerError `CorruptObject` for anything that is no complete, sane struct; `place` names the object
 */
export function readStruct(bytes: Uint8Array, place: string): Struct {
  return readStructAt(bytes, 0, place).struct;
}

/** Reads the struct that begins at byte `start`; `end` is one past its last byte. */
export function readStructAt(
  bytes: Uint8Array,
  start: number,
  place: string,
): { readonly struct: Struct; readonly end: number } {
  let [at, values] = [start, 0];
  const fail = (what: string): never => {
    throw new BatchLayerError('CorruptObject', `${place}: metadata is damaged at byte ${at}: ${what}`);
  };
  const byte = (): number => (at < bytes.length ? bytes[at++]! : fail('ends too early'));
  const varint = (): number => {
    let [result, scale] = [0, 1];
    for (let i = 0; i < 8; i++) {
      const next = byte();
      result += (next & 127) * scale;
      if (next < 128) return result <= 2 * MAX_INTEGER ? result : fail('number too large');
      scale *= 128;
    }
    return fail('number too long');
  };
  const integer = (): number => {
    const zigzag = varint();
    return zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
  };
  const take = (length: number): Uint8Array => {
    if (length > bytes.length - at) fail(`${length} bytes asked for, ${bytes.length - at} left`);
    at += length;
    return bytes.subarray(at - length, at);
  };
  const list = (depth: number): List => {
    const head = byte();
    const elementType = head & 15;
    const length = head >> 4 === 15 ? varint() : head >> 4;
    // Every element takes a byte at least: a longer list cannot be true, and is not allocated for.
    if (length > bytes.length - at) fail(`list of ${length}, ${bytes.length - at} bytes left`);
    return { elementType, items: Array.from({ length }, () => value(elementType, depth, true)) };
  };
  const value = (type: number, depth: number, inList = false): Value => {
    if (depth > MAX_DEPTH) fail('nested too deeply');
    if (++values > MAX_VALUES) fail(`more than ${MAX_VALUES} values`);
    switch (type) {
      case TYPE.true:
      case TYPE.false:
        return inList ? byte() === TYPE.true : type === TYPE.true;
      case TYPE.int8:
        return byte();
      case TYPE.int16:
      case TYPE.int32:
      case TYPE.int64:
        return integer();
      case TYPE.double:
        return take(8);
      case TYPE.binary:
        return take(varint());
      case TYPE.list:
      case TYPE.set:
        return list(depth + 1);
      case TYPE.struct:
        return struct(depth + 1);
      default:
        return fail(`unknown type ${type}`);
    }
  };
  const struct = (depth: number): Struct => {
    const fields = new Map<number, Field>();
    for (let id = 0; ; ) {
      const head = byte();
      if (head === 0) return fields;
      id = head >> 4 === 0 ? integer() : id + (head >> 4);
      fields.set(id, { type: head & 15, value: value(head & 15, depth) });
    }
  };
  return { struct: struct(0), end: at };
}

/** The bytes of one struct, fields in ascending order of id. */
export function writeStruct(struct: Struct): Uint8Array {
  let bytes = new Uint8Array(64);
  let at = 0;
  const room = (length: number): void => {
    if (at + length <= bytes.length) return;
    const grown = new Uint8Array(Math.max(bytes.length * 2, at + length));
    grown.set(bytes);
    bytes = grown;
  };
  const byte = (value: number): void => {
    room(1);
    bytes[at++] = value;
  };
  const varint = (value: number): void => {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) byte((rest % 128) | 128);
    byte(rest);
  };
  const integer = (value: number): void => varint(value >= 0 ? value * 2 : -value * 2 - 1);
  const binary = (value: Uint8Array): void => {
    room(value.length);
    bytes.set(value, at);
    at += value.length;
  };
  const write = (type: number, value: Value): void => {
    if (type === TYPE.int8) byte(value as number);
    else if (typeof value === 'number') integer(value);
    else if (value instanceof Uint8Array) {
      if (type === TYPE.binary) varint(value.length);
      binary(value);
    } else if (value instanceof Map) writeFields(value);
    else if (typeof value === 'object') writeList(value as List);
  };
  const writeList = ({ elementType, items }: List): void => {
    byte((Math.min(items.length, 15) << 4) | elementType);
    if (items.length >= 15) varint(items.length);
    for (const item of items) {
      if (typeof item === 'boolean') byte(item ? TYPE.true : TYPE.false);
      else write(elementType, item);
    }
  };
  const writeFields = (fields: Struct): void => {
    let last = 0;
    for (const id of [...fields.keys()].sort((a, b) => a - b)) {
      const { type, value } = fields.get(id)!;
      if (id > last && id - last <= 15) byte(((id - last) << 4) | type);
      else {
        byte(type);
        integer(id);
      }
      write(type, value);
      last = id;
    }
    byte(0);
  };
  writeFields(struct);
  return bytes.slice(0, at);
}
