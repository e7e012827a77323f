import { archiveBars, migrateDatabase, mirrorSilver, openDatabase, reconcile } from '../database/index.ts';
import { messageOf } from '../errors.ts';
import type { ObjectStore } from '../lake/index.ts';
import type { OnProgress } from '../progress.ts';
import { formatSession } from '../session.ts';
import { type PostgresServer, startEmbedded } from './embedded-postgres.ts';

const DAY_MS = 86_400_000;
/** The retention runs so much later, and finds two months to archive. */
const LATER_MS = 62 * DAY_MS;

export interface DemoDatabaseOptions {
  /** URL of the database; else one is started, and gone in the end. */
  readonly db?: string | undefined;
  /** The last session of the lake: what is recent is told by it, in days since 1970-01-01. */
  readonly lastSession: number;
  /** Runs a step and tells what it came to. */
  readonly time: <T>(step: string, work: () => Promise<T>, describe: (result: T) => string) => Promise<T>;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Brings what is recent of a lake, and silver, into PostgreSQL, and archives what two months later would be too old.
 *
 * @returns why there is no database, where there is none
 */
export async function fillDatabase(
  store: ObjectStore,
  { db, lastSession, time, onProgress, signal }: DemoDatabaseOptions,
): Promise<string | undefined> {
  let server: PostgresServer | undefined;
  try {
    if (!db) server = await startEmbedded();
  } catch (error) {
    return `${messageOf(error)}; --db names another server`;
  }
  const database = openDatabase(db ?? server!.url);
  const now = () => (lastSession + 1) * DAY_MS;
  const call = { onProgress, signal };
  try {
    await time(
      'PostgreSQL: migrate',
      () => migrateDatabase(database),
      (made) => `${made.length} migrations`,
    );
    await time(
      'PostgreSQL: reconcile',
      () => reconcile(store, database, { now, ...call }),
      ({ bars, written }) => `${bars} bars of three years before ${formatSession(lastSession)}, ${written} written`,
    );
    await time(
      'PostgreSQL: silver',
      () => mirrorSilver(store, database, call),
      ({ intervals }) => `${intervals.reduce((sum, { rowsWritten }) => sum + rowsWritten, 0)} groups written`,
    );
    await time(
      'PostgreSQL: retention',
      () => archiveBars(database, { apply: true, now: () => now() + LATER_MS, ...call }),
      ({ months, rows }) => `two months later: ${rows} bars of ${months.length} months archived`,
    );
    return undefined;
  } finally {
    await database.close();
    await server?.stop();
  }
}
