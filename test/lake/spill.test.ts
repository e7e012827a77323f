import fc from 'fast-check';
import { expect, test } from 'vitest';
import { openSpill } from '../../src/lake/spill.ts';

test("a spill gives back every partition's rows in order, bit for bit, wherever it was flushed", async () => {
  const row = fc.record({
    partition: fc.nat(5),
    bits: fc.tuple(fc.bigInt(0n, 2n ** 64n - 1n), fc.bigInt(0n, 2n ** 64n - 1n)),
    flush: fc.nat(9),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(row, { maxLength: 200 }), async (rows) => {
      const spill = openSpill({ words: 2, maxBytes: 1024 });
      const expected = new Map<number, bigint[]>();
      for (const { partition, bits, flush } of rows) {
        spill.append(partition, new Float64Array(BigUint64Array.from(bits).buffer));
        expected.set(partition, [...(expected.get(partition) ?? []), ...bits]);
        if (flush === 0 || spill.isFull()) await spill.flush();
      }
      expect(spill.partitions()).toEqual([...expected.keys()].sort((a, b) => a - b));
      for (const [partition, bits] of expected) {
        expect([...new BigUint64Array((await spill.read(partition)).buffer)]).toEqual(bits);
      }
      expect(await spill.read(99)).toEqual(new Float64Array());
      await spill.close();
    }),
    { numRuns: 100 },
  );
});
