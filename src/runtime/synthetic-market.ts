import { allocateBars, type Bars } from '../bars.ts';
import { BatchLayerError } from '../errors.ts';
import { formatSession, sessionFrom } from '../session.ts';

/** A synthetic market: the same options give the same bars. */
export interface SyntheticMarket {
  /** Number of symbols. */
  readonly symbols: number;
  /** Bars of all symbols together. */
  readonly bars: number;
  /** The longest history, in sessions; the shortest has one, and most are short. */
  readonly longest: number;
  /** The last session, YYYY-MM-DD, which all histories end with. */
  readonly lastDate: string;
}

const SATURDAY = 2;
const FRACTIONAL_SINCE = sessionFrom('2026-02-23');
const VWAP_SINCE = sessionFrom('2003-09-10');

/**
 * Makes a market symbol by symbol, in ascending order: prices that walk at random in cents, weekdays only, volumes
 * fractional from 2026-02-23 on (in eighths, so that sums are exact), vwap and trades for recent years.
 *
 * @example
 * for (const { symbol, bars } of syntheticMarket({ symbols: 100, bars: 50_000, longest: 2000, lastDate: '2025-12-31' })) {}
 */
export function* syntheticMarket({
  symbols,
  bars,
  longest,
  lastDate,
}: SyntheticMarket): Generator<{ readonly symbol: string; readonly bars: Bars }> {
  const lengths = historyLengths(symbols, bars, longest);
  const sessions = weekdaysUpTo(sessionFrom(lastDate), longest);
  const names = symbolNames(symbols);
  // Long and short histories mixed, over all names: a step that has no factor in common with their number visits each.
  const step = coprimeNear(Math.floor(symbols * 0.618), symbols);
  for (const [s, symbol] of names.entries()) {
    const length = lengths[(s * step) % symbols]!;
    yield { symbol, bars: randomWalk(sessions.subarray(sessions.length - length), s) };
  }
}

/** Bars as CSV text with a header line, the first `symbol,date,open,high,low,close,volume,vwap,trades`. */
export function* toCsv(histories: Iterable<{ readonly symbol: string; readonly bars: Bars }>): Generator<string> {
  yield 'symbol,date,open,high,low,close,volume,vwap,trades\n';
  for (const { symbol, bars } of histories) {
    let text = '';
    for (let i = 0; i < bars.session.length; i++) {
      const vwap = bars.vwap && !Number.isNaN(bars.vwap[i]) ? bars.vwap[i] : '';
      const trades = bars.trades && bars.trades[i] !== -1 ? bars.trades[i] : '';
      const prices = `${bars.open[i]},${bars.high[i]},${bars.low[i]},${bars.close[i]}`;
      text += `${symbol},${formatSession(bars.session[i]!)},${prices},${bars.volume[i]},${vwap},${trades}\n`;
    }
    yield text;
  }
}

// Symbol i of n has a history of longest × (i / n)^p sessions: p makes the total right, rounding is spread over the rest.
function historyLengths(symbols: number, bars: number, most: number): number[] {
  if (!(bars >= symbols && bars <= symbols * most)) {
    throw new BatchLayerError(
      'BadInput',
      `${bars} bars: expected ${symbols} to ${symbols * most} for ${symbols} symbols`,
    );
  }
  const longest = Math.min(most, bars - symbols + 1);
  const power = longest === 1 ? 0 : Math.max(0, (longest - 1) / (bars / symbols - 1) - 1);
  const lengths = Array.from(
    { length: symbols },
    (_, i) => 1 + Math.floor((longest - 1) * ((i + 1) / symbols) ** power),
  );
  let missing = bars - lengths.reduce((sum, length) => sum + length, 0);
  for (let i = 0; missing !== 0; i = (i + 1) % (symbols - 1)) {
    const change = Math.sign(missing);
    if (lengths[i]! + change < 1 || lengths[i]! + change > longest) continue;
    lengths[i]! += change;
    missing -= change;
  }
  return lengths;
}

function weekdaysUpTo(last: number, count: number): Int32Array {
  const sessions = new Int32Array(count);
  for (let i = count - 1, session = last; i >= 0; session--) {
    // 1970-01-01 was a Thursday: days 2 and 3 of a week counted from it are Saturday and Sunday.
    const day = ((session % 7) + 7) % 7;
    if (day !== SATURDAY && day !== SATURDAY + 1) sessions[i--] = session;
  }
  return sessions;
}

function symbolNames(count: number): string[] {
  const names = Array.from({ length: count }, (_, i) => {
    const letters = [17_576, 676, 26, 1].map((unit) => String.fromCharCode(65 + (Math.floor(i / unit) % 26))).join('');
    return i % 43 === 42 ? `${letters}.B` : i % 97 === 96 ? `${letters}w` : letters;
  });
  return names.sort((a, b) => (a < b ? -1 : 1));
}

function randomWalk(sessions: Int32Array, seed: number): Bars {
  const random = createRandom(seed + 1);
  const bars = allocateBars(sessions.length, { vwap: true, trades: true });
  let price = 500 + random() * 20_000;
  for (let i = 0; i < sessions.length; i++) {
    const session = sessions[i]!;
    const open = Math.round(price * (0.99 + random() * 0.02));
    const close = Math.max(10, Math.round(open * (0.97 + random() * 0.0603)));
    const high = Math.round(Math.max(open, close) * (1 + random() * 0.02));
    const low = Math.round(Math.min(open, close) * (1 - random() * 0.02));
    const volume = Math.floor(random() ** 4 * 40_000_000);
    price = close;
    bars.session[i] = session;
    bars.open[i] = open / 100;
    bars.high[i] = high / 100;
    bars.low[i] = low / 100;
    bars.close[i] = close / 100;
    bars.volume[i] = session >= FRACTIONAL_SINCE ? volume / 8 : volume;
    if (session >= VWAP_SINCE) {
      bars.vwap![i] = Math.round(((high + low + close) / 3) * 100) / 10_000;
      bars.trades![i] = Math.floor(volume / 150) + 1;
    }
  }
  return bars;
}

/** Uniform numbers in [0, 1) from a seed (mulberry32). */
function createRandom(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

function coprimeNear(start: number, of: number): number {
  const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));
  let step = Math.max(1, start);
  while (divisor(step, of) !== 1) step++;
  return step;
}
