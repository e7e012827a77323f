import { type Bars, sliceBars } from '../../src/bars.ts';
import { columnOf, decodeUtf8, type Utf8Values } from '../../src/lake/columns.ts';
import { silverPrefix } from '../../src/lake/keys.ts';
import { decodeTable } from '../../src/lake/parquet-decode.ts';
import { SILVER_SCHEMA } from '../../src/lake/silver.ts';
import type { ObjectStore } from '../../src/lake/store.ts';

/** Every bar is in exactly one group, and the group's values are made of its bars and no others (I5, I6). */
export async function checkGroups(
  store: ObjectStore,
  symbol: string,
  bars: Bars,
  intervals: readonly number[],
  report: (violation: string) => void,
): Promise<void> {
  for (const n of intervals) {
    const found = JSON.stringify(await readGroups(store, symbol, n));
    const expected = JSON.stringify(makeGroups(bars, n));
    if (found !== expected) report(`I5 ${symbol} has groups of ${n} ${found}, expected ${expected}`);
  }
}

/** First session, last session, open, high, low, close, volume, bars. */
type Group = readonly number[];

function makeGroups(bars: Bars, n: number): Group[] {
  const groups: Group[] = [];
  for (let from = 0; from < bars.session.length; from += n) {
    const { session, open, high, low, close, volume } = sliceBars(bars, from, Math.min(from + n, bars.session.length));
    const sum = volume.reduce((total, one) => total + one, 0);
    groups.push([
      session[0]!,
      session.at(-1)!,
      open[0]!,
      Math.max(...high),
      Math.min(...low),
      close.at(-1)!,
      sum,
      session.length,
    ]);
  }
  return groups;
}

const COLUMNS = ['date', 'end_date', 'open', 'high', 'low', 'close', 'volume', 'bars'];

async function readGroups(store: ObjectStore, symbol: string, n: number): Promise<Group[]> {
  const groups: Group[] = [];
  for await (const { key } of store.list(silverPrefix(n))) {
    const { columns } = decodeTable(SILVER_SCHEMA, (await store.get(key)).body, key);
    const symbols = decodeUtf8(columnOf<Utf8Values>(SILVER_SCHEMA, columns, 'symbol'));
    const values = COLUMNS.map((name) => columnOf<Float64Array>(SILVER_SCHEMA, columns, name));
    symbols.forEach((other, i) => {
      if (other === symbol) groups.push(values.map((column) => column[i]!));
    });
  }
  return groups;
}
