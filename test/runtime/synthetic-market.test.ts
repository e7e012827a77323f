import { describe, expect, test } from 'vitest';
import { checkHistory } from '../../src/bars.ts';
import { syntheticMarket } from '../../src/runtime/synthetic-market.ts';
import { formatSession } from '../../src/session.ts';
import { isSymbol } from '../../src/symbol.ts';

const MARKET = { symbols: 300, bars: 60_000, longest: 5000, lastDate: '2026-11-20' };

describe('syntheticMarket', () => {
  const histories = [...syntheticMarket(MARKET)];

  test('has the symbols and bars asked for, in order, histories uneven', () => {
    expect(histories).toHaveLength(300);
    const names = histories.map(({ symbol }) => symbol);
    expect(names).toEqual([...new Set(names)].sort());
    expect(names.every(isSymbol)).toBe(true);
    const lengths = histories.map(({ bars }) => bars.session.length).sort((a, b) => a - b);
    expect(lengths.reduce((sum, length) => sum + length)).toBe(60_000);
    expect(lengths.at(-1)).toBe(5000);
    expect(lengths[150]!).toBeLessThan(50);
  });

  test('has valid bars on weekdays, and is the same every time', () => {
    for (const { symbol, bars } of histories) {
      checkHistory(bars, symbol);
      expect(formatSession(bars.session.at(-1)!)).toBe('2026-11-20');
      for (let i = 0; i < bars.session.length; i++) {
        expect(bars.low[i]! > 0 && bars.low[i]! <= Math.min(bars.open[i]!, bars.close[i]!)).toBe(true);
        expect(bars.high[i]! >= Math.max(bars.open[i]!, bars.close[i]!)).toBe(true);
        expect([0, 6]).not.toContain(new Date(bars.session[i]! * 86_400_000).getUTCDay());
      }
    }
    expect([...syntheticMarket(MARKET)]).toEqual(histories);
  });

  test.each([
    [1, 1],
    [7, 7],
    [1, 30],
    [3, 90],
    [40, 41],
  ])('%i symbols can have %i bars', (symbols, bars) => {
    const made = [...syntheticMarket({ ...MARKET, symbols, bars, longest: 30 })];
    expect(made.reduce((sum, history) => sum + history.bars.session.length, 0)).toBe(bars);
  });

  test('refuses what cannot be', () => {
    expect(() => [...syntheticMarket({ ...MARKET, bars: 10 })]).toThrow(/expected 300 to/);
  });
});
