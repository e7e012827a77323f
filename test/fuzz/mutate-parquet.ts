import { concatBytes } from '../../src/lake/columns.ts';
import { footerLength, splitFooter, TAIL_BYTES } from '../../src/lake/footer.ts';
import {
  type Field,
  type List,
  readStruct,
  type Struct,
  TYPE,
  type Value,
  writeStruct,
} from '../../src/lake/thrift.ts';
import { COLUMN, setInColumns } from '../support/forge-parquet.ts';
import { mutateBytes } from './mutate-bytes.ts';
import type { Random } from './random.ts';

type Mutation = (file: Uint8Array, random: Random, other: Uint8Array) => Uint8Array;

const NUMBERS = [
  0,
  1,
  -1,
  2,
  7,
  127,
  128,
  2 ** 16,
  2 ** 20,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32,
  2 ** 40,
  2 ** 52,
  -(2 ** 31),
];

/** A valid file damaged: in bytes, in what its footer or a page header says, or by parts of another valid file. */
export function mutateParquet(file: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  const mutated = random.pick(MUTATIONS)(file, random, other);
  return random.oneIn(8) ? mutateBytes(mutated, random) : mutated;
}

const changeFooterLength: Mutation = (file, random) => {
  const copy = file.slice();
  const view = new DataView(copy.buffer);
  const at = copy.length - TAIL_BYTES;
  const length = view.getUint32(at, true);
  view.setUint32(at, random.pick([length + 1, length - 1, length >> 1, length * 2, copy.length, ...NUMBERS]), true);
  return copy;
};

const changeFooter: Mutation = (file, random) => {
  const { data, footer } = split(file);
  for (let i = random.pick([1, 1, 1, 2, 5]); i > 0; i--) changeStruct(footer, random);
  return join(data, footer);
};

/** The page goes to the end of the file, changed, and the footer says so. */
const changePageHeader: Mutation = (file, random) => {
  const { data, footer } = split(file);
  const groups = splitFooter(file, 'file').rowGroups;
  const g = random.below(groups.length);
  const c = random.below(groups[g]!.columns.length);
  const chunk = groups[g]!.columns[c]!;
  const bytes = file.subarray(chunk.start, chunk.start + chunk.size);
  const headers = pageHeaders(bytes);
  const { at, length } = random.pick(headers);
  const header = readStruct(bytes.subarray(at), 'page');
  changeStruct(header, random);
  const changed = concatBytes([bytes.subarray(0, at), writeStruct(header), bytes.subarray(at + length)]);
  const by = data.length - chunk.start;
  const isAfter = (headers[1]?.at ?? 0) > at;
  const dataPage = isAfter ? by + changed.length - bytes.length : by;
  const group = (footer.get(4)!.value as List).items[g] as Map<number, Field>;
  const column = columnOf(group, c);
  const places = column.has(COLUMN.dictionaryPage)
    ? {
        [COLUMN.dictionaryPage]: (column.get(COLUMN.dictionaryPage)!.value as number) + by,
        [COLUMN.dataPage]: (column.get(COLUMN.dataPage)!.value as number) + dataPage,
      }
    : { [COLUMN.dataPage]: (column.get(COLUMN.dataPage)!.value as number) + by };
  setInColumns(group, { ...places, [COLUMN.size]: changed.length }, c);
  return join(concatBytes([data, changed]), footer);
};

const joinHeadAndTail: Mutation = (file, random, other) => {
  const at = random.below(file.length);
  const from = random.oneIn(2) ? Math.min(at, other.length) : random.below(other.length);
  return concatBytes([file.subarray(0, at), other.subarray(from)]);
};

const swapFooter: Mutation = (file, _random, other) => join(split(file).data, split(other).footer);

/** The chunk of one column from the other file, in its place or at the end, told by the footer or not. */
const swapChunk: Mutation = (file, random, other) => {
  const { data, footer } = split(file);
  const groups = splitFooter(file, 'file').rowGroups;
  const g = random.below(groups.length);
  const c = random.below(groups[g]!.columns.length);
  const chunk = groups[g]!.columns[c]!;
  const [theirs] = splitFooter(other, 'file').rowGroups;
  const t = Math.min(c, theirs!.columns.length - 1);
  const their = theirs!.columns[t]!;
  const bytes = other.subarray(their.start, their.start + their.size);
  if (random.oneIn(2)) {
    const copy = file.slice();
    copy.set(bytes.subarray(0, chunk.size), chunk.start);
    return copy;
  }
  const group = (footer.get(4)!.value as List).items[g] as Map<number, Field>;
  const moved = columnOf(theirs!.struct, t);
  const at = (id: number) => (moved.get(id)?.value as number) - their.start + data.length;
  const places = {
    ...(moved.has(COLUMN.dictionaryPage) ? { [COLUMN.dictionaryPage]: at(COLUMN.dictionaryPage) } : {}),
    [COLUMN.dataPage]: at(COLUMN.dataPage),
  };
  setInColumns(group, { ...places, [COLUMN.size]: their.size, [COLUMN.codec]: their.codec }, c);
  return join(concatBytes([data, bytes]), footer);
};

const MUTATIONS = [
  mutateBytes,
  mutateBytes,
  mutateBytes,
  mutateBytes,
  changeFooterLength,
  changeFooter,
  changeFooter,
  changePageHeader,
  changePageHeader,
  joinHeadAndTail,
  swapFooter,
  swapChunk,
];

/** A struct, changed in place: a number, a type, a field left out, items of a list repeated, swapped or left out. */
function changeStruct(struct: Struct, random: Random): void {
  const fields: [Map<number, Field>, number][] = [];
  const lists: Value[][] = [];
  const visit = (value: Value): void => {
    if (value instanceof Map) {
      for (const [id, field] of value as Map<number, Field>) {
        fields.push([value as Map<number, Field>, id]);
        visit(field.value);
      }
    } else if (typeof value === 'object' && 'items' in value) {
      lists.push(value.items as Value[]);
      for (const item of value.items) visit(item);
    }
  };
  visit(struct);
  if (lists.length > 0 && random.oneIn(6)) changeList(random.pick(lists), random);
  else changeField(...random.pick(fields), random);
}

function changeField(owner: Map<number, Field>, id: number, random: Random): void {
  const field = owner.get(id)!;
  if (random.oneIn(8)) owner.delete(id);
  else if (typeof field.value === 'number') owner.set(id, { ...field, value: changeNumber(field.value, random) });
  else if (field.value instanceof Uint8Array && field.value.length > 0) {
    owner.set(id, { ...field, value: mutateBytes(field.value, random) });
  } else owner.set(id, { type: TYPE.int32, value: random.pick(NUMBERS) });
}

function changeList(items: Value[], random: Random): void {
  if (items.length === 0) return;
  const i = random.below(items.length);
  const j = random.below(items.length);
  if (random.oneIn(3)) items.splice(i, 1);
  else if (random.oneIn(2)) items.splice(i, 0, items[j]!);
  else [items[i], items[j]] = [items[j]!, items[i]!];
}

function changeNumber(value: number, random: Random): number {
  return random.pick([value + 1, value - 1, value * 2, -value, Math.floor(value / 2), ...NUMBERS]);
}

function pageHeaders(chunk: Uint8Array): readonly { readonly at: number; readonly length: number }[] {
  const headers: { at: number; length: number }[] = [];
  for (let at = 0; at < chunk.length; ) {
    const header = readStruct(chunk.subarray(at), 'page');
    const { length } = writeStruct(header);
    headers.push({ at, length });
    at += length + (header.get(3)!.value as number);
  }
  return headers;
}

function columnOf(group: Struct, index: number): Struct {
  const chunk = (group.get(1)!.value as List).items[index] as Struct;
  return chunk.get(3)!.value as Struct;
}

function split(file: Uint8Array): { readonly data: Uint8Array; readonly footer: Map<number, Field> } {
  const from = file.length - TAIL_BYTES - footerLength(file.subarray(-TAIL_BYTES), file.length, 'file');
  return {
    data: file.subarray(0, from),
    footer: readStruct(file.slice(from, -TAIL_BYTES), 'file') as Map<number, Field>,
  };
}

function join(data: Uint8Array, footer: Struct): Uint8Array {
  const bytes = writeStruct(footer);
  const tail = new Uint8Array(TAIL_BYTES);
  new DataView(tail.buffer).setUint32(0, bytes.length, true);
  tail.set(new TextEncoder().encode('PAR1'), 4);
  return concatBytes([data, bytes, tail]);
}
