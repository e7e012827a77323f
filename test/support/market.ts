import { allocateBars, type Bars } from '../../src/bars.ts';

/** Histories of equal length that walk at random from a fixed seed, symbols S000, S001, … */
export function generateMarket({
  symbols,
  sessions,
}: {
  readonly symbols: number;
  readonly sessions: number;
}): Record<string, Bars> {
  const random = mulberry32(42);
  return Object.fromEntries(
    Array.from({ length: symbols }, (_, s) => {
      const bars = allocateBars(sessions, { vwap: true, trades: true });
      let price = 10 + random() * 90;
      for (let i = 0; i < sessions; i++) {
        const open = price;
        price = Math.max(1, Math.round(price * (0.97 + random() * 0.06) * 100) / 100);
        bars.session[i] = i;
        [bars.open[i], bars.close[i]] = [open, price];
        [bars.high[i], bars.low[i]] = [Math.max(open, price), Math.min(open, price)];
        bars.volume[i] = Math.floor(random() * 1e6);
        bars.vwap![i] = (open + price) / 2;
        bars.trades![i] = Math.floor(random() * 1000);
      }
      return [`S${String(s).padStart(3, '0')}`, bars];
    }),
  );
}

function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
