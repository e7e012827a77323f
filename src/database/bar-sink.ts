import { type BatchLayerError, hasCode } from '../errors.ts';
import type { BarSink } from '../ingest/ohlcv/fetch-call.ts';
import type { Database } from './connection.ts';
import { firstKeptMonth } from './retention-window.ts';
import { upsertBars } from './upsert-bars.ts';

/** After the database has not answered, or held rows locked, it is left alone for so long: a fetch does not wait session by session. */
const PAUSE_MS = 60_000;

/**
 * The database as a second place for the bars that are fetched, next to bronze: those of the months it keeps.
 *
 * What it does not take is told by the fetch, and brought by {@link reconcile}.
 *
 * @example
 * await bindLake(store, database);
 * await ingestOhlcv(store, api, { sink: barSink(database), watermarks: databaseWatermarks(database) });
 */
export function barSink(database: Database, { now = Date.now }: { readonly now?: () => number } = {}): BarSink {
  let failure: { readonly error: BatchLayerError; readonly at: number } | undefined;
  return {
    async upsertBars(rows, { signal }) {
      if (failure && now() - failure.at < PAUSE_MS) throw failure.error;
      try {
        await upsertBars(database, rows, { keepFrom: firstKeptMonth(now()), signal });
        failure = undefined;
      } catch (error) {
        if (hasCode(error, 'Unavailable', 'Conflict')) failure = { error, at: now() };
        throw error;
      }
    },
  };
}
