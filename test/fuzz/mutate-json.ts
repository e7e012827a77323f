import { concatBytes } from '../../src/lake/columns.ts';
import { mutateBytes } from './mutate-bytes.ts';
import type { Random } from './random.ts';

type Mutation = (text: string, random: Random) => string | Uint8Array;

/** A JSON document damaged: in bytes, in its values, or in what parsers are known to take wrongly. */
export function mutateJson(text: string, random: Random): Uint8Array {
  const mutated = random.pick(MUTATIONS)(text, random);
  const bytes = typeof mutated === 'string' ? new TextEncoder().encode(mutated) : mutated;
  return random.oneIn(8) ? mutateBytes(bytes, random) : bytes;
}

const bytes: Mutation = (text, random) => mutateBytes(new TextEncoder().encode(text), random);

const values: Mutation = (text, random) => {
  const root = { root: JSON.parse(text) as unknown };
  for (let i = random.pick([1, 1, 2, 4]); i > 0; i--) changeValue(root, random);
  return JSON.stringify(root.root) ?? '';
};

/** Entries that JavaScript objects have by themselves, that are there twice, or that nothing asks for. */
const entries: Mutation = (text, random) => {
  const key = random.pick([
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'hasOwnProperty',
    'x',
    '',
    ...keysOf(text),
  ]);
  const name = random.oneIn(4) ? `"${key.replace('_', '\\u005f')}"` : JSON.stringify(key);
  const entry = `${name}:${random.pick(RAW_VALUES)}`;
  return insertAfter(text, '{', text.includes('{}') ? entry : `${entry},`, random);
};

const RAW_VALUES = [
  '{"polluted":1}',
  '{"__proto__":{"polluted":1}}',
  'null',
  'true',
  '-0',
  '1e999',
  '-1',
  '0.5',
  '9007199254740993',
  '""',
  '"\\ud800"',
  '"\\udc00x"',
  '[]',
  '{}',
  'NaN',
  '{"length":1e9}',
];

const tokens: Mutation = (text, random) => {
  const places = [...text.matchAll(/"(?:[^"\\]|\\.)*"|-?\d+|null/g)];
  const { 0: token, index } = random.pick(places);
  const quoted = token.startsWith('"') ? [token.replace(/^"/, '"\\ud83d'), token.replace(/"$/, '\\u0000"')] : [];
  return text.slice(0, index) + random.pick([...RAW_VALUES, ...quoted, '']) + text.slice(index + token.length);
};

const nesting: Mutation = (text, random) => {
  const depth = random.pick([10, 1000, 20_000]);
  const [open, close] = random.pick([
    ['[', ']'],
    ['{"x":', '}'],
    ['{"files":', '}'],
  ] as const);
  const deep = `${open.repeat(depth)}1${random.oneIn(2) ? close.repeat(depth) : ''}`;
  return random.oneIn(4) ? deep : text.replace(/\d+|\[\]|null/, deep);
};

const INVALID_UTF8 = [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xe2, 0x82]].map(
  (sequence) => Uint8Array.from(sequence),
);

const encoding: Mutation = (text, random) => {
  const whole = new TextEncoder().encode(text);
  const at = random.below(whole.length + 1);
  if (random.oneIn(4)) return concatBytes([Uint8Array.of(0xef, 0xbb, 0xbf), whole]);
  if (random.oneIn(8)) return new Uint8Array(new Uint16Array(whole).buffer);
  return concatBytes([whole.subarray(0, at), random.pick(INVALID_UTF8), whole.subarray(at)]);
};

const padding: Mutation = (text, random) => (random.oneIn(50) ? `${text}${' '.repeat(3 * 2 ** 20)}` : `${text}\n \t`);

const MUTATIONS = [bytes, bytes, bytes, values, values, values, entries, tokens, tokens, nesting, encoding, padding];

function keysOf(text: string): readonly string[] {
  return [...text.matchAll(/"(\w+)":/g)].map(([, key]) => key!);
}

function insertAfter(text: string, mark: string, inserted: string, random: Random): string {
  const places = [...text.matchAll(new RegExp(`\\${mark}`, 'g'))].map(({ index }) => index + mark.length);
  if (places.length === 0) return inserted;
  const at = random.pick(places);
  return text.slice(0, at) + inserted + text.slice(at);
}

const VALUES = [
  null,
  true,
  false,
  0,
  1,
  -1,
  0.5,
  2 ** 53,
  1e300,
  '',
  '0',
  'x'.repeat(201),
  'é',
  '\u0000',
  [],
  {},
  [[]],
];

function changeValue(root: object, random: Random): void {
  const sites: [Record<string, unknown>, string][] = [];
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const key of Object.keys(value)) {
      sites.push([value as Record<string, unknown>, key]);
      visit((value as Record<string, unknown>)[key]);
    }
  };
  visit(root);
  if (sites.length === 0) return;
  const [owner, key] = random.pick(sites);
  const [source, from] = random.pick(sites);
  const value = owner[key];
  switch (random.below(6)) {
    case 0:
      delete owner[key];
      break;
    case 1:
      owner[key] = structuredClone(source[from]);
      break;
    case 2:
      delete owner[key];
      if (Array.isArray(owner)) owner.push(value);
      else owner[random.pick(['202513', '20251', 'x', ...Object.keys(source)])] = value;
      break;
    case 3:
      owner[key] = random.pick(VALUES);
      break;
    default:
      owner[key] = changeScalar(value, random);
  }
}

function changeScalar(value: unknown, random: Random): unknown {
  if (typeof value === 'number') return value + random.pick([1, -1, 0.25, value]);
  if (typeof value !== 'string' || value === '') return random.pick(VALUES);
  return Buffer.from(mutateBytes(Buffer.from(value), random)).toString(random.pick(['latin1', 'utf8']));
}
