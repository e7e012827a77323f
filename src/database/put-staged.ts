import type { TableSchema } from '../lake/columns.ts';

/** Rows that were staged, on their way into a table whose columns are those of `schema`. */
export interface StagedRows {
  readonly table: string;
  readonly schema: TableSchema;
  /** The columns that name a row. */
  readonly key: readonly string[];
  /** What the rows are selected from, where they are not quite as they were staged. */
  readonly source?: string;
  /** Which rows `t` of the table may have the keys; all where left out. */
  readonly where?: string;
}

/** SQL that inserts rows, each in the place of the one that has its key. */
export function upsertSql({ table, schema, key, source = 'staged' }: StagedRows, unless = ''): string {
  const names = schema.map(({ name }) => name);
  const values = valuesOf(schema, key);
  return `INSERT INTO ${table} (${names.join(', ')}) SELECT ${names.join(', ')} FROM ${source} AS s ${unless}
    ON CONFLICT (${key.join(', ')}) DO UPDATE SET (${values.join(', ')}) = ROW(${list(values, 'excluded')})`;
}

/** {@link upsertSql} of those rows that are not there: the others are not even locked, which would be a write of each. */
export function upsertChangedSql(rows: StagedRows): string {
  const { table, schema, key } = rows;
  const values = valuesOf(schema, key);
  return upsertSql(
    rows,
    `WHERE NOT EXISTS (SELECT FROM ${table} AS t WHERE ${sameKey(rows)}
      AND (${list(values, 't')}) IS NOT DISTINCT FROM (${list(values, 's')}))`,
  );
}

/** SQL that deletes the rows whose key was not staged. */
export function deleteOthersSql(rows: StagedRows): string {
  const { table, source = 'staged', where = 'true' } = rows;
  return `DELETE FROM ${table} AS t WHERE ${where} AND NOT EXISTS (SELECT FROM ${source} AS s WHERE ${sameKey(rows)})`;
}

function sameKey({ key, where = 'true' }: StagedRows): string {
  return [...key.map((name) => `t.${name} = s.${name}`), where].join(' AND ');
}

function valuesOf(schema: TableSchema, key: readonly string[]): readonly string[] {
  return schema.map(({ name }) => name).filter((name) => !key.includes(name));
}

function list(names: readonly string[], of: string): string {
  return names.map((name) => `${of}.${name}`).join(', ');
}
