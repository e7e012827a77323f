import { type BigIntStats, statSync } from 'node:fs';

/** A file as it is now, where there is one. */
export function statOrNone(path: string): BigIntStats | undefined {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats?.isFile() ? stats : undefined;
}

/** Names a version of a file (decision 002). */
export function etagOf(stats: BigIntStats): string {
  return [stats.mtimeNs, stats.ino, stats.size].map((part) => part.toString(36)).join('-');
}

/** Whether the system says so. */
export function isCode(error: unknown, code: string): boolean {
  return (error as NodeJS.ErrnoException).code === code;
}
