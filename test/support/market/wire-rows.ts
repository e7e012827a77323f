import { sessionFrom } from '../../../src/session.ts';
import { type Call, countUp } from './call.ts';
import { replaceRows } from './corrected-market.ts';
import type { ReplayMarket, ReplayRow } from './replay-market.ts';
import type { WireRow } from './row-faults.ts';
import type { Correction } from './traps.ts';

/** The fields of a bar in the vendor's order. */
export function wireRow({ T, v, vw, o, c, h, l, n, otc }: ReplayRow, t: number, withTicker: boolean): WireRow {
  return {
    ...(withTicker ? { T } : {}),
    v,
    ...(vw === undefined ? {} : { vw }),
    o,
    c,
    h,
    l,
    t,
    ...(n === undefined ? {} : { n }),
    ...(otc === undefined ? {} : { otc }),
  };
}

/** What makes a raw price of a session a split-adjusted one; splits after the market's last session are still to come. */
export function adjustmentOf(market: ReplayMarket): (ticker: string, session: number) => number {
  const last = market.sessions.at(-1) ?? 0;
  const splits = new Map<string, { readonly session: number; readonly factor: number }[]>();
  for (const { ticker, execution_date, split_from, split_to } of market.splits) {
    const session = execution_date === undefined ? Number.POSITIVE_INFINITY : sessionFrom(execution_date);
    if (session > last) continue;
    splits.set(ticker, [...(splits.get(ticker) ?? []), { session, factor: split_from / split_to }]);
  }
  return (ticker, session) => {
    const later = splits.get(ticker)?.filter((split) => split.session > session) ?? [];
    return later.reduce((product, { factor }) => product * factor, 1);
  };
}

export function adjustRow(row: ReplayRow, factor: number): ReplayRow {
  if (factor === 1) return row;
  const price = (value: number) => Math.round(value * factor * 1e6) / 1e6;
  const { o, h, l, c, v, vw } = row;
  return {
    ...row,
    ...{ o: price(o), h: price(h), l: price(l), c: price(c), v: v / factor },
    ...(vw === undefined ? {} : { vw: price(vw) }),
  };
}

/** Counts a call for each correction meant, and gives those that are made by now. */
export function correctionsMade({ traps, counters }: Call, isMeant: (correction: Correction) => boolean): Correction[] {
  return traps.corrections.filter((correction) => {
    return isMeant(correction) && countUp(counters.corrections, correction) >= correction.fromCall;
  });
}

export function correctRows(rows: readonly ReplayRow[], corrections: readonly Correction[]): readonly ReplayRow[] {
  return corrections.reduce((before, correction) => replaceRows(before, correction.rows), rows);
}
