import { connect } from 'node:net';
import { DatabaseError } from 'pg';
import { expect, test } from 'vitest';
import { toDatabaseError } from '../../src/database/database-errors.ts';
import { BatchLayerError, type ErrorCode } from '../../src/errors.ts';

const PLACE = 'db.example.com:5432/market';

/** What a server says, as the driver throws it. */
function said(code: string, message: string, fields: Partial<DatabaseError> = {}): DatabaseError {
  return Object.assign(new DatabaseError(message, message.length, 'error'), { code, ...fields });
}

const SQL_STATES: readonly (readonly [sqlState: string, code: ErrorCode, advice: string])[] = [
  ['40001', 'Conflict', 'another transaction was faster; run it again'],
  ['40P01', 'Conflict', 'another transaction was faster; run it again'],
  ['55P03', 'Conflict', 'another transaction holds what it needs; run it again later'],
  ['57014', 'Unavailable', 'it took too long; run it again later'],
  ['25P03', 'Unavailable', 'it took too long; run it again later'],
  ['25P04', 'Unavailable', 'it took too long; run it again later'],
  ['25006', 'Unavailable', 'name the server that may be written to, or wait until it is promoted'],
  ['57P01', 'Unavailable', 'run it again later'],
  ['57P03', 'Unavailable', 'run it again later'],
  ['08006', 'Unavailable', 'run it again later'],
  ['53100', 'Unavailable', 'give the server more disk, then run it again'],
  ['53200', 'Unavailable', 'run it again later'],
  ['53300', 'Unavailable', 'give the server more connections, or run it again later'],
  ['53400', 'Unavailable', 'run it again later'],
  ['58030', 'Unavailable', 'look at the log of the server'],
  ['XX001', 'CorruptObject', 'look at the log of the server'],
  ['28P01', 'BadInput', 'check the user and the password'],
  ['28000', 'BadInput', 'check the user, the password and whether TLS is wanted'],
  ['3D000', 'BadInput', 'create the database, or name another'],
  ['42501', 'BadInput', 'grant the role what docs/postgresql.md lists'],
  ['42P01', 'BadInput', 'run batch-layer db migrate'],
  ['42703', 'BadInput', 'run batch-layer db migrate'],
  ['42883', 'BadInput', 'run batch-layer db migrate'],
  ['22023', 'BadInput', 'check what was asked for'],
  ['25000', 'BadInput', 'check what was asked for'],
  ['55000', 'BadInput', 'check what was asked for'],
  ['22P02', 'BadInput', 'check the row'],
  ['23514', 'BadInput', 'check the row'],
  ['P0001', 'BadInput', 'check the row'],
  ['42601', 'BadInput', 'check what was asked for'],
  ['0A000', 'BadInput', 'check what was asked for'],
];

test.each(SQL_STATES)('what the server says with %s is %s: %s', (sqlState, code, advice) => {
  const cause = said(sqlState, 'it says so');
  const error = toDatabaseError(cause, PLACE);
  expect(error).toBeInstanceOf(BatchLayerError);
  expect(error).toMatchObject({ code, message: `${PLACE}: it says so: ${advice}`, cause });
});

test('a row is named by the detail, a statement by where it was', () => {
  const cause = said('23514', 'violates check constraint "positive"', {
    detail: 'Failing row contains (AAPL, 2026-03-02).',
    where: 'COPY staged, line 3\nSQL statement "INSERT"',
  });
  expect(toDatabaseError(cause, PLACE).message).toBe(
    `${PLACE}: violates check constraint "positive"; Failing row contains (AAPL, 2026-03-02); COPY staged, line 3: check the row`,
  );
});

test('what the server advises is told where nothing better is known', () => {
  const hint = 'Copy them elsewhere';
  expect(toDatabaseError(said('55000', 'has the only bars', { hint }), PLACE).message).toBe(
    `${PLACE}: has the only bars: Copy them elsewhere`,
  );
  expect(toDatabaseError(said('42883', 'no such function', { hint }), PLACE).message).toMatch(
    /run batch-layer db migrate$/,
  );
});

test.each([
  'password authentication failed for user "batch_writer"',
  'no pg_hba.conf entry for host "10.0.0.1", user "batch_writer", database "market", no encryption',
  'role "batch_writer" does not exist',
  'too many connections for role "batch_writer"',
])('no user is named: %s', (message) => {
  const error = toDatabaseError(said('28000', message), PLACE);
  expect(error.message).not.toContain('batch_writer');
  expect(error.message).toContain(message.split(' ')[0]);
});

const SYSTEM: readonly (readonly [code: string, message: string, expected: ErrorCode])[] = [
  ['ECONNREFUSED', 'connect ECONNREFUSED 127.0.0.1:5432', 'Unavailable'],
  ['ENOTFOUND', 'getaddrinfo ENOTFOUND db.example.com', 'Unavailable'],
  ['EPIPE', 'write EPIPE', 'Unavailable'],
  ['EBUSY', 'EBUSY: busy', 'Unavailable'],
  ['', 'Connection terminated unexpectedly', 'Unavailable'],
  ['', 'timeout exceeded when trying to connect', 'Unavailable'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'self-signed certificate in certificate chain', 'BadInput'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'self-signed certificate', 'BadInput'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'unable to verify the first certificate', 'BadInput'],
  ['CERT_HAS_EXPIRED', 'certificate has expired', 'BadInput'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', "Hostname/IP does not match certificate's altnames", 'BadInput'],
  ['', 'The server does not support SSL connections', 'BadInput'],
  ['', 'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string', 'BadInput'],
];

test.each(SYSTEM)('what the system and the driver say (%s: %s) is %s', (code, message, expected) => {
  const cause = Object.assign(new Error(message), code === '' ? {} : { code });
  expect(toDatabaseError(cause, PLACE)).toMatchObject({
    code: expected,
    message: expect.stringContaining(message),
    cause,
  });
});

test('a server that is down on both addresses of localhost is told, though the system leaves its message empty', async () => {
  const cause = await new Promise<Error>((resolve) =>
    connect({
      host: 'localhost',
      port: 1,
      autoSelectFamily: true,
      lookup: (_host, _options, done) => {
        const both = [
          { address: '::1', family: 6 },
          { address: '127.0.0.1', family: 4 },
        ];
        done(null, both as never, 0);
      },
    }).once('error', resolve),
  );
  expect(cause).toBeInstanceOf(AggregateError);
  expect(cause.message).toBe('');
  expect(toDatabaseError(cause, PLACE)).toMatchObject({
    code: 'Unavailable',
    // The latter two where there is no IPv6.
    message: expect.stringMatching(
      /^db.example.com:5432\/market: (ECONNREFUSED|EADDRNOTAVAIL|EAFNOSUPPORT): check that the server runs/,
    ),
  });
});

test.each([['gone'], [undefined], [null], [{ code: '53100' }], [42]])(
  'whatever else is thrown (%j) is an error',
  (thrown) => {
    const error = toDatabaseError(thrown, PLACE);
    expect(error).toMatchObject({ code: 'Unavailable', cause: thrown });
    expect(error.message).toContain(String(thrown));
  },
);

test('an error of this library stays as it is', () => {
  const error = new BatchLayerError('CorruptObject', 'raw/AAPL.parquet: is damaged');
  expect(toDatabaseError(error, PLACE)).toBe(error);
});
