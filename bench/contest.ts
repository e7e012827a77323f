import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { arch, cpus, platform, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

/** Timed rounds, after one that is not timed. */
export const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);

/**
 * Lets contestants measure themselves in turn, so that whatever else the machine does meets all of them: a first round to
 * make caches warm, which does not count, then {@link ROUNDS}, every other one in the opposite order.
 */
export async function alternate<T>(
  contestants: Readonly<Record<string, () => T | Promise<T>>>,
): Promise<ReadonlyMap<string, readonly T[]>> {
  const entries = Object.entries(contestants);
  const measured = new Map<string, T[]>(entries.map(([name]) => [name, []]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [name, measure] of round % 2 === 0 ? entries : entries.toReversed()) {
      const result = await measure();
      if (round > 0) measured.get(name)!.push(result);
    }
  }
  return measured;
}

/** Runs a step of a benchmark in a process of its own, so that its time and peak memory are its own; it prints JSON. */
export function runProcess<T>(
  script: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): T & { readonly seconds: number } {
  const started = performance.now();
  const options = { encoding: 'utf8', env: { ...process.env, ...env } } as const;
  const output = execFileSync(process.execPath, [fileURLToPath(script), ...args], options);
  return { seconds: (performance.now() - started) / 1000, ...JSON.parse(output) };
}

/** The most memory this process has had in RAM at once. */
export function peakRssMb(): number {
  // On Linux, maxRSS begins with what the parent had when it started this process.
  const status = process.platform === 'linux' ? readFileSync('/proc/self/status', 'utf8') : '';
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? process.resourceUsage().maxRSS) / 1024;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Where and on what a benchmark ran. */
export async function describeMachine(...peers: readonly string[]): Promise<string> {
  const cpu = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  // Loaded here, so that it is in no contestant's memory but its own.
  const { DuckDBInstance } = await import('@duckdb/node-api');
  const connection = await (await DuckDBInstance.create()).connect();
  const [[duckdb]] = (await connection.runAndReadAll('SELECT version()')).getRows() as [[string]];
  connection.closeSync();
  const machine = `${cpu.length} × ${cpu[0]?.model.trim()}, ${memory} GiB, ${platform()} ${arch()}`;
  return [machine, `Node ${process.version}`, `DuckDB ${duckdb}`, ...peers].join(', ');
}
