import type { ClientBase } from 'pg';
import type { Columns } from '../lake/columns.ts';
import { isInShard, type Shard } from '../lake/shard.ts';
import { SILVER_SCHEMA } from '../lake/silver.ts';
import type { StoreCall } from '../lake/store.ts';
import { stageRows } from './copy-rows.ts';
import { deleteOthersSql, type StagedRows, upsertChangedSql, upsertSql } from './put-staged.ts';
import { monthDate, silverTable } from './silver-files.ts';

/** What became of rows. */
export interface RowCounts {
  readonly rowsWritten: number;
  readonly rowsUnchanged: number;
  readonly rowsDeleted: number;
}

interface NewRows extends StoreCall {
  readonly interval: number;
  readonly columns: Columns;
}

interface MonthRows extends NewRows {
  readonly month: number;
  /** Whose rows these are, all of them. */
  readonly shards: readonly Shard[];
}

/** Adds rows of months that a table has none of. */
export async function putNewRows(client: ClientBase, { interval, columns, signal }: NewRows): Promise<RowCounts> {
  await stageRows(client, SILVER_SCHEMA, columns, { signal });
  await client.query(upsertSql(stagedFor(interval)));
  await client.query('DROP TABLE staged');
  return { rowsWritten: columns.length, rowsUnchanged: 0, rowsDeleted: 0 };
}

/** Makes a month of a table have these rows; those that are there already are not touched. */
export async function putMonth(
  client: ClientBase,
  { interval, month, columns, shards, signal }: MonthRows,
): Promise<RowCounts> {
  const days = [monthDate(month), monthDate(month + 1)];
  const where = 't.date >= $1 AND t.date < $2';
  const rows: StagedRows = { ...stagedFor(interval), where };
  await stageRows(client, SILVER_SCHEMA, columns, { signal });
  const deleted = shards.some(({ count }) => count === 1)
    ? await client.query(deleteOthersSql(rows), days)
    : await client.query(deleteOthersSql({ ...rows, where: `${where} AND t.symbol = ANY($3)` }), [
        ...days,
        await symbolsOf(client, rows.table, days, shards),
      ]);
  const { rowCount } = await client.query(upsertChangedSql(rows), days);
  await client.query('DROP TABLE staged');
  const written = rowCount ?? 0;
  return { rowsWritten: written, rowsUnchanged: columns.length - written, rowsDeleted: deleted.rowCount ?? 0 };
}

function stagedFor(interval: number): StagedRows {
  return { table: silverTable(interval), schema: SILVER_SCHEMA, key: ['symbol', 'date'] };
}

/** Symbols of shards, of those that have rows in a month. */
async function symbolsOf(
  client: ClientBase,
  table: string,
  days: readonly string[],
  shards: readonly Shard[],
): Promise<readonly string[]> {
  const { rows } = await client.query<{ symbol: string }>(
    `SELECT DISTINCT symbol FROM ${table} WHERE date >= $1 AND date < $2`,
    [...days],
  );
  return rows.map(({ symbol }) => symbol).filter((symbol) => shards.some((shard) => isInShard(symbol, shard)));
}
