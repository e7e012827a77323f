import { onTestFinished } from 'vitest';
import { type Clock, systemClock } from '../../src/clock.ts';
import { type Database, type DatabaseOptions, openDatabase } from '../../src/database/connection.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres/database.ts';

export interface OpenTestDatabase extends TestDatabase {
  readonly database: Database;
}

// Tests need not wait before the next try.
const clock: Clock = { ...systemClock, sleep: (ms, call) => systemClock.sleep(ms > 2000 ? ms : 0, call) };

/** Opens a database, to be closed when the test has finished. */
export function openUntilFinished(url: string, options: DatabaseOptions = {}): Database {
  const database = openDatabase(url, { clock, ...options });
  onTestFinished(() => database.close());
  return database;
}

/** A fresh database with the tables of the library. */
export async function openTestDatabase(options: DatabaseOptions = {}): Promise<OpenTestDatabase> {
  const test = await createTestDatabase({ migrate: true });
  return { ...test, database: openUntilFinished(test.url, options) };
}

/** Every row of a table with its place and the transactions that made and locked it: other ones tell that it was touched. */
export async function versionsOf({ query }: TestDatabase, table: string): Promise<readonly string[]> {
  const rows = await query<{ version: string }>(
    `SELECT format('%s %s %s %s', t.ctid, t.xmin, t.xmax, t) AS version FROM ${table} AS t ORDER BY t.ctid`,
  );
  return rows.map(({ version }) => version);
}
