/** The most of `times` that lie within less than `perMs` of each other. */
export function mostWithin(times: readonly number[], perMs: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  let [most, from] = [0, 0];
  for (const [to, time] of sorted.entries()) {
    while (time - sorted[from]! >= perMs) from++;
    most = Math.max(most, to - from + 1);
  }
  return most;
}
