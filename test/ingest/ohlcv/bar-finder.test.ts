import { expect, test } from 'vitest';
import { allocateBars } from '../../../src/bars.ts';
import { openBulkImport } from '../../../src/ingest/bulk-import.ts';
import { createSessionFinder } from '../../../src/ingest/ohlcv/bar-finder.ts';
import { consolidate, memoryStore, readManifest } from '../../../src/lake/index.ts';
import { readRecentBars } from '../../../src/lake/recent-bars.ts';
import { listFiles, listSymbol } from '../../../src/lake/symbol-files.ts';

async function finderOf(histories: Readonly<Record<string, readonly number[]>>) {
  const store = memoryStore();
  const bulk = openBulkImport(store, { now: () => 0 });
  for (const [symbol, sessions] of Object.entries(histories)) {
    const bars = allocateBars(sessions.length);
    bars.session.set(sessions);
    await bulk.add(await listSymbol(store, symbol), bars);
  }
  await bulk.finish();
  await consolidate(store);
  const [files, manifest, recent] = [await listFiles(store), await readManifest(store), await readRecentBars(store)];
  return createSessionFinder({ files, manifest, recent });
}

const LONG = Array.from({ length: 200 }, (_, i) => 20_000 + i).filter((session) => session !== 20_190);

test('a session that no symbol traded on is certain within the last 64, also where a symbol is newer than it', async () => {
  const hasBars = await finderOf({ AAPL: LONG, NEW: [20_198, 20_199] });
  expect([20_189, 20_190, 20_191, 20_199, 20_200].map(hasBars)).toEqual([true, false, true, true, false]);
});

test('before that, from the first session of any symbol on, there may be bars', async () => {
  const hasBars = await finderOf({ AAPL: LONG.filter((session) => session !== 20_050) });
  expect([19_999, 20_000, 20_050].map(hasBars)).toEqual([false, true, true]);
});
