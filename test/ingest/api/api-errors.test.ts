import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BatchLayerError } from '../../../src/errors.ts';
import { networkError, refusalError, refusalText, statusInside } from '../../../src/ingest/api/api-errors.ts';
import { backOffMs } from '../../../src/ingest/api/back-off.ts';

const PATH = '/v3/reference/tickers';

describe('refusalError', () => {
  test.each([
    [400, 'BadInput'],
    [401, 'BadInput'],
    [403, 'NotEntitled'],
    [404, 'NotFound'],
    [408, 'Unavailable'],
    [409, 'BadInput'],
    [422, 'BadInput'],
    [429, 'Unavailable'],
    [451, 'BadInput'],
    [500, 'Unavailable'],
    [503, 'Unavailable'],
    [599, 'Unavailable'],
    [204, 'Unavailable'],
    [301, 'BadInput'],
    [304, 'BadInput'],
    [308, 'BadInput'],
  ])('%i is %s', (status, code) => {
    const error = refusalError(PATH, { status, said: `${status} boom` });
    expect(error).toMatchObject({ code, message: expect.stringMatching(`^${PATH}: .*\\(${status} boom\\)$`) });
  });

  test('a wrong key is told where to be set', () => {
    expect(refusalError(PATH, { status: 401, said: '401' }).message).toContain('POLYGON_API_KEY');
  });

  test.each(["Attempted to request today's data before end of day.", 'BEFORE THE END OF THE DAY'])(
    'what the plan does not include today may be there tomorrow: %s',
    (text) => {
      const error = refusalError(PATH, { status: 403, said: `403 ${text}` });
      expect(error.code).toBe('Unavailable');
      expect(backOffMs(1, error, () => 0)).toBeUndefined();
      expect(refusalError(PATH, { status: 400, said: `400 ${text}` }).code).toBe('BadInput');
    },
  );
});

describe('statusInside', () => {
  test.each([
    [{ status: 'OK' }, 200],
    [{ status: 'DELAYED' }, 200],
    [{ results: [] }, 200],
    [[{ status: 'closed' }], 200],
    [{ status: 7 }, 200],
    [null, 200],
    ['OK', 200],
    [{ status: 'NOT_AUTHORIZED' }, 403],
    [{ status: 'NOT_FOUND' }, 404],
    [{ status: 'ERROR' }, 500],
    [{ status: 'ok' }, 500],
    [{ status: '' }, 500],
    [{ status: 'constructor' }, 500],
    [{ status: '__proto__' }, 500],
  ])('%j: %i', (answer, status) => {
    expect(statusInside(answer)).toBe(status);
  });
});

describe('refusalText', () => {
  test.each([
    [{ status: 'ERROR', error: 'Unknown API Key' }, 'ERROR: Unknown API Key'],
    [{ status: 'NOT_AUTHORIZED', message: 'not entitled' }, 'NOT_AUTHORIZED: not entitled'],
    [{ message: 'one', error: 'two' }, 'one: two'],
    [{ message: 'same', error: 'same' }, 'same'],
    [{ message: 7, error: { deep: true } }, ''],
    [undefined, ''],
    [null, ''],
    ['<html>', ''],
  ])('%j: %s', (answer, text) => {
    expect(refusalText(answer, 'secret')).toBe(text);
  });

  test('is one bounded line without control characters and without the secret', () => {
    const noise = fc.constantFrom(
      '\n',
      '\r',
      '\u001b[31m',
      '\u202e',
      '\u2028',
      '\u0000',
      '\ud800',
      ' ',
      'secret',
      'text',
      '😀',
    );
    const texts = fc.array(noise, { maxLength: 300, size: 'max' }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(texts, texts, (message, error) => {
        const text = refusalText({ message, error }, 'secret');
        expect(text).not.toContain('secret');
        expect(text).not.toMatch(/\p{Cc}|\p{Cf}|\p{Cs}|\p{Zl}/u);
        expect(text.length).toBeLessThanOrEqual(300);
      }),
      { seed: 31, numRuns: 1000 },
    );
  });
});

describe('networkError', () => {
  const failed = (code: string, name = 'Error') => Object.assign(new Error('it failed'), { code, name, data: 'wire' });

  test.each([
    ['ECONNRESET', 'Unavailable'],
    ['ENOTFOUND', 'Unavailable'],
    ['EAI_AGAIN', 'Unavailable'],
    ['EPIPE', 'Unavailable'],
    ['UND_ERR_SOCKET', 'Unavailable'],
    ['UND_ERR_CONNECT_TIMEOUT', 'Unavailable'],
    ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', 'Unavailable'],
    ['HPE_INVALID_CONSTANT', 'Unavailable'],
    ['ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', 'Unavailable'],
    ['ERR_TLS_HANDSHAKE_TIMEOUT', 'Unavailable'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'BadInput'],
    ['CERT_HAS_EXPIRED', 'BadInput'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'BadInput'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'BadInput'],
  ])('%s is %s', (code, expected) => {
    const error = networkError(PATH, failed(code)) as BatchLayerError;
    expect(error).toBeInstanceOf(BatchLayerError);
    expect(error).toMatchObject({ code: expected, message: expect.stringContaining(`${PATH}: `) });
    expect(error.message).toContain(`(${code} it failed)`);
    expect(error.cause).toBeUndefined();
  });

  test('what the parser throws has no code', () => {
    const error = Object.assign(new Error('no HTTP'), { name: 'HTTPParserError', code: undefined });
    expect(networkError(PATH, error)).toMatchObject({ code: 'Unavailable' });
  });

  test.each([
    new TypeError('a bug'),
    new Error('a bug'),
    failed('UND_ERR_INVALID_ARG'),
    failed('ERR_INVALID_ARG_TYPE'),
    new BatchLayerError('Conflict', 'its own'),
    'text',
    undefined,
  ])('is as it is where it is none of the network: %s', (error) => {
    expect(networkError(PATH, error)).toBe(error);
  });
});
