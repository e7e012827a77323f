import type { Footer } from './footer.ts';
import type { Struct } from './thrift.ts';
import { numberOf, optionalNumberOf, structsOf, textOf } from './thrift-fields.ts';

// What the columns of a Parquet file are that others wrote: https://github.com/apache/parquet-format (parquet.thrift names
// the ids, LogicalTypes.md says what they mean). Files of this library have schemas of its own, and need none of this.

/** Numbers in Parquet's Type. */
export const PHYSICAL = { int32: 1, int64: 2, int96: 3, float: 4, double: 5, bytes: 6, fixed: 7 } as const;
const PHYSICAL_NAMES = ['BOOLEAN', 'INT32', 'INT64', 'INT96', 'FLOAT', 'DOUBLE', 'BYTE_ARRAY', 'FIXED_LEN_BYTE_ARRAY'];

/** What the values of a column mean; `other` = nothing that bars are made of. */
export type Meaning =
  | { readonly kind: 'text' | 'float' | 'date' | 'other' }
  | { readonly kind: 'integer'; readonly isUnsigned: boolean }
  | { readonly kind: 'decimal'; readonly scale: number }
  | { readonly kind: 'timestamp'; readonly perSecond: number }
  /** Nanoseconds of the day, and the Julian day. */
  | { readonly kind: 'int96' };

/** A column of a file that others wrote. */
export interface ForeignColumn {
  readonly name: string;
  /** Number in Parquet's Type. */
  readonly physical: number;
  /** Bytes of a value, where all have as many. */
  readonly length: number | undefined;
  readonly meaning: Meaning;
  /** Its type, for people. */
  readonly type: string;
}

/** What an element of the schema adds to how values are stored. */
interface Annotation {
  readonly name: string;
  readonly meaning: Meaning;
  /** Physical types it goes with. */
  readonly of: readonly number[];
}

/** In the order of the union TimeUnit. */
const UNITS = [
  { name: 'MILLIS', perSecond: 1e3 },
  { name: 'MICROS', perSecond: 1e6 },
  { name: 'NANOS', perSecond: 1e9 },
] as const;
const SCHEMA = 2;
const ELEMENT = { type: 1, length: 2, name: 4, converted: 6, scale: 7, precision: 8, logical: 10 } as const;
const OTHER: Meaning = { kind: 'other' };
/** Of the annotations that bars have no use for, the usual ones by the numbers of LogicalType and ConvertedType. */
const OTHER_LOGICAL: Readonly<Record<number, string>> = { 7: 'TIME', 13: 'BSON', 14: 'UUID', 15: 'FLOAT16' };
const OTHER_CONVERTED: Readonly<Record<number, string>> = { 7: 'TIME', 8: 'TIME', 20: 'BSON', 21: 'INTERVAL' };
const { int32, int64, int96, float, double, bytes, fixed } = PHYSICAL;

const TEXT: Annotation = { name: 'STRING', meaning: { kind: 'text' }, of: [bytes] };
const DATE: Annotation = { name: 'DATE', meaning: { kind: 'date' }, of: [int32] };
const PLAIN: Readonly<Record<number, Meaning>> = {
  [int32]: { kind: 'integer', isUnsigned: false },
  [int64]: { kind: 'integer', isUnsigned: false },
  [int96]: { kind: 'int96' },
  [float]: { kind: 'float' },
  [double]: { kind: 'float' },
  [bytes]: { kind: 'text' },
};

/**
 * The columns of a file, in its order.
 *
 * @throws BatchLayerError `CorruptObject` where its schema is none
 */
export function foreignColumns(footer: Footer, place: string): readonly ForeignColumn[] {
  const [, ...elements] = structsOf(footer.struct, SCHEMA, place);
  return elements.map((element) => {
    const physical = numberOf(element, ELEMENT.type, place);
    const length = optionalNumberOf(element, ELEMENT.length);
    return { name: textOf(element, ELEMENT.name, place), physical, length, ...interpret(element, physical) };
  });
}

function interpret(element: Struct, physical: number): Pick<ForeignColumn, 'meaning' | 'type'> {
  const stored = PHYSICAL_NAMES[physical] ?? `type ${physical}`;
  const annotation = logicalType(element) ?? convertedType(element);
  if (annotation === undefined) return { meaning: PLAIN[physical] ?? OTHER, type: stored };
  const { name, meaning, of } = annotation;
  return of.includes(physical) ? { meaning, type: name } : { meaning: OTHER, type: `${name} as ${stored}` };
}

function logicalType(element: Struct): Annotation | undefined {
  const [id, details] = onlyField(element.get(ELEMENT.logical)?.value);
  switch (id) {
    // 11 annotates columns that have nulls only.
    case undefined:
    case 11:
      return undefined;
    case 1:
    case 4:
    case 12:
      return TEXT;
    case 5:
      return decimal(details, 1, 2);
    case 6:
      return DATE;
    case 8:
      return timestamp(UNITS[(onlyField(details.get(2)?.value)[0] ?? 0) - 1]);
    case 10:
      return integer(details.get(2)?.value === false);
    default:
      return other(OTHER_LOGICAL[id] ?? `logical type ${id}`);
  }
}

function convertedType(element: Struct): Annotation | undefined {
  const id = optionalNumberOf(element, ELEMENT.converted);
  if (id === undefined) return undefined;
  if (id === 0 || id === 4 || id === 19) return TEXT;
  if (id === 5) return decimal(element, ELEMENT.scale, ELEMENT.precision);
  if (id === 6) return DATE;
  if (id === 9 || id === 10) return timestamp(UNITS[id - 9]);
  if (id >= 11 && id <= 18) return integer(id <= 14);
  return other(OTHER_CONVERTED[id] ?? `converted type ${id}`);
}

function other(name: string): Annotation {
  return { name, meaning: OTHER, of: Object.values(PHYSICAL) };
}

function decimal(struct: Struct, scaleId: number, precisionId: number): Annotation {
  const [scale, precision] = [optionalNumberOf(struct, scaleId) ?? 0, optionalNumberOf(struct, precisionId)];
  const name = `DECIMAL(${precision}, ${scale})`;
  return { name, meaning: scale < 0 ? OTHER : { kind: 'decimal', scale }, of: [int32, int64, bytes, fixed] };
}

function timestamp(unit: (typeof UNITS)[number] | undefined): Annotation {
  if (unit === undefined) return other('TIMESTAMP of an unknown unit');
  return {
    name: `TIMESTAMP(${unit.name})`,
    meaning: { kind: 'timestamp', perSecond: unit.perSecond },
    of: [int64],
  };
}

function integer(isUnsigned: boolean): Annotation {
  return {
    name: isUnsigned ? 'unsigned INTEGER' : 'INTEGER',
    meaning: { kind: 'integer', isUnsigned },
    of: [int32, int64],
  };
}

/** A union: a struct that has one field. */
function onlyField(value: unknown): readonly [number | undefined, Struct] {
  const [field] = value instanceof Map ? (value as Struct) : [];
  return [field?.[0], field?.[1].value instanceof Map ? field[1].value : new Map()];
}
