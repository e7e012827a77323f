import { randomUUID } from 'node:crypto';
import { inject, onTestFinished } from 'vitest';
import { marketCalendar } from '../../src/calendar.ts';
import { fileStore } from '../../src/lake/file-store.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { formatSession, sessionAt } from '../../src/session.ts';
import { syntheticReplayMarket } from '../support/market/replay-market.ts';
import type { ReplayServer } from '../support/market/replay-server.ts';
import { withClient } from '../support/postgres/client.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres/database.ts';
import { openMarket } from '../support/replay-api.ts';
import { runCommand, type Variables } from '../support/run-command.ts';
import { temporaryFolder } from '../support/temporary.ts';

const TODAY = sessionAt(Date.now());
/** Long enough ago that nothing of them is corrected, and whenever the tests run the database keeps them. */
export const SESSIONS = marketCalendar().sessionsBetween(TODAY - 60, TODAY - 52);
export const MARKET = syntheticReplayMarket({ symbols: 11, sessions: SESSIONS });
export const DATES = ['--from', formatSession(SESSIONS[0]!), '--to', formatSession(SESSIONS.at(-1)!)];

/** What the environment of whoever runs the tests may have, and commands would take; the test runner has a MODE of its own. */
export const NO_DATABASE: Variables = Object.fromEntries(
  ['MODE', 'DATABASE_URL', 'RDS_SECRET_ARN', 'PGHOST', 'PGPORT', 'PGUSER', 'PGPASSWORD', 'PGDATABASE', 'PGSSLMODE'].map(
    (name) => [name, undefined],
  ),
);

/** A folder for a lake, and commands that are run on it. */
export async function createLake(env: Variables = {}) {
  const folder = await temporaryFolder();
  const store: ObjectStore = fileStore(folder);
  return {
    folder,
    store,
    run: (args: readonly string[], more: Variables = {}) =>
      runCommand([...args, '--lake', `file:${folder}`], { env: { ...NO_DATABASE, ...env, ...more } }),
  };
}

/** {@link createLake} with a market that commands fetch from. */
export async function createFetchedLake(market = MARKET) {
  const opened = await openMarket(market);
  return { ...(await createLake(apiVariables(opened.server))), ...opened };
}

export function apiVariables({ apiKey, url }: ReplayServer): Variables {
  return { POLYGON_API_KEY: apiKey, POLYGON_BASE_URL: url, POLYGON_RATE_LIMIT: '1000/s' };
}

/** A database of a user whose name and password can be looked for. */
export interface CanaryDatabase extends TestDatabase {
  readonly user: string;
  readonly password: string;
}

export async function createCanaryDatabase(options?: { readonly migrate?: boolean }): Promise<CanaryDatabase> {
  const { url: server } = inject('postgres');
  const [user, password] = [`CANARY_user_${randomUUID()}`, `CANARY_pw/%${randomUUID()}`];
  await withClient(server, (client) => client.query(`CREATE ROLE "${user}" SUPERUSER LOGIN PASSWORD '${password}'`));
  // When its database is gone: hooks are run in reverse.
  onTestFinished(() => withClient(server, (client) => client.query(`DROP ROLE "${user}"`)).then(() => undefined));
  const database = await createTestDatabase(options);
  const url = new URL(database.url);
  url.username = user;
  url.password = encodeURIComponent(password);
  return { ...database, url: url.href, user, password };
}
