import { BatchLayerError, messageOf } from '../../errors.ts';
import { formatSession } from '../../session.ts';
import { compareSymbols } from '../../symbol.ts';
import type { QuarantinedRow } from './source-row.ts';

/** Bars that should be in the lake and are not; the next run looks for them again. */
export interface MissingBars {
  /** `null`: of more than one session. */
  readonly date: string | null;
  /** `null`: all of the session. */
  readonly symbol: string | null;
  readonly code: string;
  readonly message: string;
}

const MAX_LISTED = 1000;

/** Counts what is missing, and keeps the first 1,000. */
export interface MissingLog {
  readonly first: MissingBars[];
  count(): number;
  add(missing: MissingBars): void;
}

export function createMissingLog(): MissingLog {
  const first: MissingBars[] = [];
  let count = 0;
  return {
    first,
    count: () => count,
    add(missing) {
      if (++count <= MAX_LISTED) first.push(missing);
    },
  };
}

/** By date and symbol, whatever the order in which answers came; what is of no one session comes last. */
export function sortMissing(missing: readonly MissingBars[]): MissingBars[] {
  const keyOf = ({ date, symbol }: MissingBars) => `${date ?? 'later'} ${symbol ?? ''}`;
  return missing.toSorted((a, b) => compareSymbols(keyOf(a), keyOf(b)));
}

/** A session that could not be had. */
export function missingSession(session: number, error: unknown): MissingBars {
  const code = error instanceof BatchLayerError ? error.code : 'Unexpected';
  return { date: formatSession(session), symbol: null, code, message: messageOf(error) };
}

/** A bar that was put aside. */
export function missingRow({ date, fault, message, row }: QuarantinedRow): MissingBars {
  return { date, symbol: String(row.symbol), code: fault, message };
}
