import { BatchLayerError, type ErrorCode, messageOf } from '../errors.ts';

// Classes and codes of https://www.postgresql.org/docs/current/errcodes-appendix.html
const BY_CODE: Readonly<Record<string, readonly [code: ErrorCode, advice: string]>> = {
  '40001': ['Conflict', 'another transaction was faster; run it again'],
  '40P01': ['Conflict', 'another transaction was faster; run it again'],
  '55P03': ['Conflict', 'another transaction holds what it needs; run it again later'],
  '57014': ['Unavailable', 'it took too long; run it again later'],
  '25006': ['Unavailable', 'name the server that may be written to, or wait until it is promoted'],
  '25P03': ['Unavailable', 'it took too long; run it again later'],
  '25P04': ['Unavailable', 'it took too long; run it again later'],
  '22023': ['BadInput', 'check what was asked for'],
  '25000': ['BadInput', 'check what was asked for'],
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
  P0: ['BadInput', 'check the row'],
  XX: ['CorruptObject', 'look at the log of the server'],
};
const TLS = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_TLS/;
/** The system's codes that are as long, such as EPIPE, have no digit. */
const SQLSTATE = /^(?=.*\d)[0-9A-Z]{5}$/;

interface PostgresError extends Error {
  readonly code?: string;
  readonly detail?: string;
  readonly hint?: string;
  readonly where?: string;
}

/** What the driver throws, as an error that says what to do. `place` names the server and the database; no user is named. */
export function toDatabaseError(error: unknown, place: string): BatchLayerError {
  if (error instanceof BatchLayerError) return error;
  const { code: sqlState = '', detail, hint, where } = (error instanceof Error ? error : {}) as Partial<PostgresError>;
  const said = messageOf(error).replace(/\b(user|role) "[^"]*"/g, '$1');
  const [code, advice] = kindOf(sqlState, said, hint);
  const parts = [said, detail?.replace(/\.$/, ''), where?.split('\n')[0]].filter(Boolean).join('; ');
  return new BatchLayerError(code, `${place}: ${parts || sqlState}: ${advice}`, { cause: error });
}

function kindOf(sqlState: string, message: string, hint: string | undefined): readonly [ErrorCode, string] {
  if (TLS.test(sqlState) || /does not support SSL/i.test(message)) {
    return [
      'BadInput',
      'the server has not proven who it is: give its authorities as sslrootcert, and the host as in its certificate',
    ];
  }
  // The driver's, where the server asks for a password and there is none, or the server's answer to it is wrong.
  if (message.startsWith('SASL')) return ['BadInput', 'check the user and the password'];
  // A connection that is gone has no code, or the system's.
  if (!SQLSTATE.test(sqlState)) {
    return ['Unavailable', 'check that the server runs and can be reached, then run it again'];
  }
  return BY_CODE[sqlState] ?? BY_CLASS[sqlState.slice(0, 2)] ?? ['BadInput', hint ?? 'check what was asked for'];
}
