import { BRONZE_SCHEMA, columnsToBars } from '../../src/lake/bronze.ts';
import { dailyKey, dataKey, SESSION_LEDGER_KEY, WATERMARKS_KEY } from '../../src/lake/keys.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { decodeTable } from '../../src/lake/parquet-decode.ts';
import { readSessionFile } from '../../src/lake/session-file.ts';
import { isLanded, readSessionLedger } from '../../src/lake/session-ledger.ts';
import { type ObjectStore, orNone } from '../../src/lake/store.ts';
import { lakeWatermarks } from '../../src/lake/watermarks.ts';

/** What the fetcher may tell: watermarks and complete sessions are never ahead of what is in bronze, nor go back (I7). */
export function fetchRules(store: ObjectStore, report: (violation: string) => void) {
  async function hasBar(symbol: string, session: number): Promise<boolean> {
    if (await orNone(store.head(dailyKey(symbol, session)))) return true;
    const data = await orNone(store.get(dataKey(symbol)));
    if (data === undefined) return false;
    return columnsToBars(decodeTable(BRONZE_SCHEMA, data.body, dataKey(symbol)).columns).session.includes(session);
  }

  async function checkWatermarks(body: Uint8Array): Promise<void> {
    const before = await lakeWatermarks(store).read();
    const after = await lakeWatermarks(await storeOf(WATERMARKS_KEY, body)).read();
    for (const [symbol, { lastSession }] of before) {
      if ((after.get(symbol)?.lastSession ?? -1) < lastSession) report(`I7 the watermark of ${symbol} goes back`);
    }
    for (const { symbol, lastSession } of after.values()) {
      if (!(await hasBar(symbol, lastSession)))
        report(`I7 the watermark of ${symbol} is ahead: no bar of ${lastSession}`);
    }
  }

  async function checkLedger(body: Uint8Array): Promise<void> {
    const before = await readSessionLedger(store);
    for (const entry of (await readSessionLedger(await storeOf(SESSION_LEDGER_KEY, body))).values()) {
      if (!isLanded(entry) || before.get(entry.session)?.updatedAt === entry.updatedAt) continue;
      const { symbols } = await readSessionFile(store, entry.session, entry.digest);
      for (const symbol of symbols) {
        if (entry.missing.includes(symbol) || (await hasBar(symbol, entry.session))) continue;
        report(`I7 the ledger has ${entry.session} as complete: no bar of ${symbol}`);
      }
    }
  }

  return { checkWatermarks, checkLedger };
}

async function storeOf(key: string, body: Uint8Array): Promise<ObjectStore> {
  const store = memoryStore();
  await store.put(key, body);
  return store;
}
