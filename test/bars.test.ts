import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Bars, checkHistory, mergeBars, sliceBars } from '../src/bars.ts';
import { arbitraryBars } from './support/arbitrary-bars.ts';
import { rowsOf } from './support/lake-reader.ts';

const history = arbitraryBars({ maxLength: 20 }).map(
  (bars): Bars => ({ ...bars, session: bars.session.map((_, i) => i * 2 + (bars.session[0]! % 5)) }),
);

describe('mergeBars', () => {
  test('is the union by session, the newer bar winning', () => {
    fc.assert(
      fc.property(history, history, (older, newer) => {
        const merged = mergeBars(older, newer);
        const expected = new Map([...rowsOf(older), ...rowsOf(newer)].map((row) => [row[0], row]));
        expect(rowsOf(merged)).toEqual([...expected.values()].sort((a, b) => (a[0]! < b[0]! ? -1 : 1)));
        checkHistory(merged, 'merged');
      }),
      { numRuns: 300 },
    );
  });

  test('is associative, so the order of consolidations makes no difference', () => {
    fc.assert(
      fc.property(history, history, history, (a, b, c) => {
        expect(rowsOf(mergeBars(mergeBars(a, b), c))).toEqual(rowsOf(mergeBars(a, mergeBars(b, c))));
      }),
    );
  });
});

test('checkHistory names the first session out of order', () => {
  const [bars] = fc.sample(arbitraryBars({ minLength: 3, maxLength: 3 }), 1);
  expect(() => checkHistory({ ...bars!, session: Int32Array.of(0, 1, 1) }, 'here')).toThrow(
    'here: row 2 has session 1970-01-02 after 1970-01-02',
  );
  checkHistory(sliceBars(bars!, 1, 3), 'there');
});
