import { BatchLayerError } from '../errors.ts';
import type { MetadataSink } from '../ingest/reference/ingest-meta.ts';
import { metadataToColumns, SYMBOL_METADATA_SCHEMA } from '../ingest/reference/symbol-metadata.ts';
import type { Database } from './connection.ts';
import { stageRows } from './copy-rows.ts';
import { deleteOthersSql, upsertChangedSql } from './put-staged.ts';

const TABLE = 'symbol_metadata';
// Where no first session is known the row holds from ever: a key has no null.
const SELECTED = SYMBOL_METADATA_SCHEMA.map(({ name }) => {
  return name === 'valid_from' ? `coalesce(valid_from, '-infinity') AS valid_from` : name;
});
const ROWS = {
  table: TABLE,
  schema: SYMBOL_METADATA_SCHEMA,
  key: ['symbol', 'valid_from'],
  source: `(SELECT ${SELECTED.join(', ')} FROM staged)`,
};

/**
 * The table `symbol_metadata`: rows that are there already are not touched, rows that are not among those given are deleted.
 *
 * No rows at all are refused where the table has some, with `BadInput`: a lake that was emptied by mistake empties no database.
 *
 * @example
 * await ingestMeta(store, api, { sink: metadataSink(database) });
 */
export function metadataSink(database: Database): MetadataSink {
  return {
    async writeMetadata(rows, { signal }) {
      const columns = metadataToColumns(rows);
      await database.transaction(
        async (client) => {
          // Readers go on; another run waits.
          await client.query(`LOCK TABLE ${TABLE} IN SHARE ROW EXCLUSIVE MODE`);
          if (rows.length === 0) {
            const { rowCount } = await client.query(`SELECT FROM ${TABLE} LIMIT 1`);
            if (rowCount === 0) return;
            throw new BatchLayerError(
              'BadInput',
              `${database.place}: ${TABLE} is not emptied: there are no rows to put in the place of those it has; truncate it where that is meant`,
            );
          }
          await stageRows(client, SYMBOL_METADATA_SCHEMA, columns, { signal });
          await client.query(deleteOthersSql(ROWS));
          await client.query(upsertChangedSql(ROWS));
        },
        { signal },
      );
    },
  };
}
