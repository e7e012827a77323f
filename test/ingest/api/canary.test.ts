import { inspect } from 'node:util';
import { gzipSync } from 'node:zlib';
import { expect, test, vi } from 'vitest';
import { BatchLayerError } from '../../../src/errors.ts';
import { type MarketApiOptions, openMarketApi } from '../../../src/ingest/api/market-api.ts';
import { type Answer, openTestApi, startServer, startTcpServer } from './test-server.ts';

const KEY = 'CANARY-s3cr3t-0123456789';
/** No part of it either. */
const TRACES = /CANARY|s3cr3t|0123456789/;
const PATH = '/v3/reference/tickers';

const same = (answer: unknown): unknown => answer;
const json = (answer: unknown): string => JSON.stringify(answer);

/** Servers that repeat the key wherever they can. */
const TELLTALES: Record<string, Answer> = {
  'in its errors': (response) =>
    response
      .writeHead(401, KEY, { 'x-key': KEY })
      .end(json({ status: KEY, error: `Unknown API Key ${KEY}`, message: KEY })),
  'in a refusal': (response) => response.writeHead(403).end(json({ status: 'NOT_AUTHORIZED', message: `${KEY}: no` })),
  'where the text is cut': (response) =>
    response.writeHead(400).end(json({ status: 'ERROR', error: `${'x'.repeat(280)}${KEY}${KEY}` })),
  'again and again': (response) => response.writeHead(400).end(json({ error: KEY.repeat(500) })),
  'with what is left out between': (response) =>
    response.writeHead(400).end(json({ error: [...KEY].join('\u200b').replaceAll('\u200b', '\u0000') })),
  'in an error inside': (response) => response.end(json({ status: 'ERROR', error: KEY })),
  'in a status inside': (response) => response.end(json({ status: KEY })),
  'in a failure': (response) => response.writeHead(500).end(`<html>Bearer ${KEY}</html>`),
  'in too many calls': (response) => response.writeHead(429, { 'retry-after': KEY }).end(KEY),
  'in a redirect': (response) => response.writeHead(302, { location: `https://127.0.0.1/?apiKey=${KEY}` }).end(),
  'in no JSON': (response) => response.end(`Bearer ${KEY}`),
  'in half of JSON': (response) => response.end(`{"key": "${KEY}`),
  'in a packed body that is cut': (response) =>
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(KEY).subarray(0, -4)),
  'in its encoding': (response) => response.writeHead(200, { 'content-encoding': KEY }).end('{}'),
  'in a body that is cut': (response) => {
    response.writeHead(200, { 'content-length': 1000 }).write(KEY);
    setTimeout(() => response.destroy(), 10);
  },
  'in a body that does not end': (response) => response.writeHead(200).write(KEY),
  'in no head at all': () => undefined,
  'and goes': (response) => response.destroy(),
};

function expectNoTrace(error: unknown): void {
  const shown = [
    String(error),
    inspect(error, { depth: Infinity, showHidden: true, getters: true }),
    JSON.stringify(error),
    ...(error instanceof Error
      ? [error.message, error.stack ?? '', json(Object.getOwnPropertyDescriptors(error))]
      : []),
  ];
  for (const text of shown) expect(text).not.toMatch(TRACES);
}

async function failureOf(baseUrl: string, options: Partial<MarketApiOptions> = {}): Promise<unknown> {
  const api = openTestApi(baseUrl, { apiKey: KEY, attemptTimeoutMs: 200, maxAttempts: 2, ...options });
  expectNoTrace(api);
  const call = api.get(PATH, { limit: 1 }, same);
  const error = await call.then(
    () => expect.unreachable(),
    (failure: unknown) => failure,
  );
  expectNoTrace(error);
  return error;
}

test.each(Object.entries(TELLTALES))('the key is in no error, though the server repeats it %s', async (_, answer) => {
  const printed = ['log', 'warn', 'error', 'info', 'debug'].map((name) => vi.spyOn(console, name as 'log'));
  const warned = vi.spyOn(process, 'emitWarning');
  const server = await startServer(answer);
  expect(await failureOf(server.baseUrl)).toBeInstanceOf(BatchLayerError);
  for (const spy of [...printed, warned]) {
    expect(spy).not.toHaveBeenCalled();
    spy.mockRestore();
  }
  expect(server.received.length).toBeGreaterThan(0);
  for (const { url, headers } of server.received) {
    expect(url).not.toMatch(TRACES);
    const { authorization, ...others } = headers;
    expect(authorization).toBe(`Bearer ${KEY}`);
    expect(json(others)).not.toMatch(TRACES);
  }
});

test.each([
  ['malformed HTTP', `HTTP/1.1 ${KEY}\r\n\r\n`],
  ['a malformed header', `HTTP/1.1 200 OK\r\n${KEY} x\r\n\r\n`],
  ['malformed chunks', `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${KEY}\r\n`],
  ['a length that is none', `HTTP/1.1 200 OK\r\ncontent-length: ${KEY}\r\n\r\n`],
  ['too large a head', `HTTP/1.1 200 OK\r\nx: ${KEY.repeat(5000)}\r\n\r\n`],
])('the key is in no error of the HTTP client: %s', async (_, text) => {
  const port = await startTcpServer((socket) => socket.end(text));
  expect(await failureOf(`http://127.0.0.1:${port}`)).toMatchObject({ code: 'Unavailable' });
});

test('the key is in no error of a server that is none, or speaks no TLS', async () => {
  const port = await startTcpServer((socket) => socket.end(KEY));
  for (const baseUrl of ['http://127.0.0.1:9', `https://127.0.0.1:${port}`]) {
    expect(await failureOf(baseUrl)).toMatchObject({ code: 'Unavailable' });
  }
});

test('the key is in no error of paging, wherever next_url leads', async () => {
  for (const next_url of [`https://x/?apiKey=${KEY}`, `https://x/?cursor=${KEY}&apiKey=${KEY}`, `${KEY}`]) {
    const server = await startServer((response) => response.end(json({ results: [], next_url })));
    const api = openTestApi(server.baseUrl, { apiKey: KEY, maxAttempts: 2 });
    const pages = api.pages(PATH, {}, same);
    await pages.next().catch(expectNoTrace);
    await pages.next().catch(expectNoTrace);
  }
});

test('the key is in no error of options and of calls that misuse it', async () => {
  const options: MarketApiOptions[] = [
    { apiKey: `${KEY} ` },
    { apiKey: `${KEY}\n` },
    { apiKey: `Bearer ${KEY}` },
    { apiKey: KEY, baseUrl: `https://${KEY}@api.massive.com` },
    { apiKey: KEY, baseUrl: `https://api.massive.com/?apiKey=${KEY}` },
    { apiKey: KEY, baseUrl: KEY },
    { apiKey: KEY, maxAttempts: 0 },
  ];
  for (const each of options) {
    try {
      openMarketApi(each);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: 'BadInput' });
      expectNoTrace(error);
    }
  }
  const server = await startServer((response) => response.writeHead(400).end());
  const api = openTestApi(server.baseUrl, { apiKey: KEY });
  for (const [path, query] of [
    [`${PATH}?apiKey=${KEY}`, {}],
    [PATH, { apiKey: KEY }],
  ] as const) {
    const error = await api.get(path, query, same).catch((failure: unknown) => failure);
    expect(error).toMatchObject({ code: 'BadInput' });
    expectNoTrace(error);
  }
});
