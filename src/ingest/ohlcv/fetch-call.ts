import type { Bars } from '../../bars.ts';
import type { Calendar } from '../../calendar.ts';
import { messageOf } from '../../errors.ts';
import type { StoreCall } from '../../lake/store.ts';
import type { WatermarkStore } from '../../lake/watermarks.ts';
import type { OnProgress } from '../../progress.ts';
import type { MissingLog } from './missing-bars.ts';

/** A database that has the same bars as bronze, or a part of them. */
export interface BarSink {
  /** Row i is the bar of `symbols[i]`; rows that are there already are replaced. */
  upsertBars(rows: { readonly symbols: readonly string[]; readonly bars: Bars }, call: StoreCall): Promise<void>;
}

/** What fetching needs, of sessions or of single symbols. */
export interface FetchCall {
  readonly calendar: Calendar;
  readonly watermarks: WatermarkStore;
  readonly missing: MissingLog;
  /** Ask again for what is known, and compare every bar. */
  readonly force?: boolean | undefined;
  /** A database that gets the same bars; its failures never fail the run. */
  readonly sink?: BarSink | undefined;
  /** Takes what the database did not. */
  readonly databaseFailures: DatabaseFailure[];
  readonly now: () => number;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What the database did not take. Bronze has the bars. */
export interface DatabaseFailure {
  /** What it was: a date or a symbol of bars, or `watermarks`. */
  readonly of: string;
  readonly message: string;
}

/** What has become of rows. */
export interface BarCounts {
  /** Rows that came from the source. */
  readonly fetched: number;
  /** Bars that are in bronze now and were not, or were others. */
  readonly stored: number;
  /** Bars that were there already. */
  readonly unchanged: number;
  /** Rows of no interest: test symbols, other markets, the same again. */
  readonly skipped: number;
  /** Rows that are no bars, and the objects they are kept in. */
  readonly quarantined: number;
  readonly quarantine: readonly string[];
}

/** Failures that are told: a backfill by symbol would tell thousands of the same. */
const MAX_FAILURES = 1_000;

/** Gives bars to the database, if there is one. Bronze is the truth: what the database does not take is told, and fails nothing. */
export async function writeToSink(
  { sink, databaseFailures, signal }: Pick<FetchCall, 'sink' | 'databaseFailures' | 'signal'>,
  of: string,
  rows: Parameters<BarSink['upsertBars']>[0],
): Promise<void> {
  if (!sink || rows.symbols.length === 0) return;
  try {
    await sink.upsertBars(rows, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    tellFailure(databaseFailures, { of, message: messageOf(error) });
  }
}

/**
 * Watermarks that are kept in a database. Where it fails that is told, and it is left alone: none is known then, and work is done
 * again that they would have spared.
 */
export function withFailuresTold(watermarks: WatermarkStore, databaseFailures: DatabaseFailure[]): WatermarkStore {
  let isLost = false;
  const orTell = async <T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T | undefined> => {
    signal?.throwIfAborted();
    if (isLost) return undefined;
    try {
      return await work();
    } catch (error) {
      signal?.throwIfAborted();
      isLost = true;
      tellFailure(databaseFailures, { of: 'watermarks', message: messageOf(error) });
      return undefined;
    }
  };
  return {
    read: async (call) => (await orTell(() => watermarks.read(call), call?.signal)) ?? new Map(),
    advance: (marks, call) => orTell(() => watermarks.advance(marks, call), call?.signal),
  };
}

function tellFailure(databaseFailures: DatabaseFailure[], failure: DatabaseFailure): void {
  if (databaseFailures.length < MAX_FAILURES) databaseFailures.push(failure);
}
