import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { BatchLayerError, messageOf } from '../errors.ts';
import type { Database } from './connection.ts';
import { toDatabaseError } from './database-errors.ts';

/** {@link migrateDatabase}'s options. */
export interface MigrateOptions {
  /** `down` takes back the last migration. */
  readonly direction?: 'up' | 'down';
  /** How many: all that are open going up, one going down. */
  readonly count?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Kept by node-pg-migrate. */
const MIGRATIONS_TABLE = 'schema_migrations';
const MIN_VERSION = 150_000;
const LOCK_TIMEOUT_MS = 30_000;

/**
 * Brings the schema of a database up to date: numbered SQL files, all that are open in one transaction. Of runs at the same time
 * one waits for the other; run again, it does nothing.
 *
 * @returns the names of the migrations that were made now
 * @throws BatchLayerError `BadInput` for a server before PostgreSQL 15, or a role that may not create tables; `Unavailable`
 */
export async function migrateDatabase(
  database: Database,
  { direction = 'up', count, signal }: MigrateOptions = {},
): Promise<readonly string[]> {
  const { place } = database;
  const client = await database.connect({ signal });
  const failure = firstFailure(client);
  try {
    // Whoever waits for a table keeps all that come later waiting.
    await client.query(`SET lock_timeout = ${LOCK_TIMEOUT_MS}`);
    const { rows } = await client.query('SHOW server_version_num');
    const version = Number(rows[0].server_version_num);
    if (version < MIN_VERSION) {
      throw new BatchLayerError(
        'BadInput',
        `${place}: is PostgreSQL ${Math.floor(version / 10_000)}: expected 15 or later`,
      );
    }
    // Most commands do without.
    const { runner } = await import('node-pg-migrate');
    const made = await runner({
      dbClient: client,
      dir: findMigrations(),
      migrationsTable: MIGRATIONS_TABLE,
      direction,
      ...(count === undefined ? {} : { count }),
      singleTransaction: true,
      advisoryLockMode: 'wait',
      logger: { info: ignore, warn: ignore, error: ignore },
    });
    return made.map(({ name }) => name);
  } catch (error) {
    signal?.throwIfAborted();
    const said = failure();
    if (said !== undefined || error instanceof BatchLayerError) throw toDatabaseError(said ?? error, place);
    throw new BatchLayerError('BadInput', `${place}: ${messageOf(error)}`, { cause: error });
  } finally {
    await client.end().catch(ignore);
  }
}

/** What the first statement to fail failed with: the runner tells of some in words of its own. */
function firstFailure(client: pg.Client): () => unknown {
  let failure: unknown;
  const query = client.query.bind(client) as (...statement: readonly unknown[]) => Promise<unknown>;
  const watched = async (...statement: readonly unknown[]): Promise<unknown> => {
    try {
      return await query(...statement);
    } catch (error) {
      failure ??= error;
      throw error;
    }
  };
  Object.assign(client, { query: watched });
  return () => failure;
}

function ignore(): void {}

// Beside this file, or beside the chunks it was built into.
function findMigrations(): string {
  const places = ['./migrations', './database/migrations'].map((path) => fileURLToPath(new URL(path, import.meta.url)));
  const found = places.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new BatchLayerError('BadInput', `${places[0]}: is missing: bundle the package's migrations beside its code`);
}
