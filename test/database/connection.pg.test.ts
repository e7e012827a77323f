import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { promisify } from 'node:util';
import type pg from 'pg';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { openDatabase } from '../../src/database/connection.ts';
import { BatchLayerError, type ErrorCode } from '../../src/errors.ts';
import { withClient } from '../support/postgres/client.ts';
import { createTestDatabase } from '../support/postgres/database.ts';
import { startProxy } from '../support/postgres/proxy.ts';
import { openUntilFinished } from './open-database.ts';
import { holdAll } from './weather-world.ts';

const SCRIPT = new URL('hang-process.ts', import.meta.url).pathname;
const CONNECTIONS = 4;

/** The URL of a server with other parts. */
function urlWith(parts: Partial<Record<'username' | 'password' | 'pathname' | 'search' | 'host', string>>): string {
  return Object.assign(new URL(inject('postgres').url), parts).href;
}

/** A server that takes connections, says what it is told to, and nothing more. */
async function startSilent(says?: string): Promise<{ readonly url: string; readonly sockets: Set<Socket> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).once('close', () => sockets.delete(socket));
    socket.once('data', () => says && socket.write(says));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { url: `postgresql://u:p@127.0.0.1:${(server.address() as AddressInfo).port}/market`, sockets };
}

async function createRole(options: string): Promise<{ readonly username: string; readonly password: string }> {
  const [username, password] = [`role_${randomUUID()}`, randomUUID()];
  const { url } = inject('postgres');
  const run = (sql: string) => withClient(url, (client) => client.query(sql));
  await run(`CREATE ROLE "${username}" PASSWORD '${password}' ${options}`);
  onTestFinished(async () => void (await run(`DROP ROLE "${username}"`)));
  return { username, password };
}

const REACH = 'check that the server runs and can be reached, then run it again';

/** How a server refuses a connection, and what is told of it. */
const REFUSALS: readonly (readonly [
  of: string,
  url: () => Promise<string> | string,
  code: ErrorCode,
  message: RegExp,
])[] = [
  [
    'for a wrong password',
    () => urlWith({ password: randomUUID() }),
    'BadInput',
    /\/postgres: password authentication failed for user: check the user and the password$/,
  ],
  [
    'without a password',
    () => urlWith({ password: '' }),
    'BadInput',
    /: SASL: .*password must be a .*string: check the user and the password$/,
  ],
  [
    'for a user that is not there',
    () => urlWith({ username: 'nobody_is', password: 'secret' }),
    'BadInput',
    /: password authentication failed for user: check the user and the password$/,
  ],
  [
    'for a user that may not log in',
    async () => urlWith(await createRole('NOLOGIN')),
    'BadInput',
    /: role is not permitted to log in: check the user, the password and whether TLS is wanted$/,
  ],
  [
    'for a database that is not there',
    () => urlWith({ pathname: 'markte' }),
    'BadInput',
    /\/markte: database "markte" does not exist: create the database, or name another$/,
  ],
  [
    'for too many connections',
    async () => urlWith(await createRole('LOGIN CONNECTION LIMIT 0')),
    'Unavailable',
    /: too many connections for role: give the server more connections, or run it again later$/,
  ],
  [
    'because it has no TLS',
    () => urlWith({ search: 'sslmode=verify-full' }),
    'BadInput',
    /: The server does not support SSL connections: the server has not proven who it is: give its authorities/,
  ],
];

/** What is told of a connection that is refused, by either way to get one. */
async function errorsOf(url: string): Promise<readonly BatchLayerError[]> {
  const database = openUntilFinished(url);
  const tries = [() => database.transaction((client) => client.query('SELECT 1')), database.connect];
  const { username, password } = new URL(url);
  return Promise.all(
    tries.map(async (connect) => {
      const error = await connect().catch((thrown) => thrown);
      expect(error).toBeInstanceOf(BatchLayerError);
      for (const secret of [password, `"${username}"`].filter(Boolean)) expect(error.message).not.toContain(secret);
      return error;
    }),
  );
}

describe('a connection that is refused', () => {
  test.each(REFUSALS)(
    '%s is told with what to do, without user and password, and is not left open',
    async (_, url, code, message) => {
      const asked = await url();
      const proxy = await startProxy(asked);
      for (const error of await errorsOf(proxy.url)) {
        expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
      }
      expect(proxy.messages().length).toBeGreaterThan(1);
      await expect.poll(proxy.connections).toBe(0);
    },
  );

  test.each(['127.0.0.1', 'localhost'])('by %s, as nothing listens there, is told with what to do', async (host) => {
    for (const error of await errorsOf(`postgresql://me:secret@${host}:1/market`)) {
      expect(error).toMatchObject({
        code: 'Unavailable',
        message: expect.stringMatching(new RegExp(`^${host}:1/market: .*\\bE[A-Z]+\\b.*: ${REACH}$`)),
      });
    }
  });
});

describe('a database', () => {
  test('of which all connections were ended between two calls is there for the next one', async () => {
    const { url, query, connections } = await createTestDatabase();
    const database = openUntilFinished(url);
    expect(await holdAll(database)).toBe(CONNECTIONS);
    expect(await connections()).toBe(CONNECTIONS);
    await query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
    );
    // Whether the pool knows it already or not.
    await database.transaction((client) => client.query('SELECT 1'));
    expect(await holdAll(database)).toBe(CONNECTIONS);
    expect(await connections()).toBe(CONNECTIONS);
  });

  test('has all of its connections after whatever work failed, and closes once and at once', async () => {
    const { url, connections } = await createTestDatabase();
    const database = openUntilFinished(url);
    const failures = ['SELECT 1 / 0', 'SELECT pg_terminate_backend(pg_backend_pid())', 'ROLLBACK; SELECT nothing'];
    await Promise.all(
      [...failures, ...failures].map((sql) =>
        expect(database.transaction((client) => client.query(sql))).rejects.toThrow(),
      ),
    );
    await expect(database.transaction(() => Promise.reject(new Error('of the work itself')))).rejects.toThrow(
      'of the work itself',
    );
    expect(await holdAll(database)).toBe(CONNECTIONS);
    const start = performance.now();
    await Promise.all([database.close(), database.close()]);
    expect(performance.now() - start).toBeLessThan(10_000);
    await expect.poll(connections).toBe(0);
  });

  test('does not tell as committed what the server rolled back', async () => {
    const { url, query } = await createTestDatabase();
    await query('CREATE TABLE numbers (n int UNIQUE)');
    const work = openUntilFinished(url).transaction(async (client) => {
      await client.query('INSERT INTO numbers VALUES (1)');
      // Work that goes on after an error of the server.
      await client.query('SELECT 1 / 0').catch(() => undefined);
    });
    await expect(work).rejects.toMatchObject({ code: 'BadInput', message: expect.stringMatching(/rolled back/) });
    expect(await query('SELECT FROM numbers')).toEqual([]);
  });

  test('gives a connection that comes too late to the next one who waits', async () => {
    const { url } = await createTestDatabase();
    const database = openUntilFinished(url);
    const [controller, reason, release] = [new AbortController(), new Error('stopped'), Promise.withResolvers<void>()];
    const holding = Array.from({ length: CONNECTIONS }, () => database.transaction(() => release.promise));
    const waiting = database.transaction((client) => client.query('SELECT 1'), { signal: controller.signal });
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    release.resolve();
    await Promise.all(holding);
    expect(await holdAll(database)).toBe(CONNECTIONS);
  });

  test('ends by its deadline where a statement takes too long, and rolls back', async () => {
    const { url, query } = await createTestDatabase();
    await query('CREATE TABLE numbers (n int)');
    const database = openDatabase(url, { timeoutMs: 100 });
    onTestFinished(() => database.close());
    const start = performance.now();
    const work = database.transaction(async (client) => {
      await client.query('INSERT INTO numbers VALUES (1)');
      await client.query('SELECT pg_sleep(60)');
    });
    await expect(work).rejects.toMatchObject({
      code: 'Unavailable',
      message: expect.stringMatching(/no answer in 0.1 s|statement timeout.*: it took too long; run it again later/),
    });
    expect(performance.now() - start).toBeLessThan(10_000);
    expect(await query('SELECT FROM numbers')).toEqual([]);
    await expect
      .poll(
        () =>
          query(
            `SELECT FROM pg_stat_activity WHERE datname = current_database() AND query ~ 'pg_sleep' AND pid <> pg_backend_pid()`,
          ),
        { interval: 5 },
      )
      .toEqual([]);
  });

  test('ends by its deadline, and at once when aborted, where its work waits for something else', async () => {
    const { url, query, connections } = await createTestDatabase();
    await query('CREATE TABLE numbers (n int)');
    const database = openDatabase(url, { timeoutMs: 300 });
    onTestFinished(() => database.close());
    const late: PromiseWithResolvers<void>[] = [];
    const work = async (client: pg.ClientBase) => {
      await client.query('INSERT INTO numbers VALUES (1)');
      late.push(Promise.withResolvers<void>());
      await late.at(-1)!.promise;
    };
    const start = performance.now();
    await expect(database.transaction(work)).rejects.toMatchObject({
      code: 'Unavailable',
      message: expect.stringMatching(/no answer in 0.3 s$/),
    });
    const [controller, reason] = [new AbortController(), new Error('stopped')];
    const patient = openUntilFinished(url);
    // Tried again, as whatever takes too long.
    expect(late).toHaveLength(3);
    const aborted = patient.transaction(work, { signal: controller.signal });
    await expect.poll(() => late.length).toBe(4);
    controller.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    expect(performance.now() - start).toBeLessThan(10_000);
    // What it waited for comes, or fails, when nobody is there any more.
    for (const [i, { resolve, reject }] of late.entries()) i % 2 === 0 ? resolve() : reject(new Error('late'));
    expect(await query('SELECT FROM numbers')).toEqual([]);
    await database.transaction((client) => client.query('SELECT 1'));
    expect(await holdAll(patient)).toBe(CONNECTIONS);
    expect(await connections()).toBe(1 + CONNECTIONS);
  });
});

describe('a server that accepts and never answers', () => {
  test.each([
    ['before it says anything', undefined, ''],
    ['after it agreed to TLS', 'S', '?sslmode=verify-full'],
    ['after it said what is not of PostgreSQL', 'HTTP/1.1 400 Bad Request\r\n\r\n', ''],
  ])('%s is given up by the deadline, and at once when aborted', async (_, says, search) => {
    const { url, sockets } = await startSilent(says);
    const database = openDatabase(url + search, { timeoutMs: 100 });
    const start = performance.now();
    await expect(database.transaction((client) => client.query('SELECT 1'))).rejects.toMatchObject({
      code: 'Unavailable',
      message: expect.stringMatching(/^127\.0\.0\.1:\d+\/market: no answer in 0.1 s$/),
    });
    const [controller, reason] = [new AbortController(), new Error('stopped')];
    const patient = openDatabase(url + search);
    const aborted = patient.transaction((client) => client.query('SELECT 1'), { signal: controller.signal });
    await expect.poll(() => sockets.size).toBe(1);
    controller.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    await Promise.all([database.close(), patient.close()]);
    await expect.poll(() => sockets.size).toBe(0);
    expect(performance.now() - start).toBeLessThan(10_000);
  });

  test.each(['before', 'while'])('is given up at once by connect when aborted %s it connects', async (when) => {
    const { url, sockets } = await startSilent();
    const [controller, reason] = [new AbortController(), new Error('stopped')];
    const start = performance.now();
    if (when === 'before') controller.abort(reason);
    const connecting = openUntilFinished(url).connect({ signal: controller.signal });
    connecting.catch(() => undefined);
    if (when === 'while') await expect.poll(() => sockets.size).toBe(1);
    controller.abort(reason);
    await expect(connecting).rejects.toBe(reason);
    await expect.poll(() => sockets.size).toBe(0);
    expect(performance.now() - start).toBeLessThan(10_000);
  });

  test('keeps no process from its end, whether its time is over or it is aborted', async () => {
    const { url } = await startSilent();
    const run = async (...times: readonly number[]) => {
      const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT, url, ...times.map(String)]);
      const [said, tookMs] = stdout.trim().split('\n');
      expect(Number(tookMs)).toBeLessThan(10_000);
      return said;
    };
    expect(await Promise.all([run(100), run(60_000, 100)])).toEqual([
      expect.stringMatching(/^BatchLayerError Unavailable: .*no answer in 0.1 s$/),
      expect.stringMatching(/^TimeoutError /),
    ]);
  });

  test('in the middle of a transaction keeps no process from its end', async () => {
    const proxy = await startProxy((await createTestDatabase()).url);
    proxy.arm({ kind: 'hang', at: 5 });
    const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT, proxy.url, '300']);
    const [said, tookMs] = stdout.trim().split('\n');
    expect(said).toBe('done');
    expect(Number(tookMs)).toBeLessThan(10_000);
  });
});
