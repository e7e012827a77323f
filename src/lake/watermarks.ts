import { hasCode } from '../errors.ts';
import { compareSymbols } from '../symbol.ts';
import { type Columns, columnOf, decodeUtf8, encodeUtf8, type TableSchema, type Utf8Values } from './columns.ts';
import { WATERMARKS_KEY } from './keys.ts';
import { encodeTable } from './parquet-encode.ts';
import { readIndex } from './read-index.ts';
import { conditionOf, type ObjectStore, type StoreCall } from './store.ts';

/** Columns of the watermarks in the lake. */
export const WATERMARK_SCHEMA: TableSchema = [
  { name: 'symbol', type: 'utf8' },
  { name: 'last_date', type: 'date', nullable: true },
  { name: 'checked_from', type: 'date', nullable: true },
  { name: 'checked_through', type: 'date', nullable: true },
];

/** How far a symbol is. */
export interface Watermark {
  readonly symbol: string;
  /** The last session whose bar is durable; −1 = none. */
  readonly lastSession: number;
  /** The symbol was asked for by itself from this session to that: what bars there are of them is durable. −1 = never. */
  readonly checkedFrom: number;
  readonly checkedThrough: number;
}

/** Where watermarks are kept. They are advanced when what they cover is durable, and never go back. */
export interface WatermarkStore {
  read(call?: StoreCall): Promise<ReadonlyMap<string, Watermark>>;
  /** Merges marks into those that are there; what other runs do at the same time is kept. */
  advance(marks: readonly Watermark[], call?: StoreCall): Promise<void>;
}

const MAX_ATTEMPTS = 20;

/** Watermarks as an object in the lake. One that is damaged counts as empty: work is done again, nothing is lost. */
export function lakeWatermarks(store: ObjectStore): WatermarkStore {
  const read = async (call?: StoreCall) => {
    const { columns, etag } = await readIndex(store, WATERMARKS_KEY, WATERMARK_SCHEMA, call);
    return { marks: columns ? decode(columns) : new Map<string, Watermark>(), etag };
  };
  return {
    read: async (call) => (await read(call)).marks,
    async advance(marks, { signal } = {}) {
      for (let attempt = 1; ; attempt++) {
        const { marks: merged, etag } = await read({ signal });
        let isChanged = false;
        for (const mark of marks) {
          const before = merged.get(mark.symbol);
          const after = mergeWatermarks(before, mark);
          isChanged ||= before === undefined || !isSame(before, after);
          merged.set(mark.symbol, after);
        }
        if (!isChanged) return;
        const sorted = [...merged.values()].sort((a, b) => compareSymbols(a.symbol, b.symbol));
        const { bytes } = encodeTable(WATERMARK_SCHEMA, marksToColumns(sorted));
        try {
          // Commit point: what the marks cover is in bronze by now.
          await store.put(WATERMARKS_KEY, bytes, { ...conditionOf(etag), signal });
          return;
        } catch (error) {
          if (!hasCode(error, 'Conflict') || attempt === MAX_ATTEMPTS) throw error;
        }
      }
    },
  };
}

/** Both marks in one: never further back than either. Of two ranges with a gap between them the later one stays. */
export function mergeWatermarks(a: Watermark | undefined, b: Watermark): Watermark {
  if (a === undefined) return b;
  const lastSession = Math.max(a.lastSession, b.lastSession);
  const [first, second] = a.checkedThrough <= b.checkedThrough ? [a, b] : [b, a];
  const isJoined = first.checkedFrom !== -1 && second.checkedFrom <= first.checkedThrough + 1;
  const checkedFrom = isJoined ? Math.min(first.checkedFrom, second.checkedFrom) : second.checkedFrom;
  return { symbol: a.symbol, lastSession, checkedFrom, checkedThrough: second.checkedThrough };
}

function isSame(a: Watermark, b: Watermark): boolean {
  return a.lastSession === b.lastSession && a.checkedFrom === b.checkedFrom && a.checkedThrough === b.checkedThrough;
}

/** Watermarks as a table. */
export function marksToColumns(marks: readonly Watermark[]): Columns {
  return {
    length: marks.length,
    values: [
      encodeUtf8(marks.map((mark) => mark.symbol)),
      Int32Array.from(marks, (mark) => mark.lastSession),
      Int32Array.from(marks, (mark) => mark.checkedFrom),
      Int32Array.from(marks, (mark) => mark.checkedThrough),
    ],
  };
}

function decode(columns: Columns): Map<string, Watermark> {
  const numbers = (name: string) => columnOf<Int32Array>(WATERMARK_SCHEMA, columns, name);
  const [last, from, through] = [numbers('last_date'), numbers('checked_from'), numbers('checked_through')];
  return new Map(
    decodeUtf8(columnOf<Utf8Values>(WATERMARK_SCHEMA, columns, 'symbol')).map((symbol, i) => [
      symbol,
      { symbol, lastSession: last[i]!, checkedFrom: from[i]!, checkedThrough: through[i]! },
    ]),
  );
}
