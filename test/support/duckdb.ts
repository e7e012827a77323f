import { DuckDBInstance } from '@duckdb/node-api';

/** Runs one statement in a fresh in-memory DuckDB and gives its rows, as DuckDB's own values turned to JavaScript's. */
export async function queryDuckDB(sql: string): Promise<Record<string, unknown>[]> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  try {
    const reader = await connection.runAndReadAll(sql);
    return reader.getRowObjectsJS() as Record<string, unknown>[];
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}
