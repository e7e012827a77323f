import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

/** By which the tests tell their own connections from those of what they test. */
export const APPLICATION_NAME = 'test-support';

const DATE = 1082;
const MAX_END_MS = 10_000;

const types: pg.CustomTypesConfig = {
  // The driver's would be a time in this machine's zone.
  getTypeParser: (oid, format) => (oid === DATE ? String : pg.types.getTypeParser(oid, format)),
};

/** Runs work on a connection that is there for it only; dates come as `2024-01-31`. */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    application_name: APPLICATION_NAME,
    connectionTimeoutMillis: 10_000,
    types,
  });
  // A connection that is lost is told by the query that needs it.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Ends a backend, and waits until it has rolled back. */
export async function killBackend(url: string, pid: number): Promise<void> {
  await withClient(url, async (client) => {
    const { rows } = await client.query('SELECT pg_terminate_backend($1) AS "isThere"', [pid]);
    if (!rows[0].isThere) throw new Error(`there is no backend ${pid}`);
    await untilNone(client, 'pid = $1', [pid]);
  });
}

/** Drops a database, and ends all connections to it. */
export async function dropDatabase(url: string, name: string): Promise<void> {
  await withClient(url, async (client) => {
    await client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [name]);
    await untilNone(client, 'datname = $1', [name]);
    await client.query(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
  });
}

// The server's own functions wait in steps of 100 ms.
async function untilNone(client: pg.Client, condition: string, params: readonly unknown[]): Promise<void> {
  const deadline = performance.now() + MAX_END_MS;
  for (;;) {
    const { rows } = await client.query(`SELECT pid, query FROM pg_stat_activity WHERE ${condition}`, [...params]);
    if (rows.length === 0) return;
    if (performance.now() > deadline) throw new Error(`does not end: ${JSON.stringify(rows)}`);
    await sleep(2);
  }
}
