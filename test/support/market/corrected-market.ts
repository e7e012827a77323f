import { compareSymbols } from '../../../src/symbol.ts';
import type { ReplayMarket, ReplayRow } from './replay-market.ts';

/** Bars of a session that the exchange corrected. */
export interface CorrectedRows {
  readonly session: number;
  readonly rows: readonly ReplayRow[];
}

/** The market after corrections: their rows in the place of those of the same ticker and session, or beside the others. */
export function correctedMarket(market: ReplayMarket, corrections: readonly CorrectedRows[]): ReplayMarket {
  const corrected = (session: number, rows: readonly ReplayRow[], isMeant: (row: ReplayRow) => boolean) => {
    const meant = corrections.filter((correction) => correction.session === session);
    return meant.reduce((before, correction) => replaceRows(before, correction.rows.filter(isMeant)), rows);
  };
  return {
    ...market,
    rowsOf: (session) => corrected(session, market.rowsOf(session), () => true),
    rowsOfTicker(ticker, from, to) {
      const rows = new Map(market.rowsOfTicker(ticker, from, to).map(({ session, row }) => [session, row]));
      const changed = corrections.map(({ session }) => session).filter((session) => session >= from && session <= to);
      const sessions = [...new Set([...rows.keys(), ...changed])].sort((a, b) => a - b);
      return sessions.flatMap((session) => {
        const before = rows.get(session);
        return corrected(session, before ? [before] : [], ({ T }) => T === ticker).map((row) => ({ session, row }));
      });
    },
  };
}

/** Rows sorted by symbol, with those of `changed` in the place of those of the same ticker. */
export function replaceRows(rows: readonly ReplayRow[], changed: readonly ReplayRow[]): readonly ReplayRow[] {
  if (changed.length === 0) return rows;
  const tickers = new Set(changed.map(({ T }) => T));
  return sortRows([...rows.filter(({ T }) => !tickers.has(T)), ...changed]);
}

/** Rows sorted by symbol. */
export function sortRows(rows: readonly ReplayRow[]): readonly ReplayRow[] {
  return [...rows].sort((a, b) => compareSymbols(a.T, b.T));
}
