import { BatchLayerError } from '../errors.ts';
import { type Field, type List, type Struct, TYPE, type Value } from './thrift.ts';

// Fields of Thrift structs by id: read with the type that is expected, or CorruptObject; and made.

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function optionalNumberOf(struct: Struct, id: number): number | undefined {
  const value = struct.get(id)?.value;
  return typeof value === 'number' ? value : undefined;
}

export function numberOf(struct: Struct, id: number, place: string): number {
  return optionalNumberOf(struct, id) ?? missing(id, place);
}

export function bytesOf(struct: Struct, id: number, place: string): Uint8Array {
  const value = struct.get(id)?.value;
  return value instanceof Uint8Array ? value : missing(id, place);
}

export function textOf(struct: Struct, id: number, place: string): string {
  return decodeText(bytesOf(struct, id, place), place);
}

export function structOf(struct: Struct, id: number, place: string): Struct {
  const value = struct.get(id)?.value;
  return isStruct(value) ? value : missing(id, place);
}

export function listOf(struct: Struct, id: number, place: string): List {
  const value = struct.get(id)?.value;
  return typeof value === 'object' && 'items' in value ? value : missing(id, place);
}

export function structsOf(struct: Struct, id: number, place: string): readonly Struct[] {
  const { items } = listOf(struct, id, place);
  return items.every(isStruct) ? items : missing(id, place);
}

export function decodeText(bytes: Uint8Array, place: string): string {
  try {
    return decoder.decode(bytes);
  } catch (error) {
    throw new BatchLayerError('CorruptObject', `${place}: text in its metadata is no UTF-8`, { cause: error });
  }
}

export function int32(value: number): Field {
  return { type: TYPE.int32, value };
}

export function int64(value: number): Field {
  return { type: TYPE.int64, value };
}

export function text(value: string): Field {
  return { type: TYPE.binary, value: encoder.encode(value) };
}

export function structField(value: Struct): Field {
  return { type: TYPE.struct, value };
}

export function structList(items: readonly Struct[]): Field {
  return { type: TYPE.list, value: { elementType: TYPE.struct, items } };
}

/** A struct of the fields that are not left out. */
export function structFrom(fields: Readonly<Record<number, Field | undefined>>): Struct {
  const struct = new Map<number, Field>();
  for (const id of Object.keys(fields)) {
    const field = fields[Number(id)];
    if (field) struct.set(Number(id), field);
  }
  return struct;
}

function isStruct(value: Value | undefined): value is Struct {
  return value instanceof Map;
}

function missing(id: number, place: string): never {
  throw new BatchLayerError('CorruptObject', `${place}: field ${id} is missing or of another type`);
}
