import { type Bars, mergeBars, REQUIRED_VALUES } from '../bars.ts';

/** A history that was filled up. */
export interface FilledBars {
  readonly bars: Bars;
  /** Sessions of which the history had another bar than it was to be filled with, and kept it. */
  readonly kept: Int32Array;
}

/**
 * Takes over bars for the sessions that a history has none of. Those it has stay, whatever the others say.
 *
 * A vwap or number of trades that `filled` has not says nothing, and is no difference.
 */
export function fillBars(bars: Bars, filled: Bars): FilledBars {
  const kept: number[] = [];
  let [i, known] = [0, 0];
  for (let f = 0; f < filled.session.length; f++) {
    const session = filled.session[f]!;
    while (i < bars.session.length && bars.session[i]! < session) i++;
    if (bars.session[i] !== session) continue;
    known++;
    if (differs(filled, f, bars, i)) kept.push(session);
  }
  return {
    bars: known === filled.session.length ? bars : mergeBars(filled, bars),
    kept: Int32Array.from(kept),
  };
}

/** Whether row `i` of `said` says anything else than row `j` of `bars`. */
export function differs(said: Bars, i: number, bars: Bars, j: number): boolean {
  const [vwap, trades] = [said.vwap?.[i] ?? Number.NaN, said.trades?.[i] ?? -1];
  return (
    REQUIRED_VALUES.some((name) => !Object.is(said[name][i], bars[name][j])) ||
    !(Number.isNaN(vwap) || vwap === bars.vwap?.[j]) ||
    !(trades === -1 || trades === bars.trades?.[j])
  );
}
