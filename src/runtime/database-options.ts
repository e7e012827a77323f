import { Option } from 'commander';
import { bindLake, type Database, type DatabaseLogin, openDatabase } from '../database/index.ts';
import { BatchLayerError } from '../errors.ts';
import type { ObjectStore } from '../lake/index.ts';
import type { Context } from './command.ts';
import { databaseLogin } from './secrets.ts';

/** What a command's help says of the database. */
export const DATABASE_HELP = `The database is PostgreSQL 15 or later, its schema made by batch-layer db migrate. User and password may be in the URL, in PGUSER and
PGPASSWORD, or in AWS Secrets Manager under RDS_SECRET_ARN. But for this machine the connection is TLS, and the server is verified
(verify-full): ?sslrootcert=ca.pem names the authorities, such as those of RDS.`;

/** `--db`. Not checked as it is read: what is wrong with it would be printed with its password. */
export function databaseOption(): Option {
  // Commander shows where an option comes from, not its value.
  return new Option('--db <url>', 'PostgreSQL, such as postgresql://writer@host/market').env('DATABASE_URL');
}

/** Opens the database, runs work and closes it again. */
export async function withDatabase<T>(
  url: string | undefined,
  { signal }: Pick<Context, 'signal'>,
  work: (database: Database) => Promise<T>,
): Promise<T> {
  if (!isConfigured(url)) {
    throw new BatchLayerError(
      'BadInput',
      'no database: give --db postgresql://user@host/name, or set DATABASE_URL or RDS_SECRET_ARN',
    );
  }
  const database = open(url, await loginFor(url, signal));
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

/**
 * {@link withDatabase} for a job on a lake that brings a database up to it as well; without a URL or a secret there is none. One that
 * cannot be had, or is that of another lake, fails whatever it is asked for, at once, and does not fail the job.
 *
 * @throws BatchLayerError `BadInput` for a URL that is none
 */
export async function withMirror<T>(
  url: string | undefined,
  store: ObjectStore,
  { signal }: Pick<Context, 'signal'>,
  work: (database: Database | undefined) => Promise<T>,
): Promise<T> {
  if (!isConfigured(url)) return work(undefined);
  const login = await orFailure(() => loginFor(url, signal), signal);
  const hasLogin = !(login instanceof BatchLayerError);
  // Also without a login: a URL that is none is wrong usage.
  const database = open(url, hasLogin ? login : undefined);
  try {
    const bound = hasLogin ? await orFailure(() => bindLake(store, database, { signal }), signal) : login;
    return await work(bound instanceof BatchLayerError ? failingDatabase(bound) : database);
  } finally {
    await database.close();
  }
}

function isConfigured(url: string | undefined): boolean {
  return Boolean(url || process.env.RDS_SECRET_ARN);
}

function open(url: string | undefined, login: DatabaseLogin | undefined): Database {
  return openDatabase(url || 'postgresql://', { login });
}

async function loginFor(url: string | undefined, signal: AbortSignal | undefined): Promise<DatabaseLogin | undefined> {
  const hasPassword = url !== undefined && URL.canParse(url) && new URL(url).password !== '';
  return hasPassword ? undefined : databaseLogin(process.env, signal);
}

async function orFailure<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T | BatchLayerError> {
  try {
    return await work();
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof BatchLayerError) return error;
    throw error;
  }
}

function failingDatabase(error: BatchLayerError): Database {
  const fail = () => Promise.reject(error);
  return { place: 'no database', transaction: fail, connect: fail, close: () => Promise.resolve() };
}
