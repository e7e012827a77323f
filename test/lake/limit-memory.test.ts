import { expect, test } from 'vitest';
import { limitMemory } from '../../src/lake/limit-memory.ts';

// https://webassembly.github.io/spec/core/binary/modules.html: a section is its id, its size and its content.
const head = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const types = [1, 0x80 + 72, 1, ...new Array(200).fill(0)];
const after = [6, 1, 0];
const moduleOf = (...sections: readonly number[][]) =>
  Uint8Array.from([...head, ...types, ...sections.flat(), ...after]);

test('limitMemory gives a module a maximum for its memory, in pages of 64 KiB, and leaves the rest as it is', () => {
  expect(limitMemory(moduleOf([5, 3, 1, 0, 34]), 2 * 65_536)).toEqual(moduleOf([5, 4, 1, 1, 34, 2]));
  expect(limitMemory(moduleOf([5, 4, 1, 0, 0x81, 1]), 2 ** 30)).toEqual(moduleOf([5, 7, 1, 1, 0x81, 1, 0x80, 0x80, 1]));
});

test.each([
  ['that has one', [5, 4, 1, 1, 34, 64]],
  ['with several memories', [5, 5, 2, 0, 1, 0, 1]],
  ['without memory', []],
])('a module %s is none it was made for', (_what, section) => {
  expect(() => limitMemory(moduleOf(section), 65_536)).toThrow(/one memory, without a maximum/);
});
