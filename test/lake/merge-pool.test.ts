import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { sliceBars } from '../../src/bars.ts';
import { encodeBars } from '../../src/lake/bronze.ts';
import { encodeConsolidated } from '../../src/lake/consolidated.ts';
import { openMergePool } from '../../src/lake/merge-pool.ts';
import { type MergeInput, mergeSymbol } from '../../src/lake/merge-symbol.ts';
import { arbitraryBars } from '../support/arbitrary-bars.ts';

function inputOf(i: number): MergeInput {
  const [bars] = fc.sample(arbitraryBars({ minLength: 3, maxLength: 9 }), { numRuns: 1, seed: i });
  const last = bars!.session.length - 1;
  const session = bars!.session[last]!;
  const history = { bars: sliceBars(bars!, 0, last), applied: new Map(), generation: 0 };
  return {
    symbol: 'A',
    data: encodeConsolidated('A', history).bytes,
    daily: [{ key: 'daily', session, etag: '1', body: encodeBars('A', sliceBars(bars!, last, last + 1)).bytes }],
    listed: [session],
    today: session,
  };
}

describe('openMergePool', () => {
  test('comes to what mergeSymbol comes to, few merges or many, and leaves its input as it is', async () => {
    const pool = openMergePool();
    onTestFinished(pool.close);
    const inputs = Array.from({ length: 300 }, (_, i) => inputOf(i));
    const merged = await Promise.all(inputs.map(pool.merge));
    expect(merged).toEqual(inputs.map(mergeSymbol));
    // Threads are there by now.
    for (const input of inputs.slice(0, 10)) expect(await pool.merge(input)).toEqual(mergeSymbol(input));
  });

  test('says of a damaged file what it is, from whatever thread', async () => {
    const pool = openMergePool();
    onTestFinished(pool.close);
    await Promise.all(Array.from({ length: 250 }, (_, i) => pool.merge(inputOf(i))));
    const damaged = { ...inputOf(1), data: new TextEncoder().encode('PAR1 no more') };
    for (let i = 0; i < 5; i++) {
      await expect(pool.merge(damaged)).rejects.toMatchObject({
        code: 'CorruptObject',
        message: expect.stringContaining('symbol=A/data.parquet'),
      });
    }
  });

  test('refuses a daily file of another session or symbol', () => {
    const [input, other] = [inputOf(1), inputOf(2)];
    const wrong = { ...input, daily: [{ ...input.daily[0]!, body: other.daily[0]!.body }] };
    expect(() => mergeSymbol(wrong)).toThrow(/expected one, of the key's date/);
    expect(() => mergeSymbol({ ...input, symbol: 'B' })).toThrow(/has rows of A: expected B only/);
  });
});
