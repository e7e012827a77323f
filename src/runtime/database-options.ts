import { Option } from 'commander';
import { type Database, openDatabase } from '../database/index.ts';
import { BatchLayerError } from '../errors.ts';
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

/** Opens the database, runs work and closes it again; without a URL or a secret there is none. */
export async function withOptionalDatabase<T>(
  url: string | undefined,
  { signal }: Pick<Context, 'signal'>,
  work: (database: Database | undefined) => Promise<T>,
): Promise<T> {
  if (!url && !process.env.RDS_SECRET_ARN) return work(undefined);
  const database = openDatabase(url || 'postgresql://', { login: await databaseLogin(process.env, signal) });
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

/** {@link withOptionalDatabase} for what cannot do without. */
export function withDatabase<T>(
  url: string | undefined,
  context: Pick<Context, 'signal'>,
  work: (database: Database) => Promise<T>,
): Promise<T> {
  return withOptionalDatabase(url, context, (database) => {
    if (database) return work(database);
    throw new BatchLayerError(
      'BadInput',
      'no database: give --db postgresql://user@host/name, or set DATABASE_URL or RDS_SECRET_ARN',
    );
  });
}
