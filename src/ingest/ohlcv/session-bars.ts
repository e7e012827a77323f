import type { SessionBars } from '../../lake/session-file.ts';
import { formatSession, sessionAt } from '../../session.ts';
import { compareSymbols } from '../../symbol.ts';
import { createRowStore } from './row-store.ts';
import {
  type CheckedRow,
  conflicting,
  findFault,
  missesBar,
  type QuarantinedRow,
  type RowFinding,
  type SourceRow,
} from './source-row.ts';

/** What a source has of a session. */
export interface FetchedSession extends SessionBars {
  /** Rows that came. */
  readonly rows: number;
  /** Rows of test symbols, of other markets, and the same again. */
  readonly skipped: number;
  readonly quarantined: readonly QuarantinedRow[];
  /** Symbols that a row came of, but no bar that can be taken. */
  readonly missing: readonly string[];
}

/** Symbols the exchanges test their systems with: nobody can trade them. */
export const TEST_SYMBOLS: readonly string[] = [
  ...['ZVZZT', 'ZWZZT', 'ZXZZT', 'ZBZZT', 'ZJZZT', 'ZTEST', 'ZTST', 'ZVZZC', 'ZXYZ.A', 'ZXIET'],
];

/** Collects the rows of one session: checks each, and sorts and deduplicates them in the end. */
export interface SessionCollector {
  add(row: SourceRow): void;
  /** Counts a row that is of no interest. */
  skip(): void;
  finish(): FetchedSession;
}

/** @param exclude symbols that are skipped */
export function collectSession(session: number, exclude: readonly string[] = TEST_SYMBOLS): SessionCollector {
  const date = formatSession(session);
  const excluded = new Set<unknown>(exclude);
  const sessionOf = createSessionOf();
  const store = createRowStore();
  const quarantined: QuarantinedRow[] = [];
  let [rows, skipped] = [0, 0];
  return {
    add(row) {
      rows++;
      const finding = excluded.has(row.symbol) ? undefined : (findFault(row) ?? findOtherDay(sessionOf, session, row));
      if (finding) quarantined.push({ date, ...finding, row });
      else if (excluded.has(row.symbol)) skipped++;
      else store.add(session, row as CheckedRow);
    },
    skip() {
      rows++;
      skipped++;
    },
    finish() {
      const { symbols, bars, duplicates, conflicting: different } = store.finish();
      for (const { row } of different) quarantined.push({ date, ...conflicting, row });
      const stored = new Set<unknown>(symbols);
      const missing = new Set(quarantined.filter(missesBar).map(({ row }) => row.symbol as string));
      return {
        session,
        symbols,
        bars,
        rows,
        skipped: skipped + duplicates,
        quarantined,
        missing: [...missing].filter((symbol) => !stored.has(symbol)).sort(compareSymbols),
      };
    },
  };
}

function findOtherDay(
  sessionOf: (time: unknown) => number,
  session: number,
  { time }: SourceRow,
): RowFinding | undefined {
  if (sessionOf(time) === session) return undefined;
  return { fault: 'wrong_day', message: `its time ${time} is of another day` };
}

/**
 * Tells the session of times in milliseconds, −1 of one that is out of all reason. Most rows of a session have the same
 * time, and time zones take long.
 */
export function createSessionOf(): (time: unknown) => number {
  let [lastTime, lastSession]: [unknown, number] = [undefined, -1];
  return (time) => {
    if (time !== lastTime) {
      const year = typeof time === 'number' ? new Date(time).getUTCFullYear() : Number.NaN;
      [lastTime, lastSession] = [time, year >= 1900 && year < 2200 ? sessionAt(time as number) : -1];
    }
    return lastSession;
  };
}
