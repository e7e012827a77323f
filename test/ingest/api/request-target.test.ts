import { describe, expect, test } from 'vitest';
import { checkKey, checkOrigin, targetOf } from '../../../src/ingest/api/request-target.ts';

describe('checkKey', () => {
  test.each(['', ' ', 'a b', 'key\n', 'ключ', '\u0000', 'key\u00e9', undefined as unknown as string])(
    'refuses a key that is none: %j',
    (key) => {
      const advice = expect.stringContaining('POLYGON_API_KEY');
      expect(() => checkKey(key)).toThrow(expect.objectContaining({ code: 'BadInput', message: advice }));
    },
  );

  test('takes what is printable', () => {
    expect(checkKey('aZ0_-.~!"%')).toBe('aZ0_-.~!"%');
  });
});

describe('checkOrigin', () => {
  test.each([
    'http://api.massive.com',
    'http://127.0.0.2',
    'http://localhost.example',
    'http://127.0.0.1@example.com',
    'https://user:secret@api.massive.com',
    'https://api.massive.com/v3',
    'https://api.massive.com/?apiKey=secret',
    'https://api.massive.com/#x',
    'ftp://api.massive.com',
    'api.massive.com',
    '',
  ])('refuses a base URL over which the key would not be safe, and does not repeat it: %s', (baseUrl) => {
    const check = () => checkOrigin(baseUrl);
    expect(check).toThrow(expect.objectContaining({ code: 'BadInput' }));
    expect(check).not.toThrow('secret');
  });

  test.each([
    ['https://api.polygon.io', 'https://api.polygon.io'],
    ['https://API.massive.com:443/', 'https://api.massive.com'],
    ['http://localhost:8080', 'http://localhost:8080'],
    ['http://127.0.0.1', 'http://127.0.0.1'],
  ])('takes %s', (baseUrl, origin) => {
    expect(checkOrigin(baseUrl)).toBe(origin);
  });
});

describe('targetOf', () => {
  test.each([
    'v3',
    '',
    '/',
    '//evil.example/x',
    '/a//b',
    '/a/',
    '/a/../b',
    '/a/.',
    '/..',
    '/a?b=c',
    '/a#b',
    '/a b',
    '/a\r\nX: y',
    '/a\\b',
    '/ä',
    'http://evil.example/',
  ])('refuses a path that is none: %j', (path) => {
    expect(() => targetOf(path, {})).toThrow(expect.objectContaining({ code: 'BadInput' }));
  });

  test('does not repeat a query that was put into a path', () => {
    expect(() => targetOf('/a?apiKey=secret', {})).not.toThrow('secret');
  });

  test.each([
    '/v2/aggs/ticker/BRK.B/range/1/day/2026-01-01/2026-11-20',
    '/v3/reference/tickers/X%3ABTCUSD',
    '/v3/reference/tickers/...',
  ])('takes %s as it is', (path) => {
    expect(targetOf(path, { date: undefined })).toBe(path);
  });

  test('encodes the query, without what is undefined', () => {
    const query = { adjusted: false, limit: 50_000, 'ticker.gte': 'A&B =', date: undefined };
    expect(targetOf('/a', query)).toBe('/a?adjusted=false&limit=50000&ticker.gte=A%26B+%3D');
  });
});
