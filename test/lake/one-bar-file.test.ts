import fc from 'fast-check';
import { expect, test } from 'vitest';
import { allocateBars, type Bars } from '../../src/bars.ts';
import { decodeBars, encodeBars, RAW_PRICES } from '../../src/lake/bronze.ts';
import { encodeOneBar } from '../../src/lake/one-bar-file.ts';
import { sessionFrom } from '../../src/session.ts';
import { rowsOf } from '../support/lake-reader.ts';

const SESSION = sessionFrom('2025-11-19');
const METADATA = { writes: '0123456789abcdef', ...RAW_PRICES };

function barOf(values: readonly number[], trades: number, session = SESSION): Bars {
  const bar = allocateBars(1, { vwap: true, trades: true });
  bar.session[0] = session;
  for (const [i, name] of (['open', 'high', 'low', 'close', 'volume', 'vwap'] as const).entries()) {
    bar[name]![0] = values[i]!;
  }
  bar.trades![0] = trades;
  return bar;
}

const double = fc.oneof(
  fc.double({ noNaN: true }),
  fc.constantFrom(0, -0, 1, 1e9, 1e9 * Math.PI + Math.E, Number.POSITIVE_INFINITY),
);
const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const symbols = fc.string({ unit: fc.constantFrom(...letters, '.'), minLength: 1, maxLength: 12 });

test('property: it is to the byte what the encoder makes, whatever the bar', () => {
  fc.assert(
    fc.property(
      symbols,
      fc.array(double, { minLength: 6, maxLength: 6 }),
      fc.oneof(fc.nat(300), fc.nat(2 ** 31 - 1)),
      fc.integer({ min: SESSION - 6, max: SESSION }),
      (symbol, values, trades, session) => {
        const bar = barOf(values, trades, session);
        const made = encodeOneBar(symbol, bar, METADATA);
        const expected = encodeBars(symbol, bar, { metadata: METADATA });
        expect(made?.digest).toBe(expected.digest);
        expect(Buffer.from(made!.bytes).equals(expected.bytes)).toBe(true);
      },
    ),
    { seed: 5, numRuns: 1500 },
  );
});

test('is read like any other file, and a flipped byte of it is found', () => {
  const bar = barOf([1.5, 2, 1, 1.75, 1000.125, 1.6], 42);
  encodeOneBar('MSFT', bar, METADATA);
  const { bytes } = encodeOneBar('AAPL', bar, METADATA)!;
  expect(rowsOf(decodeBars(bytes, 'AAPL', 'it').bars)).toEqual(rowsOf(bar));
  for (let i = 0; i < bytes.length; i++) {
    const damaged = bytes.slice();
    damaged[i]! ^= 1;
    expect(() => decodeBars(damaged, 'AAPL', 'it')).toThrow(expect.objectContaining({ code: 'CorruptObject' }));
  }
});

test('leaves to the encoder what has another shape', () => {
  const bar = barOf([1, 1, 1, 1, 1, 1], 1);
  expect(encodeOneBar('ABCDEFGHIJKLM', bar, METADATA)).toBeUndefined();
  expect(encodeOneBar('A', barOf([1, 1, 1, 1, 1, Number.NaN], 1), METADATA)).toBeUndefined();
  expect(encodeOneBar('A', barOf([1, 1, 1, 1, 1, 1], -1), METADATA)).toBeUndefined();
  const { trades: _, ...without } = bar;
  expect(encodeOneBar('A', without, METADATA)).toBeUndefined();
});
