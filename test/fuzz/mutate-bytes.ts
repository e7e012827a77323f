import { concatBytes } from '../../src/lake/columns.ts';
import type { Random } from './random.ts';

type Mutation = (bytes: Uint8Array, random: Random) => Uint8Array;

const flipBits: Mutation = (bytes, random) => {
  const copy = bytes.slice();
  for (let i = 1 + random.below(4); i > 0; i--) copy[random.below(copy.length)]! ^= 1 << random.below(8);
  return copy;
};

const overwrite: Mutation = (bytes, random) => {
  const copy = bytes.slice();
  const from = random.below(copy.length);
  const length = Math.min(1 + random.below(64), copy.length - from);
  if (random.oneIn(2)) copy.set(random.bytes(length), from);
  else copy.fill(random.pick([0, 1, 0x7f, 0x80, 0xff]), from, from + length);
  return copy;
};

const truncate: Mutation = (bytes, random) => {
  const at = random.oneIn(2) ? random.below(bytes.length) : bytes.length - 1 - random.below(Math.min(64, bytes.length));
  return random.oneIn(4) ? bytes.slice(bytes.length - at) : bytes.slice(0, at);
};

const insert: Mutation = (bytes, random) => {
  const at = random.below(bytes.length + 1);
  return concatBytes([bytes.subarray(0, at), random.bytes(1 + random.below(32)), bytes.subarray(at)]);
};

function slice(bytes: Uint8Array, random: Random): readonly [number, number] {
  const from = random.below(bytes.length);
  return [from, Math.min(bytes.length, from + 1 + random.below(256))];
}

const duplicate: Mutation = (bytes, random) => {
  const [from, to] = slice(bytes, random);
  const at = random.oneIn(2) ? to : random.below(bytes.length);
  return concatBytes([bytes.subarray(0, at), bytes.subarray(from, to), bytes.subarray(at)]);
};

const move: Mutation = (bytes, random) => {
  const [from, to] = slice(bytes, random);
  const rest = concatBytes([bytes.subarray(0, from), bytes.subarray(to)]);
  const at = random.below(rest.length + 1);
  return concatBytes([rest.subarray(0, at), bytes.subarray(from, to), rest.subarray(at)]);
};

const copyOver: Mutation = (bytes, random) => {
  const [from, to] = slice(bytes, random);
  const copy = bytes.slice();
  copy.set(bytes.subarray(from, to), random.below(bytes.length - (to - from) + 1));
  return copy;
};

const MUTATIONS = [flipBits, flipBits, overwrite, truncate, insert, duplicate, move, copyOver];

/** Bytes flipped, overwritten, cut off, put in, repeated or moved; once, or a few times. */
export function mutateBytes(bytes: Uint8Array, random: Random): Uint8Array {
  let mutated = bytes;
  do {
    if (mutated.length === 0) return mutated;
    mutated = random.pick(MUTATIONS)(mutated, random);
  } while (random.oneIn(4));
  return mutated;
}
