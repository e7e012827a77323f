import { BRONZE_SCHEMA } from '../../src/lake/bronze.ts';
import {
  MANIFEST_KEY,
  RECENT_BARS_KEY,
  SESSION_LEDGER_KEY,
  SESSIONS_PREFIX,
  WATERMARKS_KEY,
} from '../../src/lake/keys.ts';
import { MANIFEST_SCHEMA } from '../../src/lake/manifest.ts';
import { decodeTable } from '../../src/lake/parquet-decode.ts';
import { RECENT_BARS_SCHEMA } from '../../src/lake/recent-bars.ts';
import { SILVER_SCHEMA } from '../../src/lake/silver.ts';
import { type ObjectStore, orNone } from '../../src/lake/store.ts';
import { CLEANUP_SCHEMA } from '../../src/lake/vacuum.ts';
import { bronzeRules, type RulesOptions, type Writer } from './bronze-rules.ts';
import { fetchRules } from './fetch-rules.ts';
import { silverRules } from './silver-rules.ts';

/** Looks at every change of the storage, at the moment it happens. */
export interface Witness {
  /** The storage, for one writer. */
  as(writer: Writer): ObjectStore;
  /** Whether a later run has claimed an interval that this writer claimed. */
  isFenced(writer: Writer): boolean;
}

/** Invariants that hold at every moment: every version of every object is whole (I9), and the rules of each layer. */
export function createWitness(store: ObjectStore, options: RulesOptions): Witness {
  const { report } = options;
  const [bronze, silver] = [bronzeRules(store, options), silverRules(store, report)];
  const fetch = fetchRules(store, report);

  async function checkPut(writer: Writer, key: string, body: Uint8Array): Promise<void> {
    try {
      if (key.startsWith('bronze/')) await bronze.checkPut(key, body);
      else if (key === MANIFEST_KEY) decodeTable(MANIFEST_SCHEMA, body, key);
      else if (key === RECENT_BARS_KEY) decodeTable(RECENT_BARS_SCHEMA, body, key);
      else if (key.endsWith('checkpoint.json')) await silver.checkCheckpoint(writer, key, body);
      else if (key.startsWith('silver/')) {
        await silver.checkMonth(writer, key, decodeTable(SILVER_SCHEMA, body, key).metadata);
      } else if (key === WATERMARKS_KEY) await fetch.checkWatermarks(body);
      else if (key === SESSION_LEDGER_KEY) await fetch.checkLedger(body);
      else if (key.startsWith(SESSIONS_PREFIX)) decodeTable(BRONZE_SCHEMA, body, key);
      else decodeTable(CLEANUP_SCHEMA, body, key);
    } catch (error) {
      report(`I9 ${key}: ${error}`);
    }
  }

  async function checkDelete(writer: Writer, key: string, ifMatch: string | undefined): Promise<void> {
    if (!key.startsWith('silver/')) await bronze.checkDelete(writer, key, ifMatch);
  }

  return {
    isFenced: silver.isFenced,
    as: (writer) => ({
      ...store,
      async put(key, body, call = {}) {
        if (await holds(store, key, call)) await checkPut(writer, key, body);
        return store.put(key, body, call);
      },
      async delete(key, call = {}) {
        if (await holds(store, key, call)) await checkDelete(writer, key, call.ifMatch);
        return store.delete(key, call);
      },
      async deleteAll(deletions) {
        for (const { key, ifMatch } of deletions) {
          if (await holds(store, key, { ifMatch })) await checkDelete(writer, key, ifMatch);
        }
        return store.deleteAll(deletions);
      },
    }),
  };
}

async function holds(
  store: ObjectStore,
  key: string,
  { ifMatch, ifNoneMatch }: { readonly ifMatch?: string | undefined; readonly ifNoneMatch?: '*' | undefined },
): Promise<boolean> {
  if (ifMatch === undefined && ifNoneMatch === undefined) return true;
  const found = await orNone(store.head(key));
  return ifNoneMatch ? found === undefined : found?.etag === ifMatch;
}
