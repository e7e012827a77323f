import fc from 'fast-check';
import { expect, test } from 'vitest';
import { exactSum } from '../../../src/ingest/dms/exact-sum.ts';

/** Doubles from here on, and so their sums, are whole multiples of 2^-160. */
const SMALLEST = 2 ** -100;
const SCALE = 160;

const values = fc.array(
  fc
    .tuple(fc.double({ min: -1, max: 1, noNaN: true }), fc.integer({ min: -40, max: 60 }))
    .map(([value, exponent]) => value * 2 ** exponent)
    .map((value) => (Math.abs(value) < SMALLEST ? 0 : value)),
  { maxLength: 60 },
);

/** A double × 2^160. */
function scaled(value: number): bigint {
  const [bits] = new BigUint64Array(Float64Array.of(Math.abs(value)).buffer);
  if (bits === undefined || bits === 0n) return 0n;
  const mantissa = (bits & (2n ** 52n - 1n)) | (2n ** 52n);
  const shift = (bits >> 52n) - 1075n + BigInt(SCALE);
  return (value < 0 ? -1n : 1n) * (mantissa << shift);
}

test('a sum is the double next to what whole numbers come to, in any order and grouping', () => {
  fc.assert(
    fc.property(values, fc.nat(60), (given, cut) => {
      const exact = Number(given.reduce((sum, value) => sum + scaled(value), 0n)) / 2 ** SCALE;
      const [forth, back, parts] = [exactSum(), exactSum(), [exactSum(), exactSum()] as const];
      given.forEach(forth.add);
      given.toReversed().forEach(back.add);
      given.slice(0, cut).forEach(parts[0].add);
      given.slice(cut).forEach(parts[1].add);
      parts[0].addSum(parts[1]);
      for (const sum of [forth, back, parts[0]]) expect(sum.value()).toBe(exact);
    }),
    { numRuns: 500, seed: 4 },
  );
});

test('a half that something small decides is rounded to its side', () => {
  const sum = exactSum();
  for (const value of [1, 2 ** -53, 2 ** -106]) sum.add(value);
  expect(sum.value()).toBe(1 + 2 ** -52);
  sum.add(-(2 ** -105));
  expect(sum.value()).toBe(1);
});

test('nothing comes to 0', () => {
  expect(exactSum().value()).toBe(0);
});
