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
  readonly now: () => number;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Bars that the database did not take. Bronze has them. */
export interface DatabaseFailure {
  /** What it was: a date, or a symbol. */
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
  readonly databaseFailures: readonly DatabaseFailure[];
}

/** Gives bars to the database, if there is one. Bronze is the truth: what the database does not take is told, and fails nothing. */
export async function writeToSink(
  { sink, signal }: Pick<FetchCall, 'sink' | 'signal'>,
  of: string,
  rows: Parameters<BarSink['upsertBars']>[0],
): Promise<DatabaseFailure | undefined> {
  if (!sink || rows.symbols.length === 0) return undefined;
  try {
    await sink.upsertBars(rows, { signal });
    return undefined;
  } catch (error) {
    signal?.throwIfAborted();
    return { of, message: messageOf(error) };
  }
}
