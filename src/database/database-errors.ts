import { BatchLayerError, type ErrorCode, messageOf } from '../errors.ts';

// Classes and codes of https://www.postgresql.org/docs/current/errcodes-appendix.html
const BY_CODE: Readonly<Record<string, readonly [code: ErrorCode, advice: string]>> = {
  '40001': ['Conflict', 'another transaction was faster; run it again'],
  '40P01': ['Conflict', 'another transaction was faster; run it again'],
  '55P03': ['Conflict', 'another transaction holds what it needs; run it again later'],
  '57014': ['Unavailable', 'it took too long; run it again later'],
  '25P03': ['Unavailable', 'it took too long; run it again later'],
  '22023': ['BadInput', 'check what was asked for'],
  '25000': ['BadInput', 'check what was asked for'],
  '55000': ['BadInput', 'check what was asked for'],
  '28P01': ['BadInput', 'check the user and the password'],
  '28000': ['BadInput', 'check the user, the password and whether TLS is wanted'],
  '3D000': ['BadInput', 'create the database, or name another'],
  '42P01': ['BadInput', 'run batch-layer db migrate'],
  '42703': ['BadInput', 'run batch-layer db migrate'],
  '42883': ['BadInput', 'run batch-layer db migrate'],
  '42501': ['BadInput', 'grant the role what docs/postgresql.md lists'],
  '53100': ['Unavailable', 'give the server more disk, then run it again'],
  '53300': ['Unavailable', 'give the server more connections, or run it again later'],
};
const BY_CLASS: Readonly<Record<string, readonly [code: ErrorCode, advice: string]>> = {
  '08': ['Unavailable', 'run it again later'],
  '22': ['BadInput', 'check the row'],
  '23': ['BadInput', 'check the row'],
  '53': ['Unavailable', 'run it again later'],
  '57': ['Unavailable', 'run it again later'],
  '58': ['Unavailable', 'look at the log of the server'],
  XX: ['CorruptObject', 'look at the log of the server'],
};
const TLS = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_TLS/;

interface PostgresError extends Error {
  readonly code?: string;
  readonly detail?: string;
  readonly hint?: string;
  readonly where?: string;
}

/** What the driver throws, as an error that says what to do. `place` names the server and the database. */
export function toDatabaseError(error: unknown, place: string): BatchLayerError {
  if (error instanceof BatchLayerError) return error;
  const { code: sqlState = '', detail, hint, where } = (error instanceof Error ? error : {}) as Partial<PostgresError>;
  const [code, advice] = kindOf(sqlState, messageOf(error));
  const parts = [messageOf(error), detail, where?.split('\n')[0]].filter(Boolean).join('; ');
  return new BatchLayerError(code, `${place}: ${parts || sqlState}: ${hint ?? advice}`, { cause: error });
}

function kindOf(sqlState: string, message: string): readonly [ErrorCode, string] {
  if (TLS.test(sqlState) || /does not support SSL/i.test(message)) {
    return [
      'BadInput',
      'the server has not proven who it is: give its authorities as sslrootcert, and the host as in its certificate',
    ];
  }
  const known = BY_CODE[sqlState] ?? (sqlState.length === 5 ? BY_CLASS[sqlState.slice(0, 2)] : undefined);
  if (known) return known;
  // A statement the server does not understand is a defect here; a connection that is gone has no code, or the system's.
  return sqlState.length === 5 && /^\d/.test(sqlState)
    ? ['BadInput', 'the server does not understand this']
    : ['Unavailable', 'check that the server runs and can be reached, then run it again'];
}
