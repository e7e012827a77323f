import { writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readCsv } from '../../../src/ingest/csv/read-csv.ts';
import { temporaryFolder } from '../../support/temporary.ts';

async function read(text: string) {
  const path = `${await temporaryFolder()}/lines.csv`;
  await writeFile(path, text);
  return (await Array.fromAsync(readCsv(path))).flat();
}

describe('readCsv', () => {
  test('gives every line that is not empty, with its number, over chunks of 1 MB', async () => {
    const lines = Array.from({ length: 60_000 }, (_, i) => (i % 7 === 3 ? '' : `${'é'.repeat(i % 30)},${i},x`));
    const found = await read(lines.join('\n'));
    expect(found.map(({ line, fields }) => [line, fields[1]])).toEqual(
      lines.flatMap((text, i) => (text === '' ? [] : [[i + 1, String(i)]])),
    );
  });

  test('quoted fields hold commas and quotes; a stray quote costs its own line only', async () => {
    const found = await read('a,"b, ""c""",d\n"open,1\nx"y,2\n3,4\n');
    expect(found).toEqual(
      [
        { line: 1, fields: ['a', 'b, "c"', 'd'] },
        { line: 2, fields: [], problem: expect.stringContaining('quote') },
        { line: 3, fields: expect.anything() },
        { line: 4, fields: ['3', '4'] },
      ].map((line) => (line.line === 3 ? expect.objectContaining({ line: 3 }) : line)),
    );
  });

  test('a carriage return inside a line ends no record: nothing is dropped without a word', async () => {
    const found = await read('"A",1\rB,2\r"C",3\n"D",4\r\n');
    expect(found.map(({ line }) => line)).toEqual([1, 2]);
    expect(found[0]!.problem ?? found[0]!.fields.length).not.toBe(2);
    expect(found[1]!.fields).toEqual(['D', '4']);
  });

  test('a line that is too long is one bad line, wherever it stands, and the others are read', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 65_000, max: 3_000_000 }), fc.boolean(), async (length, isLast) => {
        const text = `a,1\n${'x'.repeat(length)}${isLast ? '' : '\nb,2\n'}`;
        const found = await read(text);
        expect(found.map(({ line, problem }) => [line, problem !== undefined])).toEqual([
          [1, false],
          [2, length > 65_536],
          ...(isLast ? [] : [[3, false]]),
        ]);
      }),
      {
        numRuns: 15,
        examples: [
          [65_536, true],
          [65_537, true],
          [65_537, false],
          [2_500_000, true],
        ],
      },
    );
  });
});
