import type { StoreMetrics } from '../lake/index.ts';
import type { FailedSymbol } from '../progress.ts';

// Pieces of what the command line tells people.

const MAX_SHOWN = 20;

export function traffic({ requests, retries, bytesRead, bytesWritten, costUsd }: StoreMetrics): string {
  const sent = Object.entries(requests).filter(([, n]) => n > 0);
  const kinds = sent.map(([kind, n]) => `${count(n)} ${kind}`).join(', ');
  return `requests: ${kinds || 'none'}; ${count(bytesRead, 'byte')} read, ${count(bytesWritten)} written, ${count(retries)} sent again; on S3 $${costUsd.toFixed(4)}`;
}

export function failures(failed: readonly FailedSymbol[]): string[] {
  if (failed.length === 0) return [];
  return [
    `${count(failed.length, 'symbol')} failed:`,
    ...shorten(failed, ({ code, message }) => `  ${code}: ${message}`, failed.length),
  ];
}

export function shorten<T>(items: readonly T[], describe: (item: T) => string, of: number): string[] {
  const shown = items.slice(0, MAX_SHOWN).map(describe);
  return of > MAX_SHOWN
    ? [...shown, `  … and ${count(of - MAX_SHOWN)} more; --json lists up to 1,000 of each kind`]
    : shown;
}

export function total(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, n) => sum + n, 0);
}

export function count(n: number, noun?: string): string {
  const number = n.toLocaleString('en-US');
  return noun === undefined ? number : `${number} ${noun}${n === 1 ? '' : 's'}`;
}

export function lines(parts: readonly string[]): string {
  return parts.join('\n');
}
