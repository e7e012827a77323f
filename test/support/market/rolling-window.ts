/** Lets at most `calls` through in any `perMs`. */
export interface RollingWindow {
  admit(atMs: number, limit: { readonly calls: number; readonly perMs: number }): boolean;
}

export function createRollingWindow(): RollingWindow {
  let admitted: number[] = [];
  return {
    admit(atMs, { calls, perMs }) {
      admitted = admitted.filter((time) => time > atMs - perMs);
      if (admitted.length >= calls) return false;
      admitted.push(atMs);
      return true;
    },
  };
}

/** The most calls in any `perMs`. */
export function busiestWindow(calls: readonly { readonly atMs: number }[], perMs: number): number {
  const times = calls.map(({ atMs }) => atMs).sort((a, b) => a - b);
  let most = 0;
  for (let from = 0, to = 0; to < times.length; to++) {
    while (times[from]! <= times[to]! - perMs) from++;
    most = Math.max(most, to - from + 1);
  }
  return most;
}
