import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { Clock } from '../../../src/clock.ts';
import { BatchLayerError } from '../../../src/errors.ts';
import { openMarketApi, parseRateLimit } from '../../../src/ingest/api/market-api.ts';
import { mostWithin } from './rolling-window.ts';
import {
  type Answer,
  API_KEY,
  openTestApi,
  sendJson,
  startServer,
  startTcpServer,
  type TestServer,
} from './test-server.ts';

const PATH = '/v2/aggs/grouped/locale/us/market/stocks/2026-11-20';
const MIB = 2 ** 20;

const same = (answer: unknown): unknown => answer;
const hang: Answer = () => undefined;

/** Attempts have no end, and waits take no time but on the clock. */
function recordingClock(): Clock & { readonly waits: number[] } {
  const waits: number[] = [];
  let now = Date.parse('Sat, 21 Nov 2026 06:00:00 GMT');
  return {
    waits,
    now: () => now,
    async sleep(ms, { signal } = {}) {
      signal?.throwIfAborted();
      if (ms === 30_000)
        return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
      waits.push(ms);
      now += ms;
    },
  };
}

describe('an answer', () => {
  test('is what read makes of it; the key goes in one header, and undefined values not at all', async () => {
    const server = await startServer((response) => sendJson(response, { status: 'OK', results: [1] }));
    const api = openTestApi(server.baseUrl);
    const query = { adjusted: false, limit: 50_000, sort: 'asc', 'ticker.gte': 'A&B =', date: undefined };
    const read = (answer: unknown) => (answer as { results: number[] }).results;
    expect(await api.get(PATH, query, read)).toEqual([1]);
    const [{ url, headers }] = server.received as [(typeof server.received)[0]];
    expect(url).toBe(`${PATH}?adjusted=false&limit=50000&sort=asc&ticker.gte=A%26B+%3D`);
    expect(headers).toMatchObject({ authorization: `Bearer ${API_KEY}`, 'accept-encoding': 'gzip' });
    expect(api.metrics()).toEqual({ calls: 1, retries: 0, bytesRead: 29 });
  });

  test.each(['gzip', 'GZIP', 'x-gzip'])('may be packed, and is counted as it came: %s', async (encoding) => {
    const results = Array.from({ length: 20_000 }, (_, i) => ({ T: `T${i}`, c: i / 7 }));
    const packed = gzipSync(JSON.stringify({ status: 'DELAYED', results }));
    const server = await startServer((response) =>
      response.writeHead(200, { 'content-encoding': encoding }).end(packed),
    );
    const api = openTestApi(server.baseUrl);
    expect(await api.get(PATH, {}, same)).toEqual({ status: 'DELAYED', results });
    expect(api.metrics().bytesRead).toBe(packed.length);
  });

  test.each([[[]], [[{ date: '2026-11-26', status: 'closed' }]], [null], [{}]])(
    'may have no status: %j',
    async (answer) => {
      const server = await startServer((response) => sendJson(response, answer));
      expect(await openTestApi(server.baseUrl).get(PATH, {}, same)).toEqual(answer);
    },
  );

  test('calls share connections, also after errors', async () => {
    const server = await startServer((response, _, count) => sendJson(response, {}, count % 2 === 0 ? 404 : 200));
    const api = openTestApi(server.baseUrl);
    for (let i = 0; i < 20; i++) await api.get(PATH, {}, same).catch(() => undefined);
    expect(server.received).toHaveLength(20);
    // The one before may not be quite over.
    expect(new Set(server.received.map(({ port }) => port)).size).toBeLessThanOrEqual(2);
  });
});

describe('is sent again', () => {
  const packed = gzipSync(JSON.stringify({ results: 'x'.repeat(1000) }));
  const failures: Record<string, Answer> = {
    'status 408': (response) => sendJson(response, {}, 408),
    'status 429 without a body': (response) => response.writeHead(429, { 'retry-after': '0' }).end(),
    'status 500': (response) => sendJson(response, { status: 'ERROR', error: 'boom' }, 500),
    'status 502 of a proxy': (response) => response.writeHead(502).end('<html>Bad Gateway</html>'),
    'status 503': (response) => response.writeHead(503).end(),
    'status 504': (response) => response.writeHead(504).end(),
    'status 204': (response) => response.writeHead(204).end(),
    'an error inside': (response) => sendJson(response, { status: 'ERROR', error: 'boom' }),
    'an unknown status inside': (response) => sendJson(response, { status: 'PARTIAL', results: [] }),
    'a connection that is cut': (response) => response.destroy(),
    'a body cut by its length': (response) => {
      response.writeHead(200, { 'content-length': 100 }).write('{"results":');
      setTimeout(() => response.destroy(), 10);
    },
    'a body cut between chunks': (response) => {
      response.writeHead(200).write('{"results": []}');
      setTimeout(() => response.destroy(), 10);
    },
    'a packed body that is cut': (response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(packed.subarray(0, -20)),
    'a packed body that is damaged': (response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(Buffer.from(packed).fill(7, 12, 20)),
    'an encoding not asked for': (response) => response.writeHead(200, { 'content-encoding': 'br' }).end('{}'),
    'half of JSON': (response) => response.end('{"results": ['),
    'no JSON': (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>maintenance</html>'),
    'no UTF-8': (response) => response.end(Buffer.from([0x22, 0xff, 0x22])),
    'an empty body': (response) => response.end(),
    'a refusal cut on its way': (response) => {
      response.writeHead(403, { 'content-length': 9 }).write('{');
      setTimeout(() => response.destroy(), 10);
    },
  };
  const silences: Record<string, Answer> = {
    'a head that does not come': hang,
    'a body that does not come': (response) => response.writeHead(200).write('{'),
    'a refusal that does not come whole': (response) => response.writeHead(403).write('{'),
  };
  const all = [
    ...Object.entries(failures).map(([name, answer]) => [name, answer, 30_000] as const),
    ...Object.entries(silences).map(([name, answer]) => [name, answer, 250] as const),
  ];

  test.each(all)('%s', async (_, answer, attemptTimeoutMs) => {
    const server = await startServer((response, request, count) => {
      if (count === 1) answer(response, request, count);
      else sendJson(response, { results: [count] });
    });
    const api = openTestApi(server.baseUrl, { attemptTimeoutMs });
    expect(await api.get(PATH, {}, same)).toEqual({ results: [2] });
    expect(api.metrics()).toMatchObject({ calls: 2, retries: 1 });
  });

  test.each(all)('no more often than it may: %s', async (_, answer, attemptTimeoutMs) => {
    const server = await startServer(answer);
    const api = openTestApi(server.baseUrl, { attemptTimeoutMs, maxAttempts: 3 });
    await expect(api.get(PATH, { limit: 1 }, same)).rejects.toMatchObject({
      code: 'Unavailable',
      message: expect.stringMatching(`^${PATH}: `),
    });
    expect(server.received).toHaveLength(3);
  });

  test('malformed HTTP, and no server at all', async () => {
    const port = await startTcpServer((socket) => socket.end('HTTP/1.1 nonsense\r\n\r\n'));
    for (const baseUrl of [`http://127.0.0.1:${port}`, 'http://127.0.0.1:9']) {
      const api = openTestApi(baseUrl, { maxAttempts: 2 });
      await expect(api.get(PATH, {}, same)).rejects.toMatchObject({ code: 'Unavailable' });
      expect(api.metrics()).toEqual({ calls: 2, retries: 1, bytesRead: 0 });
    }
  });

  test('what read finds incomplete', async () => {
    const server = await startServer((response, _, count) => sendJson(response, { results: count < 3 ? null : [1] }));
    const api = openTestApi(server.baseUrl);
    const read = (answer: unknown) => {
      const { results } = answer as { results: unknown };
      if (results === null) throw new BatchLayerError('Unavailable', 'incomplete');
      return results;
    };
    expect(await api.get(PATH, {}, read)).toEqual([1]);
    expect(api.metrics().retries).toBe(2);
  });
});

describe('is not sent again', () => {
  const refusals: [string, Answer, string, string][] = [
    ['400', (response) => sendJson(response, { status: 'ERROR', error: 'bad date' }, 400), 'BadInput', 'bad date'],
    [
      '401',
      (response) => sendJson(response, { status: 'ERROR', error: 'Unknown API Key' }, 401),
      'BadInput',
      'Unknown',
    ],
    [
      '401 whose body is cut',
      (response) => response.writeHead(401, { 'content-length': 9 }).write('{', () => response.destroy()),
      'BadInput',
      'POLYGON_API_KEY',
    ],
    [
      '403',
      (response) => sendJson(response, { status: 'NOT_AUTHORIZED', message: 'not entitled to this data' }, 403),
      'NotEntitled',
      'not entitled to this data',
    ],
    [
      '403 of today',
      (response) => sendJson(response, { status: 'NOT_AUTHORIZED', message: "today's data Before End Of Day" }, 403),
      'Unavailable',
      'try again later',
    ],
    [
      '403 inside 200',
      (response) => sendJson(response, { status: 'NOT_AUTHORIZED', message: 'no' }),
      'NotEntitled',
      'no',
    ],
    ['404', (response) => response.writeHead(404).end(), 'NotFound', '(404)'],
    ['404 inside 200', (response) => sendJson(response, { status: 'NOT_FOUND' }), 'NotFound', '(200 NOT_FOUND)'],
    ['409', (response) => response.writeHead(409).end('<html>'), 'BadInput', '(409)'],
    ['418', (response) => response.writeHead(418).end(Buffer.alloc(MIB)), 'BadInput', '(418)'],
    ['301', (response) => response.writeHead(301, { location: '/elsewhere' }).end(), 'BadInput', 'redirect'],
    ['302', (response) => response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end(), 'BadInput', 'redirect'],
    ['307', (response) => response.writeHead(307, { location: '/elsewhere' }).end(), 'BadInput', 'redirect'],
    ['304', (response) => response.writeHead(304).end(), 'BadInput', 'redirect'],
    [
      'a wait of more than five minutes',
      (response) => response.writeHead(429, { 'retry-after': '301' }).end(),
      'Unavailable',
      'too many calls',
    ],
    [
      'a wait of a day',
      (response) => response.writeHead(503, { 'retry-after': '86400' }).end(),
      'Unavailable',
      'the API failed',
    ],
  ];

  test.each(refusals)('%s', async (_, answer, code, text) => {
    const server = await startServer(answer);
    const api = openTestApi(server.baseUrl);
    await expect(api.get(PATH, { limit: 1 }, same)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(`^${PATH}: `),
    });
    await expect(api.get(PATH, { limit: 1 }, same)).rejects.toThrow(text);
    expect(server.received).toHaveLength(2);
  });

  test('401 whose body does not come', async () => {
    const server = await startServer((response) => response.writeHead(401).write('{'));
    const api = openTestApi(server.baseUrl, { attemptTimeoutMs: 250 });
    await expect(api.get(PATH, {}, same)).rejects.toMatchObject({ code: 'BadInput' });
    expect(server.received).toHaveLength(1);
  });

  test('what is too large, packed or not', async () => {
    const bomb = gzipSync(Buffer.alloc(65 * MIB, ' '), { level: 1 });
    const server = await startServer((response, { url }) => {
      if (url === '/packed') {
        response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb);
        return;
      }
      response.writeHead(200);
      for (let i = 0; i < 65; i++) response.write(Buffer.alloc(MIB, ' '));
      response.end();
    });
    const api = openTestApi(server.baseUrl);
    for (const path of ['/packed', '/plain']) {
      await expect(api.get(path, {}, same)).rejects.toMatchObject({
        code: 'BadInput',
        message: `${path}: the answer has more than 67108864 bytes; ask for less`,
      });
    }
    expect(server.received).toHaveLength(2);
  });

  test('what read throws otherwise, as it is', async () => {
    const server = await startServer((response) => sendJson(response, {}));
    const bug = new TypeError('bug');
    const reading = openTestApi(server.baseUrl).get(PATH, {}, () => {
      throw bug;
    });
    await expect(reading).rejects.toBe(bug);
    expect(server.received).toHaveLength(1);
  });
});

describe('waits', () => {
  test.each([
    ['seconds', { 'retry-after': '7' }, [7000, 7000]],
    ['a date', { 'retry-after': 'Sat, 21 Nov 2026 06:00:09 GMT' }, [9000, 0]],
    [
      'a date by the server’s own time',
      { 'retry-after': 'Sat, 21 Nov 2026 03:00:04 GMT', date: 'Sat, 21 Nov 2026 03:00:00 GMT' },
      [4000, 4000],
    ],
    ['nothing', {}, [2000, 4000]],
    ['nonsense', { 'retry-after': 'soon' }, [2000, 4000]],
  ])('as long as the answer to too many calls says: %s', async (_, headers, waits) => {
    const server = await startServer((response, __, count) => {
      response.sendDate = false;
      if (count > 2) return sendJson(response, {});
      response.writeHead(429, headers).end();
    });
    const clock = recordingClock();
    await openTestApi(server.baseUrl, { clock }).get(PATH, {}, same);
    expect(clock.waits).toEqual(waits);
  });

  test('after other failures for a random time, and for what the answer says besides', async () => {
    const server = await startServer((response, _, count) => {
      if (count > 4) return sendJson(response, {});
      response.writeHead(503, count === 3 ? { 'retry-after': '5' } : {}).end();
    });
    const clock = recordingClock();
    await openTestApi(server.baseUrl, { clock, random: () => 0.5 }).get(PATH, {}, same);
    expect(clock.waits).toEqual([125, 250, 5500, 1000]);
  });

  test('too many calls of one are too many of all', async () => {
    const server = await startServer((response, _, count) => {
      if (count > 1) return sendJson(response, {});
      response.writeHead(429, { 'retry-after': '1' }).end();
    });
    const api = openTestApi(server.baseUrl);
    const first = api.get('/first', {}, same);
    while (api.metrics().calls === 0 || server.received.length === 0) await new Promise(setImmediate);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await Promise.all([first, ...Array.from({ length: 5 }, (_, i) => api.get(`/other${i}`, {}, same))]);
    const [refused, ...others] = server.received.map(({ at }) => at) as [number, ...number[]];
    expect(others).toHaveLength(6);
    for (const at of others) expect(at - refused).toBeGreaterThanOrEqual(1000);
  });
});

describe('rate limit', () => {
  test.each([
    ['answers', () => false],
    ['failures, which are sent again', (count: number) => count % 3 === 0],
  ])('no window of 250 ms has more than 20 requests, as the server sees them: %s', async (_, isFailure) => {
    const server = await startServer((response, __, count) => {
      // Without a pattern, and the same each time.
      setTimeout(() => sendJson(response, {}, isFailure(count) ? 500 : 200), (count * 7919) % 60);
    });
    const api = openTestApi(server.baseUrl, { rateLimit: { calls: 20, perMs: 250 } });
    const from = performance.now();
    await Promise.all(Array.from({ length: 100 }, () => api.get(PATH, {}, same)));
    const times = server.received.map(({ at }) => at);
    expect(times.length).toBeGreaterThanOrEqual(100);
    expect(api.metrics().calls).toBe(times.length);
    expect(mostWithin(times, 250)).toBeLessThanOrEqual(20);
    // It is made use of as well: an answer takes up to 60 ms, which the next in its place has to wait for.
    expect(performance.now() - from).toBeLessThan(Math.ceil(times.length / 20) * (250 + 60) + 3000);
  });

  test('nor where the network holds some of them back on their way', async () => {
    const server = await startServer((response) => sendJson(response, {}));
    const api = openTestApi(await delayRequests(server, (i) => (i < 20 ? 200 : 0)), {
      rateLimit: { calls: 20, perMs: 250 },
    });
    await Promise.all(Array.from({ length: 60 }, () => api.get(PATH, {}, same)));
    expect(server.received).toHaveLength(60);
    expect(
      mostWithin(
        server.received.map(({ at }) => at),
        250,
      ),
    ).toBeLessThanOrEqual(20);
  });

  test('a request that comes to nothing does not keep its place', async () => {
    const server = await startServer((response) => response.destroy());
    const api = openTestApi(server.baseUrl, { rateLimit: { calls: 1, perMs: 5 }, maxAttempts: 4 });
    await expect(api.get(PATH, {}, same)).rejects.toMatchObject({ code: 'Unavailable' });
    expect(server.received).toHaveLength(4);
  });
});

/** Passes on what is sent to a server, the requests later; those are counted from 0. */
async function delayRequests({ baseUrl }: TestServer, delayMs: (request: number) => number): Promise<string> {
  const { port } = new URL(baseUrl);
  let count = 0;
  const proxy = await startTcpServer((socket) => {
    const upstream = connect(Number(port), '127.0.0.1');
    upstream.on('error', () => undefined).pipe(socket);
    // Each is small enough to come in one piece.
    socket.on('data', (request) => setTimeout(() => upstream.write(request), delayMs(count++)));
    socket.on('close', () => upstream.destroy());
  });
  return `http://127.0.0.1:${proxy}`;
}

describe('options', () => {
  test.each([
    { apiKey: 'a b' },
    { baseUrl: 'http://api.massive.com' },
    { maxAttempts: 0 },
    { maxAttempts: 1.5 },
    { attemptTimeoutMs: 0 },
    { attemptTimeoutMs: Number.POSITIVE_INFINITY },
    { attemptTimeoutMs: 2 ** 31 },
    { rateLimit: { calls: 0, perMs: 1000 } },
    { rateLimit: { calls: 5, perMs: -1 } },
  ])('refuses %j', (options) => {
    expect(() => openMarketApi({ apiKey: API_KEY, ...options })).toThrow(expect.objectContaining({ code: 'BadInput' }));
  });

  test('a path that is none is not sent', async () => {
    const server = await startServer((response) => sendJson(response, {}));
    await expect(openTestApi(server.baseUrl).get('/a/../b', {}, same)).rejects.toMatchObject({ code: 'BadInput' });
    expect(server.received).toEqual([]);
  });

  test('a rate limit may be text', () => {
    expect(parseRateLimit('5/min')).toEqual({ calls: 5, perMs: 60_000 });
  });
});
