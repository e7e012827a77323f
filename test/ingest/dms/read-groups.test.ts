import { expect, test } from 'vitest';
import type { DmsGroup } from '../../../src/ingest/dms/open-export.ts';
import { planSteps } from '../../../src/ingest/dms/read-groups.ts';

const MB = 2 ** 20;

function groupOf(rows: number, sizes: readonly number[]): DmsGroup {
  const chunks = sizes.map((size, c) => {
    return { name: `c${c}`, type: 5, isOptional: false, start: 4, size, uncompressedSize: size, codec: 0 };
  });
  return { index: 0, firstRow: 0, rows, chunks };
}

test.each<[string, readonly number[], readonly (readonly number[])[]]>([
  ['small columns at once', [1, 2, 3], [[0, 1, 2]]],
  [
    'large ones in steps of 16 MB',
    [9 * MB, 7 * MB, MB, 15 * MB],
    [
      [0, 1],
      [2, 3],
    ],
  ],
  ['one that is larger by itself', [MB, 40 * MB, MB, MB], [[0], [1], [2, 3]]],
])('reads %s', (_what, sizes, expected) => {
  const group = groupOf(10, sizes);
  const steps = planSteps({ groups: [groupOf(0, sizes), group] });
  expect(steps.map(({ columns }) => columns)).toEqual(expected);
  expect(steps.every((step) => step.group === group)).toBe(true);
  expect(steps.map(({ isLast }) => isLast)).toEqual(expected.map((_, i) => i === expected.length - 1));
});
