import type { ClientBase } from 'pg';
import {
  marksToColumns,
  mergeWatermarks,
  WATERMARK_SCHEMA,
  type Watermark,
  type WatermarkStore,
} from '../lake/watermarks.ts';
import { compareSymbols } from '../symbol.ts';
import type { Database } from './connection.ts';
import { stageRows } from './copy-rows.ts';
import { upsertSql } from './put-staged.ts';

const UPSERT = upsertSql({ table: 'watermarks', schema: WATERMARK_SCHEMA, key: ['symbol'] });
const DAYS = ['last_date', 'checked_from', 'checked_through'].map((name) => `${name} - date '1970-01-01' AS ${name}`);
const SELECT = `SELECT symbol, ${DAYS.join(', ')} FROM watermarks`;

interface WatermarkRow {
  readonly symbol: string;
  readonly last_date: number | null;
  readonly checked_from: number | null;
  readonly checked_through: number | null;
}

/**
 * Watermarks in a database. They are of the lake that it belongs to: see {@link bindLake}, to be called first.
 *
 * @example
 * const marks = await databaseWatermarks(database).read();
 */
export function databaseWatermarks(database: Database): WatermarkStore {
  return {
    read: (call) => database.transaction(async (client) => bySymbol(await select(client)), call),
    async advance(marks, { signal } = {}) {
      const symbols = [...new Set(marks.map(({ symbol }) => symbol))].sort(compareSymbols);
      const changesNow = async (client: ClientBase) => {
        return mergeAll(bySymbol(await select(client, symbols)), marks);
      };
      const advanceNow = async (client: ClientBase): Promise<void> => {
        if ((await changesNow(client)).length === 0) return;
        // Readers go on; other writers wait, so that what is merged is what is there.
        await client.query('LOCK TABLE watermarks IN SHARE ROW EXCLUSIVE MODE');
        const changed = await changesNow(client);
        if (changed.length === 0) return;
        await stageRows(client, WATERMARK_SCHEMA, marksToColumns(changed), { signal });
        await client.query(UPSERT);
      };
      // Commit point: what the marks cover is in bronze by now.
      await database.transaction(advanceNow, { signal });
    },
  };
}

async function select(client: ClientBase, symbols?: readonly string[]): Promise<readonly Watermark[]> {
  const { rows } = symbols
    ? await client.query<WatermarkRow>(`${SELECT} WHERE symbol = ANY($1)`, [symbols])
    : await client.query<WatermarkRow>(SELECT);
  return rows.map(({ symbol, last_date, checked_from, checked_through }) => ({
    symbol,
    lastSession: last_date ?? -1,
    checkedFrom: checked_from ?? -1,
    checkedThrough: checked_through ?? -1,
  }));
}

function bySymbol(marks: readonly Watermark[]): Map<string, Watermark> {
  return new Map(marks.map((mark) => [mark.symbol, mark]));
}

/** The marks that are others when all are merged. */
function mergeAll(before: ReadonlyMap<string, Watermark>, marks: readonly Watermark[]): readonly Watermark[] {
  const merged = new Map(before);
  for (const mark of marks) merged.set(mark.symbol, mergeWatermarks(merged.get(mark.symbol), mark));
  return [...merged.values()].filter((mark) => {
    const known = before.get(mark.symbol);
    return (
      mark.lastSession !== known?.lastSession ||
      mark.checkedFrom !== known.checkedFrom ||
      mark.checkedThrough !== known.checkedThrough
    );
  });
}
