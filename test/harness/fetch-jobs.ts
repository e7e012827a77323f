import { allocateBars, copyBar } from '../../src/bars.ts';
import { marketCalendar } from '../../src/calendar.ts';
import type { BarSource } from '../../src/ingest/ohlcv/bar-source.ts';
import { ingestSessions } from '../../src/ingest/ohlcv/ingest-sessions.ts';
import { createMissingLog } from '../../src/ingest/ohlcv/missing-bars.ts';
import type { ObjectStore, StoreCall } from '../../src/lake/store.ts';
import { lakeWatermarks } from '../../src/lake/watermarks.ts';
import { barsOf } from './bar-values.ts';

/** A source that has the same value for all symbols of a session. */
export function valueSource(symbols: readonly string[], valueAt: (session: number) => number): BarSource {
  return {
    name: 'values',
    async fetchSession(session) {
      const bar = barsOf(new Map([[session, valueAt(session)]]));
      const bars = allocateBars(symbols.length);
      for (let i = 0; i < symbols.length; i++) copyBar(bar, 0, bars, i);
      return { session, symbols, bars, rows: symbols.length, skipped: 0, quarantined: [], missing: [] };
    },
  };
}

/** A run of the fetcher over the last days before `now`. */
export async function fetchDays(
  store: ObjectStore,
  source: BarSource,
  { backfillDays, now, signal }: StoreCall & { readonly backfillDays: number; readonly now: number },
): Promise<void> {
  await ingestSessions(store, source, {
    calendar: marketCalendar(),
    watermarks: lakeWatermarks(store),
    missing: createMissingLog(),
    databaseFailures: [],
    backfillDays,
    now: () => now,
    signal,
  });
}
