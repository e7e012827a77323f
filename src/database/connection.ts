import { Socket } from 'node:net';
import pg from 'pg';
import { checkCount } from '../check-count.ts';
import { type Clock, systemClock } from '../clock.ts';
import { BatchLayerError, hasCode } from '../errors.ts';
import { untilAborted } from '../lake/abortable.ts';
import type { StoreCall } from '../lake/store.ts';
import { fullJitterMs, withTimeout } from '../retry.ts';
import { toDatabaseError } from './database-errors.ts';
import { type DatabaseLogin, parseDatabaseUrl } from './database-url.ts';

/** {@link openDatabase}'s options. */
export interface DatabaseOptions {
  /** What the URL leaves out, such as user and password from a secret. */
  readonly login?: DatabaseLogin | undefined;
  /** How long a try of a transaction may take, the wait for a connection included. */
  readonly timeoutMs?: number | undefined;
  /** How long a statement waits for another transaction's lock. */
  readonly lockTimeoutMs?: number | undefined;
  readonly clock?: Clock | undefined;
}

/** A PostgreSQL database, from version 15 on. */
export interface Database {
  /** Server and database, for messages; no user, no password. */
  readonly place: string;
  /**
   * Runs `work` in a transaction (READ COMMITTED) on a connection of its own. Where it loses a race, or the connection,
   * all of it is done again, three times at most: `work` must come to the same when it was committed before.
   *
   * @throws BatchLayerError and nothing is changed: `Unavailable`, `Conflict` (locks, deadlocks), `BadInput` (credentials,
   * permissions, migrations that are missing, rows that are wrong); the signal's reason
   */
  transaction<T>(work: (client: pg.ClientBase) => Promise<T>, call?: StoreCall): Promise<T>;
  /** A connection of its own, without time limits, that the caller ends; the signal ends it at once. */
  connect(call?: StoreCall): Promise<pg.Client>;
  /** Ends the other connections. */
  close(): Promise<void>;
}

const NAMED = { application_name: 'batch-layer', keepAlive: true };
const MAX_CONNECTIONS = 4;
const CONNECT_TIMEOUT_MS = 10_000;
const IDLE_TIMEOUT_MS = 10_000;
const MAX_ATTEMPTS = 3;
const DELAY = { baseMs: 100, maxMs: 2_000, random: Math.random };

/**
 * Opens a database; the first transaction connects.
 *
 * @throws BatchLayerError `BadInput` for a URL that is none
 * @example
 * const database = openDatabase('postgresql://writer@db.example.com/market?sslrootcert=rds-ca.pem');
 */
export function openDatabase(
  url: string,
  { login, timeoutMs = 60_000, lockTimeoutMs = 5_000, clock = systemClock }: DatabaseOptions = {},
): Database {
  checkCount('timeoutMs', timeoutMs, 1);
  checkCount('lockTimeoutMs', lockTimeoutMs, 1);
  const config = parseDatabaseUrl(url, login);
  const place = `${config.host}:${config.port}/${config.database}`;
  // The pool does not tell which connection it opens; one that is wanted no more must not wait for an answer.
  let opened: Socket | undefined;
  const pool = new pg.Pool({
    ...config,
    ...NAMED,
    stream: () => {
      opened = new Socket();
      return opened;
    },
    max: MAX_CONNECTIONS,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
    allowExitOnIdle: true,
  });
  // A connection that is lost while nobody uses it: the pool drops it.
  pool.on('error', () => undefined);

  // Not as parameters of the connection: poolers such as RDS Proxy refuse them.
  const begin = `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = ${timeoutMs}; SET LOCAL lock_timeout = ${lockTimeoutMs};
    SET LOCAL idle_in_transaction_session_timeout = ${timeoutMs}`;
  const connect = async (signal: AbortSignal): Promise<pg.PoolClient> => {
    const before = opened;
    const connecting = pool.connect();
    const socket = opened === before ? undefined : opened;
    try {
      return await untilAborted(connecting, signal);
    } catch (error) {
      // The driver leaves it open where it has no password to give.
      socket?.destroy();
      // One that comes too late is given back.
      connecting.then(
        (client) => client.release(socket !== undefined),
        () => undefined,
      );
      throw error;
    }
  };
  const attempt = async <T>(work: (client: pg.ClientBase) => Promise<T>, signal: AbortSignal): Promise<T> => {
    const client = await connect(signal);
    let isWhole = false;
    try {
      const result = await whileOpen(client, signal, async () => {
        await client.query(begin);
        const made = await work(client);
        const { command } = await client.query('COMMIT');
        if (command !== 'COMMIT') {
          throw new BatchLayerError(
            'BadInput',
            `${place}: rolled back: the work went on after a statement that failed`,
          );
        }
        return made;
      });
      isWhole = true;
      return result;
    } finally {
      // After any failure the connection goes, and the server rolls back.
      client.release(!isWhole);
    }
  };

  let closed: Promise<void> | undefined;
  return {
    place,
    async transaction(work, { signal } = {}) {
      const lateError = () => new BatchLayerError('Unavailable', `${place}: no answer in ${timeoutMs / 1000} s`);
      for (let tries = 1; ; tries++) {
        signal?.throwIfAborted();
        try {
          return await withTimeout((timed) => attempt(work, timed), { timeoutMs, lateError, clock, signal });
        } catch (error) {
          signal?.throwIfAborted();
          // A defect is no matter of the database.
          if (error instanceof TypeError || error instanceof RangeError) throw error;
          const failure = toDatabaseError(error, place);
          if (!hasCode(failure, 'Unavailable', 'Conflict') || tries === MAX_ATTEMPTS) throw failure;
        }
        await clock.sleep(fullJitterMs(tries, DELAY), { signal });
      }
    },
    async connect({ signal } = {}) {
      signal?.throwIfAborted();
      const socket = new Socket();
      const abort = () => socket.destroy();
      signal?.addEventListener('abort', abort, { once: true });
      socket.once('close', () => signal?.removeEventListener('abort', abort));
      const client = new pg.Client({
        ...config,
        ...NAMED,
        stream: () => socket,
        connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      });
      client.on('error', () => undefined);
      try {
        await client.connect();
      } catch (error) {
        socket.destroy();
        signal?.throwIfAborted();
        throw toDatabaseError(error, place);
      }
      return client;
    },
    close: () => {
      closed ??= pool.end();
      return closed;
    },
  };
}

/** Runs work on a connection; when the signal is aborted its socket is closed, so that whatever waits for an answer ends. */
async function whileOpen<T>(client: pg.ClientBase, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const { stream } = (client as unknown as { readonly connection: { readonly stream: Socket } }).connection;
  const abort = () => stream.destroy();
  // The connection may be lost between two queries: what waits for it then is the next one.
  const ignore = () => undefined;
  client.on('error', ignore);
  signal.addEventListener('abort', abort, { once: true });
  try {
    signal.throwIfAborted();
    return await untilAborted(work(), signal);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
    client.off('error', ignore);
  }
}
