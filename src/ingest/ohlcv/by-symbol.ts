import { allocateBars, type Bars, copyBar } from '../../bars.ts';
import type { SessionBars } from '../../lake/session-file.ts';
import { compareSymbols } from '../../symbol.ts';

/** One symbol's bars out of many sessions. */
export interface SymbolBars {
  readonly symbol: string;
  readonly bars: Bars;
}

/**
 * Turns sessions of many symbols into symbols of many sessions, one after the other in ascending order, so that only one is in
 * memory twice.
 *
 * @param sessions ascending, each once
 */
export function* bySymbol(sessions: readonly SessionBars[]): Generator<SymbolBars> {
  const rows = new Map<string, number[]>();
  for (const [s, { symbols }] of sessions.entries()) {
    for (const [i, symbol] of symbols.entries()) {
      const places = rows.get(symbol);
      if (places) places.push(s, i);
      else rows.set(symbol, [s, i]);
    }
  }
  for (const symbol of [...rows.keys()].sort(compareSymbols)) {
    const places = rows.get(symbol)!;
    const bars = allocateBars(places.length / 2, { vwap: true, trades: true });
    for (let at = 0; at < places.length; at += 2) copyBar(sessions[places[at]!]!.bars, places[at + 1]!, bars, at / 2);
    yield { symbol, bars };
  }
}
