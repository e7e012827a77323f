import type { Bars } from '../../src/bars.ts';
import { readConsolidated } from '../../src/lake/consolidated.ts';
import { decodeTable } from '../../src/lake/parquet-decode.ts';
import { SILVER_SCHEMA } from '../../src/lake/silver.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { listSymbols } from '../../src/lake/symbol-files.ts';
import { formatSession } from '../../src/session.ts';

/** Bars as rows that read well in a failing test. */
export function rowsOf(bars: Bars): (string | number)[][] {
  return Array.from(bars.session, (session, i) => [
    formatSession(session),
    ...[bars.open, bars.high, bars.low, bars.close, bars.volume].map((values) => values[i]!),
    bars.vwap?.[i] ?? Number.NaN,
    bars.trades?.[i] ?? -1,
  ]);
}

/** All consolidated bars of a lake, by symbol. */
export async function readBronze(store: ObjectStore): Promise<Record<string, Bars>> {
  const bronze: Record<string, Bars> = {};
  for await (const { symbol } of listSymbols(store)) {
    const found = await readConsolidated(store, symbol);
    if (found) bronze[symbol] = found.bars;
  }
  return bronze;
}

/** Digest of every silver file, by key. */
export async function silverDigests(store: ObjectStore): Promise<Record<string, string>> {
  const digests: Record<string, string> = {};
  for await (const { key } of store.list('silver/')) {
    digests[key] = decodeTable(SILVER_SCHEMA, (await store.get(key)).body, key).digest;
  }
  return digests;
}

/** All keys below a prefix. */
export async function keysOf(store: ObjectStore, prefix = ''): Promise<string[]> {
  return (await Array.fromAsync(store.list(prefix))).map(({ key }) => key);
}
