import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { type Answer, openTestApi, sendJson, startServer, startTcpServer } from './test-server.ts';

const run = promisify(execFile);
const PHASES = ['limiter', 'back-off', 'connecting', 'head', 'body'];

const same = (answer: unknown): unknown => answer;
const byPath: Answer = (response, { url }) => {
  if (url === '/busy') response.writeHead(429, { 'retry-after': '60' }).end();
  else if (url === '/no-body') response.writeHead(200).write('{');
  else if (url !== '/no-head') sendJson(response, {});
};

describe('an abort', () => {
  test('ends a call at once in each of its phases, as closing does, and leaves nothing that keeps a process', async () => {
    const { baseUrl } = await startServer(byPath);
    const silentTlsUrl = `https://127.0.0.1:${await startTcpServer(() => undefined)}`;
    const script = new URL('abort-process.ts', import.meta.url).pathname;
    const { stdout, stderr } = await run(process.execPath, [script, baseUrl, silentTlsUrl], { timeout: 20_000 });
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const [exit, resources, ...ends] = lines.reverse();
    const closed = 'BatchLayerError: the market data API is closed';
    expect(new Set(ends)).toEqual(
      new Set(
        PHASES.flatMap((phase) => [
          { phase, how: 'abort', result: 'stopped', isPrompt: true },
          { phase, how: 'close', result: closed, isPrompt: true },
        ]),
      ),
    );
    expect(resources).toEqual({ left: [] });
    expect(exit.exitedAfterMs).toBeLessThan(3500);
    expect(stderr).toBe('');
  });

  test('throws the very reason, also where it came before: then nothing is sent', async () => {
    const server = await startServer(byPath);
    const api = openTestApi(server.baseUrl);
    // It looks like a failure that would be tried again.
    const reason = Object.assign(new Error('enough'), { code: 'ECONNRESET' });
    const late = new AbortController();
    const call = api.get('/no-head', {}, same, late);
    while (server.received.length === 0) await new Promise(setImmediate);
    late.abort(reason);
    await expect(call).rejects.toBe(reason);
    await expect(api.get('/ok', {}, same, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(server.received).toHaveLength(1);
    expect(api.metrics().calls).toBe(1);
  });

  test('comes before what a refusal says that is under way', async () => {
    const server = await startServer((response) => response.writeHead(401).write('{'));
    const stop = new AbortController();
    const call = openTestApi(server.baseUrl).get('/refused', {}, same, stop);
    while (server.received.length === 0) await new Promise(setImmediate);
    setTimeout(() => stop.abort('enough'), 50);
    await expect(call).rejects.toBe('enough');
  });

  test('of one call leaves the others alone', async () => {
    const server = await startServer(byPath);
    const api = openTestApi(server.baseUrl);
    const stop = new AbortController();
    const stopped = api.get('/no-body', {}, same, stop);
    const others = Promise.all([api.get('/a', {}, same), api.get('/b', {}, same)]);
    while (server.received.length < 3) await new Promise(setImmediate);
    stop.abort('enough');
    await expect(stopped).rejects.toBe('enough');
    expect(await others).toEqual([{}, {}]);
    expect(await api.get('/c', {}, same)).toEqual({});
  });

  test('ends a list between its pages and within one', async () => {
    const server = await startServer((response, { url }) => {
      if (url?.includes('cursor')) return;
      sendJson(response, { results: [1], next_url: 'https://x/?cursor=2' });
    });
    const api = openTestApi(server.baseUrl);
    const stop = new AbortController();
    const pages = api.pages('/list', {}, same, stop);
    await pages.next();
    const second = pages.next();
    while (server.received.length < 2) await new Promise(setImmediate);
    stop.abort('enough');
    await expect(second).rejects.toBe('enough');
    await expect(api.pages('/list', {}, same, stop).next()).rejects.toBe('enough');
  });
});

describe('close', () => {
  test('may be called again, and what is asked afterwards fails without being sent', async () => {
    const server = await startServer(byPath);
    const api = openTestApi(server.baseUrl);
    await api.get('/ok', {}, same);
    await api.close();
    await api.close();
    await expect(api.get('/ok', {}, same)).rejects.toMatchObject({ code: 'BadInput' });
    await expect(api.pages('/ok', {}, same).next()).rejects.toMatchObject({ code: 'BadInput' });
    expect(server.received).toHaveLength(1);
  });
});
