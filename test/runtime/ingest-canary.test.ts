import { spawn } from 'node:child_process';
import { parquetMetadata, parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { describe, expect, test, vi } from 'vitest';
import { fileStore, memoryStore, type ObjectStore } from '../../src/lake/index.ts';
import { formatSession } from '../../src/session.ts';
import { keysOf } from '../support/lake-reader.ts';
import { syntheticReplayMarket } from '../support/market/replay-market.ts';
import type { ReplayServer } from '../support/market/replay-server.ts';
import type { ScriptedAnswer, Traps } from '../support/market/traps.ts';
import { openMarket, sessionsOf } from '../support/replay-api.ts';
import { runCommand, type Variables } from '../support/run-command.ts';
import { temporaryFolder } from '../support/temporary.ts';

const CLI = new URL('../../src/runtime/cli.ts', import.meta.url).pathname;
const KEY = 'CANARY-s3cr3t-0123456789abcdef';
/** No part of it either. */
const TRACES = /CANARY|s3cr3t|0123456789abcdef/i;
const SESSIONS = sessionsOf('2025-03-10', '2025-03-12');
const MARKET = syntheticReplayMarket({ symbols: 12, sessions: SESSIONS, split: 4, dividendPayers: 12 });
const DATES = ['--from', formatSession(SESSIONS[0]!), '--to', formatSession(SESSIONS.at(-1)!)];

const open = (traps: Partial<Traps> = {}, apiKey = KEY) => openMarket(MARKET, { traps, apiKey });
const always = (status: number, body: unknown, headers: Record<string, string> = {}): readonly ScriptedAnswer[] => [
  { match: /^/, times: Number.POSITIVE_INFINITY, respond: { status, body, headers } },
];

/** Runs a command with the key in its environment, and no waits, and looks for the key in all that is left of it. */
async function runWithKey(args: readonly string[], server: ReplayServer | undefined, more: Variables = {}) {
  const folder = await temporaryFolder();
  vi.spyOn(Math, 'random').mockReturnValue(0);
  const env = { POLYGON_API_KEY: KEY, POLYGON_BASE_URL: server?.url, POLYGON_RATE_LIMIT: '1000/s', ...more };
  const lake = args.includes('--help') ? [] : ['--lake', `file:${folder}`];
  const run = await runCommand([...args, ...lake], { env });
  vi.restoreAllMocks();
  expect(run.stdout).not.toMatch(TRACES);
  expect(run.stderr).not.toMatch(TRACES);
  await expectNoKeyIn(fileStore(folder));
  if (server) expectKeyInHeadersOnly(server);
  return run;
}

function expectKeyInHeadersOnly({ requests, violations }: ReplayServer): void {
  for (const { url, headers } of requests) {
    expect(url).not.toMatch(TRACES);
    const { authorization, ...others } = headers;
    expect(authorization).toBe(`Bearer ${KEY}`);
    expect(JSON.stringify(others)).not.toMatch(TRACES);
  }
  expect(violations.filter(({ kind }) => kind === 'key-in-query')).toEqual([]);
}

/** Looks at names, bytes, and what the bytes stand for. */
async function expectNoKeyIn(store: ObjectStore): Promise<void> {
  for (const key of await keysOf(store)) {
    expect(key).not.toMatch(TRACES);
    const { body } = await store.get(key);
    expect(Buffer.from(body).toString('latin1')).not.toMatch(TRACES);
    if (!key.endsWith('.parquet')) continue;
    const file = new Uint8Array(body).buffer;
    const shown = [parquetMetadata(file), await parquetReadObjects({ file, compressors })];
    expect(JSON.stringify(shown, (_, value) => (typeof value === 'bigint' ? String(value) : value))).not.toMatch(
      TRACES,
    );
  }
}

const FORMS = [
  ['in words', []],
  ['in JSON', ['--json']],
] as const;

describe.each([
  ['ingest ohlcv', ['ingest', 'ohlcv', ...DATES]],
  ['ingest ohlcv --symbols', ['ingest', 'ohlcv', '--symbols', 'AAAA,NONE', ...DATES]],
  ['ingest meta', ['ingest', 'meta']],
])('the key of %s is nowhere but in the Authorization header', (_, command) => {
  test.each(FORMS)('where all goes well, %s', async (_name, form) => {
    const { server } = await open();
    const { code } = await runWithKey([...command, ...form], server);
    expect(code).toBe(0);
    expect(server.requests.length).toBeGreaterThan(0);
  });

  test.each(FORMS)('where the API does not know it, %s', async (_name, form) => {
    const { server } = await open({}, 'another-key');
    const { code, stderr } = await runWithKey([...command, ...form], server);
    expect(code).toBe(2);
    expect(stderr).toContain('POLYGON_API_KEY');
  });

  test.each<[string, readonly ScriptedAnswer[]]>([
    ['401, in its text', always(401, { status: 'ERROR', error: `Unknown API Key ${KEY}` })],
    ['403, in its text', always(403, { status: 'NOT_AUTHORIZED', message: `${KEY}: not entitled` })],
    ['403 before the end of the day', always(403, { status: 'NOT_AUTHORIZED', message: `${KEY}: before end of day` })],
    ['400, in its text', always(400, { status: 'ERROR', error: `no ${KEY}`, message: KEY })],
    ['404, in its text', always(404, { status: 'NOT_FOUND', message: KEY })],
    ['429, in a header and its text', always(429, KEY, { 'retry-after': '0', 'x-key': KEY })],
    ['500, in a page', always(500, `<html>Authorization: Bearer ${KEY}</html>`, { 'content-type': 'text/html' })],
    ['302, in its location', always(302, '', { location: `http://127.0.0.1:1/?apiKey=${KEY}` })],
    ['200 with an error', always(200, { status: 'ERROR', error: KEY })],
    ['200 with another status', always(200, { status: KEY })],
    ['200 that is no JSON', always(200, `Bearer ${KEY}`)],
    ['200 that is something else', always(200, { status: 'OK', results: { [KEY]: KEY }, adjusted: KEY })],
  ])('where the API repeats it: %s', async (_name, script) => {
    for (const [, form] of FORMS) {
      const { server } = await open({ script });
      const { code, stdout, stderr } = await runWithKey([...command, ...form], server);
      expect(code).not.toBe(0);
      expect(stdout + stderr).not.toBe('');
    }
  });

  test.each(['hang-up', 'hang-up-in-body', 'truncated-json', 'null-results', 'error-500'] as const)(
    'where every call fails: %s',
    async (kind) => {
      const { server } = await open({ failureRate: 1, failureKinds: [kind] });
      const { code } = await runWithKey([...command, '--json'], server);
      expect(code).not.toBe(0);
    },
  );

  test.each([
    ['with a path', (url: string) => `${url}/${KEY}`],
    ['with a query', (url: string) => `${url}/?apiKey=${KEY}`],
    ['with credentials', (url: string) => url.replace('//', `//${KEY}@`)],
    ['without TLS', () => `http://${KEY}.example`],
    ['of another protocol', () => `ftp://${KEY}`],
    ['that is none', () => KEY],
  ])('where the base URL is wrong: %s', async (_name, urlOf) => {
    const { server } = await open();
    for (const [, form] of FORMS) {
      const { code } = await runWithKey([...command, ...form], server, { POLYGON_BASE_URL: urlOf(server.url) });
      expect(code).toBe(2);
    }
    expect(server.requests).toEqual([]);
  });

  test('where there is no such server, or it speaks no TLS', async () => {
    const { server } = await open();
    for (const url of ['http://127.0.0.1:9', server.url.replace('http', 'https')]) {
      expect((await runWithKey([...command, '--json'], server, { POLYGON_BASE_URL: url })).code).not.toBe(0);
    }
    expect(server.requests).toEqual([]);
  });

  test('where it is wrong usage, or help is asked for', async () => {
    const { code, stdout } = await runWithKey([...command.slice(0, 2), '--help'], undefined);
    expect(code).toBe(0);
    expect(stdout).toContain('POLYGON_API_KEY');
    expect((await runWithKey([...command, '--nonsense'], undefined)).code).toBe(2);
    for (const key of [`${KEY}\n`, `Bearer ${KEY}`, `${KEY}\u00e9`]) {
      expect((await runWithKey([...command, '--json'], undefined, { POLYGON_API_KEY: key })).code).toBe(2);
    }
  });

  test('where lists come in pages, whatever next_url has in it', async () => {
    const { server } = await open({ pageRows: 2, nextUrlOrigin: `https://${KEY}:${KEY}@${KEY.toLowerCase()}.example` });
    expect((await runWithKey([...command, '--json'], server)).code).toBe(0);
  });
});

describe('the key is in no result of a run, and in no lake', () => {
  test('where the API takes too long', async () => {
    const store = memoryStore();
    const { fetch, server } = await openMarket(MARKET, {
      apiKey: KEY,
      traps: { latencyMs: 60_000 },
      attemptTimeoutMs: 4_000,
      maxAttempts: 2,
    });
    const result = await fetch(store);
    expect(result.missing.map(({ message }) => message)).toContainEqual(expect.stringContaining('no answer within'));
    expect(JSON.stringify(result)).not.toMatch(TRACES);
    await expectNoKeyIn(store);
    expectKeyInHeadersOnly(server);
  });

  test('where the run is stopped while it waits', async () => {
    const { server } = await open({ latencyMs: 60_000 });
    const folder = await temporaryFolder();
    const env = { POLYGON_API_KEY: KEY, POLYGON_BASE_URL: server.url };
    const signal = AbortSignal.timeout(200);
    const { code, stdout, stderr } = await runCommand(
      ['ingest', 'ohlcv', ...DATES, '--json', '--lake', `file:${folder}`],
      {
        env,
        signal,
      },
    );
    expect(code).toBe(1);
    expect(stdout + stderr).not.toMatch(TRACES);
    await expectNoKeyIn(fileStore(folder));
    expectKeyInHeadersOnly(server);
  });
});

describe('as a process of its own', () => {
  async function runProcess(args: readonly string[], server: ReplayServer) {
    const folder = await temporaryFolder();
    const env = { PATH: process.env.PATH, POLYGON_API_KEY: KEY, POLYGON_BASE_URL: server.url };
    const child = spawn(process.execPath, [CLI, ...args, '--lake', `file:${folder}`], { env });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        output += chunk;
      });
    }
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    expect(output).not.toMatch(TRACES);
    await expectNoKeyIn(fileStore(folder));
    expectKeyInHeadersOnly(server);
    return { code, output };
  }

  test('it prints the key neither where all goes well, nor where nothing does', async () => {
    const { server } = await open();
    const ohlcv = ['ingest', 'ohlcv', ...DATES];
    expect((await runProcess(ohlcv, server)).code).toBe(0);
    server.set({ script: always(401, { status: 'ERROR', error: `Unknown API Key ${KEY}` }) });
    const refused = await runProcess([...ohlcv, '--json'], server);
    expect(refused.code).toBe(2);
    expect(refused.output).toContain('the API key is wrong');
  });
});
