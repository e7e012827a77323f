import { readFileSync } from 'node:fs';
import type { ClientConfig } from 'pg';
import { BatchLayerError, messageOf } from '../errors.ts';

/** Where a database is, and who asks. */
export interface DatabaseLogin {
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly database?: string | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
}

const MODES = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'];
const LOCAL = /^(?:localhost|127(?:\.\d+){3}|::1|\/.*)$/;

/**
 * What a PostgreSQL URL says, for the driver: `postgresql://user:password@host:port/database?sslrootcert=/path/ca.pem`.
 *
 * Everywhere but on this machine the connection is encrypted, and the server has to prove with a certificate for its host that
 * it is the one (verify-full); `sslrootcert` (or PGSSLROOTCERT) names the file of the authorities that are trusted in the place
 * of the system's, such as that of RDS. `sslmode` may ask for less than that only by `disable`. What the URL leaves out is
 * taken from `login`, then from the environment (PGHOST, PGUSER, PGPASSWORD and so on).
 *
 * @throws BatchLayerError `BadInput`, never with anything of the URL in it but the host
 */
export function parseDatabaseUrl(url: string, login: DatabaseLogin = {}, env = process.env): ClientConfig {
  const parsed = parse(url);
  const { searchParams } = parsed;
  if ([...searchParams.keys()].some((name) => name !== 'sslmode' && name !== 'sslrootcert')) {
    throw new BatchLayerError(
      'BadInput',
      "the database's URL has other parameters: expected sslmode and sslrootcert only",
    );
  }
  const host = hostOf(parsed) || login.host || env.PGHOST || 'localhost';
  return {
    host,
    port: portOf(parsed.port || login.port || env.PGPORT || 5432),
    database: decode(parsed.pathname.slice(1)) || login.database || env.PGDATABASE || 'postgres',
    ...definedOnly({
      user: decode(parsed.username) || login.user || env.PGUSER,
      password: decode(parsed.password) || login.password || env.PGPASSWORD,
    }),
    ssl: sslOf(host, {
      mode: searchParams.get('sslmode') || env.PGSSLMODE,
      caFile: searchParams.get('sslrootcert') || env.PGSSLROOTCERT,
    }),
  };
}

function portOf(port: string | number): number {
  const value = /^\d+$/.test(`${port}`) ? Number(port) : 0;
  if (value > 0 && value < 65_536) return value;
  throw new BatchLayerError(
    'BadInput',
    `the database's port is ${`${port}`.slice(0, 20)}: expected a number from 1 to 65535`,
  );
}

function parse(url: string): URL {
  // An @ behind the host: a character of the password that is not encoded ended it before.
  const isWhole = /^postgres(?:ql)?:\/\/[^/?#]*(?:[/?][^@#]*)?$/.test(url);
  const parsed = isWhole && URL.canParse(url) ? new URL(url) : undefined;
  if (parsed) return parsed;
  // Not the URL itself: there may be a password in it.
  throw new BatchLayerError(
    'BadInput',
    "the database's URL is none: expected postgresql://user@host:5432/database (special characters of a password percent-encoded)",
  );
}

function hostOf({ hostname }: URL): string {
  // IPv6 addresses are in brackets, folders of sockets percent-encoded.
  return decode(hostname.replace(/^\[(.*)\]$/, '$1'));
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new BatchLayerError('BadInput', "the database's URL has a % that begins no code: write it as %25");
  }
}

function sslOf(
  host: string,
  { mode, caFile }: { readonly mode: string | undefined; readonly caFile: string | undefined },
): NonNullable<ClientConfig['ssl']> {
  if (mode && !MODES.includes(mode)) {
    throw new BatchLayerError(
      'BadInput',
      `sslmode is ${mode.slice(0, 20)}: expected verify-full (the default) or disable`,
    );
  }
  if (mode === 'disable' || (!mode && !caFile && LOCAL.test(host))) return false;
  return { rejectUnauthorized: true, ...(caFile ? { ca: readCa(caFile) } : {}) };
}

function readCa(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new BatchLayerError(
      'BadInput',
      `${path}: cannot be read as the database's authorities: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}

function definedOnly<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;
}
