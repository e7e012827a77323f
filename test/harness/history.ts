/** A bar given to the lake: begun at one moment, acknowledged at a later one, or never. */
export interface Write {
  readonly symbol: string;
  readonly session: number;
  /** No other write to this symbol and session has the same. */
  readonly value: number;
  readonly start: number;
  /** From here on no older bar may be seen in its place; infinity = never acknowledged. */
  end: number;
  /** Whether a try that failed may land later than the one that was acknowledged: nobody knows when. */
  mayComeLate: boolean;
}

/** Every write there was: the oracle of what may be in the lake. */
export interface History {
  begin(symbol: string, session: number, value: number): Write;
  acknowledge(write: Write): void;
  find(symbol: string, session: number, value: number): Write | undefined;
  /** Whether an acknowledged write began after all there was of `older`. */
  isOlder(older: Write, than: Write): boolean;
  /** What is wrong with a symbol's bars as the end of this history; `undefined` = nothing. */
  check(symbol: string, values: ReadonlyMap<number, number>): string | undefined;
  symbols(): readonly string[];
}

/**
 * Writes as intervals of time. Two that overlap may have happened in either order; of two that do not, the later one
 * wins. An unacknowledged write may have happened at any time after its start, or not at all.
 */
export function createHistory(): History {
  const writes = new Map<string, Map<number, Write[]>>();
  let time = 0;
  const ofSymbol = (symbol: string): Map<number, Write[]> => {
    const found = writes.get(symbol) ?? new Map<number, Write[]>();
    writes.set(symbol, found);
    return found;
  };
  const isOlder = (older: Write, than: Write): boolean => !older.mayComeLate && older.end < than.start;
  const history: History = {
    isOlder,
    begin(symbol, session, value) {
      const write = { symbol, session, value, start: ++time, end: Number.POSITIVE_INFINITY, mayComeLate: false };
      const sessions = ofSymbol(symbol);
      sessions.set(session, [...(sessions.get(session) ?? []), write]);
      return write;
    },
    acknowledge(write) {
      write.end = Math.min(write.end, ++time);
    },
    find: (symbol, session, value) =>
      writes
        .get(symbol)
        ?.get(session)
        ?.find((write) => write.value === value),
    check(symbol, values) {
      for (const [session, all] of ofSymbol(symbol)) {
        const acknowledged = all.filter(({ end }) => end < Number.POSITIVE_INFINITY);
        const value = values.get(session);
        if (value === undefined) {
          if (acknowledged.length > 0) return `${symbol} ${session}: lost; acknowledged were ${show(acknowledged)}`;
          continue;
        }
        const write = history.find(symbol, session, value);
        if (write === undefined) return `${symbol} ${session}: has ${value}, which nobody wrote`;
        const newer = acknowledged.filter((other) => isOlder(write, other));
        if (newer.length > 0) return `${symbol} ${session}: has ${show([write])}, but later were ${show(newer)}`;
      }
      for (const session of values.keys()) {
        if (!ofSymbol(symbol).has(session)) return `${symbol} ${session}: nobody wrote this session`;
      }
      return undefined;
    },
    symbols: () => [...writes.keys()],
  };
  return history;
}

function show(writes: readonly Write[]): string {
  return writes.map(({ value, start, end }) => `${value} (${start}–${end})`).join(', ');
}
