import { randomUUID } from 'node:crypto';
import type { TestProject } from 'vitest/node';
import { dropDatabase, withClient } from './client.ts';
import { startPostgres } from './server.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The server that all tests of a run share. */
    readonly postgres: {
      readonly url: string;
      /** The database that migrated ones are copies of, once a test has made it. */
      readonly template: string;
    };
  }
}

/** Starts the server of a run; what it returns stops it. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { url, stop } = await startPostgres();
  const template = `test_template_${randomUUID()}`;
  project.provide('postgres', { url, template });
  return async () => {
    // A server that the tests did not start goes on.
    const names = await withClient(url, (client) =>
      client.query('SELECT datname AS name FROM pg_database WHERE starts_with(datname, $1)', [template]),
    );
    for (const { name } of names.rows) await dropDatabase(url, name);
    await stop();
  };
}
