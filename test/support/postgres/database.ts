import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { inject, onTestFinished } from 'vitest';
import { APPLICATION_NAME, dropDatabase, killBackend, withClient } from './client.ts';

export interface TestDatabaseOptions {
  /** Whether it has the tables of the library's migrations. */
  readonly migrate?: boolean;
}

export interface TestDatabase {
  readonly url: string;
  /** Runs a statement on a connection of its own; dates come as `2024-01-31`. */
  readonly query: <Row = Record<string, unknown>>(sql: string, params?: readonly unknown[]) => Promise<Row[]>;
  /** How many clients are connected, these functions aside. */
  readonly connections: () => Promise<number>;
  /** How many clients wait for a lock. */
  readonly waiting: () => Promise<number>;
  /** Ends a backend, and waits until it has rolled back. */
  readonly kill: (pid: number) => Promise<void>;
}

// As embedded ones are, whatever server it is.
const EMPTY = "TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'";

/** A fresh database, on the server of the run, that is dropped when the test has finished. */
export async function createTestDatabase({ migrate = false }: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const { url: server, template } = inject('postgres');
  const name = `test_${randomUUID()}`;
  const url = urlOf(server, name);
  await withClient(server, async (client) => {
    if (migrate) await makeTemplate(client, server, template);
    await client.query(`CREATE DATABASE "${name}" ${migrate ? `TEMPLATE "${template}"` : EMPTY}`);
  });
  onTestFinished(() => dropDatabase(server, name));
  // Those of this database: tests of others are on the server at the same time.
  const countClients = (condition: string): Promise<number> =>
    withClient(server, async (client) => {
      const { rows } = await client.query(
        `SELECT count(*)::int AS n FROM pg_stat_activity
         WHERE datname = $1 AND backend_type = 'client backend' AND ${condition}`,
        [name],
      );
      return rows[0].n;
    });
  return {
    url,
    query: <Row>(sql: string, params: readonly unknown[] = []) =>
      withClient(url, async (client) => (await client.query(sql, [...params])).rows as Row[]),
    connections: () => countClients(`application_name <> '${APPLICATION_NAME}'`),
    waiting: () => countClients(`wait_event_type = 'Lock'`),
    kill: (pid) => killBackend(server, pid),
  };
}

/** Once a run, whichever of its workers comes first. */
async function makeTemplate(client: pg.Client, server: string, template: string): Promise<void> {
  await client.query('SELECT pg_advisory_lock(hashtextextended($1, 0))', [template]);
  const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [template]);
  if (rowCount === 0) {
    // Under its name only when it is whole.
    const draft = `${template}_draft`;
    await client.query(`DROP DATABASE IF EXISTS "${draft}" WITH (FORCE)`);
    await client.query(`CREATE DATABASE "${draft}" ${EMPTY}`);
    await migrateAt(urlOf(server, draft));
    await client.query(`ALTER DATABASE "${draft}" RENAME TO "${template}"`);
  }
  await client.query('SELECT pg_advisory_unlock_all()');
}

async function migrateAt(url: string): Promise<void> {
  const { openDatabase } = await import('../../../src/database/connection.ts');
  const { migrateDatabase } = await import('../../../src/database/migrate.ts');
  const database = openDatabase(url);
  try {
    await migrateDatabase(database);
  } finally {
    await database.close();
  }
}

function urlOf(server: string, database: string): string {
  const url = new URL(server);
  url.pathname = database;
  return url.href;
}
