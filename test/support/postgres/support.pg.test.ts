import { once } from 'node:events';
import { type AddressInfo, connect as connectSocket, createServer } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate } from 'node:timers/promises';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { expect, inject, onTestFinished, test } from 'vitest';
import { withClient } from './client.ts';
import { createTestDatabase, type TestDatabase } from './database.ts';
import type { Fault } from './faults.ts';
import { startProxy } from './proxy.ts';
import { startTlsServer } from './tls.ts';

/** A table behind a proxy, and a client of it whose loss is not an error of the test. */
async function openTable() {
  const database = await createTestDatabase();
  await database.query('CREATE TABLE numbers (n int)');
  const proxy = await startProxy(database.url);
  return { database, proxy, client: await connect(proxy.url) };
}

async function connect(url: string, options: pg.ClientConfig = {}): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, ...options });
  client.on('error', () => undefined);
  await client.connect();
  onTestFinished(() => client.end());
  return client;
}

async function insertOne(client: pg.Client): Promise<void> {
  await client.query('BEGIN');
  await client.query('INSERT INTO numbers VALUES ($1)', [1]);
  await client.query('COMMIT');
}

async function insertSlowly(client: pg.Client): Promise<void> {
  await client.query('INSERT INTO numbers SELECT 1 FROM pg_sleep(0.2)');
}

async function copyTwo(client: pg.Client): Promise<void> {
  await pipeline(Readable.from(['1\n', '2\n']), client.query(copyFrom('COPY numbers FROM STDIN')));
}

async function countRows({ query }: TestDatabase): Promise<number> {
  return (await query('SELECT FROM numbers')).length;
}

test('a database is its own, tells who is connected, and is gone when the test has finished', async () => {
  const names: unknown[] = [];
  onTestFinished(async () => {
    const find = (client: pg.Client) => client.query('SELECT FROM pg_database WHERE datname = ANY($1)', [names]);
    expect((await withClient(inject('postgres').url, find)).rowCount).toBe(0);
  });
  const [one, other] = await Promise.all([createTestDatabase(), createTestDatabase()]);
  for (const { query } of [one, other]) names.push((await query('SELECT current_database() AS name'))[0]?.name);
  expect(new Set(names).size).toBe(2);
  expect(await one.query('SELECT $1::date AS day, getdatabaseencoding() AS encoding', ['2024-03-10'])).toEqual([
    { day: '2024-03-10', encoding: 'UTF8' },
  ]);

  const client = await connect(one.url);
  expect(await withClient(one.url, one.connections)).toBe(1);
  expect(await other.connections()).toBe(0);
  // A backend that takes its time to end.
  await client.query(
    `DO $$ BEGIN FOR n IN 1..300 LOOP EXECUTE 'CREATE TEMPORARY TABLE t' || n || ' (n int)'; END LOOP; END $$`,
  );
  const { rows } = await client.query('SELECT pg_backend_pid() AS pid');
  await one.kill(rows[0].pid);
  expect(await one.connections()).toBe(0);
  await expect(client.query('SELECT 1')).rejects.toThrow();
  await expect(one.kill(rows[0].pid)).rejects.toThrow(/no backend/);
});

test('migrated databases are copies of one that is migrated once', async () => {
  const databases = await Promise.all([1, 2, 3].map(() => createTestDatabase({ migrate: true })));
  const made = await Promise.all(databases.map(({ query }) => query('SELECT * FROM schema_migrations ORDER BY id')));
  expect(made[0]?.length).toBeGreaterThan(0);
  expect(made[1]).toEqual(made[0]);
  expect(made[2]).toEqual(made[0]);
});

test('a proxy names what clients send', async () => {
  const { proxy, client } = await openTable();
  await insertOne(client);
  await copyTwo(client);
  await client.end();
  // How often it is asked for a password is up to the server.
  expect(proxy.messages().filter((name) => name !== 'Password')).toEqual([
    ...['Startup', 'Query BEGIN'],
    ...['Parse INSERT INTO numbers VALUES ($1)', 'Bind', 'Describe', 'Execute', 'Sync', 'Query COMMIT'],
    ...['Query COPY numbers FROM STDIN', 'CopyData', 'CopyData', 'CopyDone', 'Terminate'],
  ]);
  expect(proxy.statements()).toHaveLength(5);
});

test.each([1, 2, 3])('a backend that is killed at statement %i has not committed', async (k) => {
  const { database, proxy, client } = await openTable();
  const count = proxy.killAt(k);
  await expect(insertOne(client)).rejects.toMatchObject({ code: '57P01' });
  expect(count.hits).toBe(1);
  expect(proxy.statements()).toHaveLength(k);
  expect([await database.connections(), await countRows(database)]).toEqual([0, 0]);
  await insertOne(await connect(proxy.url));
  expect(await countRows(database)).toBe(1);
});

test.each<[Fault, (client: pg.Client) => Promise<void>, number]>([
  [{ kind: 'cut', at: 7 }, insertOne, 0],
  [{ kind: 'cut', at: 7, when: 'after' }, insertOne, 1],
  [{ kind: 'cut', at: 1, when: 'after' }, insertSlowly, 1],
  [{ kind: 'cut', at: 4 }, copyTwo, 0],
  [{ kind: 'cut', at: 4, when: 'after' }, copyTwo, 2],
  [{ kind: 'cut', afterCopyBytes: 0 }, copyTwo, 0],
  [{ kind: 'cut', afterCopyBytes: 3 }, copyTwo, 0],
])('the client of %o loses its connection, and the server has what came before', async (fault, work, rows) => {
  const { database, proxy, client } = await openTable();
  const count = proxy.arm(fault);
  await expect(work(client)).rejects.toThrow(/terminated|ended|ECONNRESET|EPIPE/);
  expect(count.hits).toBe(1);
  // At once: the client does not learn of it before the backend is gone.
  expect([await database.connections(), await countRows(database)]).toEqual([0, rows]);
  expect(proxy.connections()).toBe(0);
});

test('a connection is cut at a byte of what is copied, in whatever pieces it comes', async () => {
  const received: Buffer[] = [];
  const server = createServer((socket) => socket.on('data', (chunk) => received.push(chunk)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const proxy = await startProxy(`postgresql://127.0.0.1:${(server.address() as AddressInfo).port}`);
  proxy.arm({ kind: 'cut', afterCopyBytes: 5 });
  const client = connectSocket({ host: '127.0.0.1', port: Number(new URL(proxy.url).port), noDelay: true });
  const closed = once(client.resume(), 'close');
  const startup = [0, 0, 0, 9, 0, 3, 0, 0, 0];
  const copyData = [...Buffer.from('d'), 0, 0, 0, 8, ...Buffer.from('1\n2\n')];
  for (const byte of [...startup, ...copyData, ...copyData]) {
    await new Promise((resolve) => client.write(Uint8Array.of(byte), resolve));
    await setImmediate();
  }
  await closed;
  expect([...Buffer.concat(received)]).toEqual([...startup, ...copyData, ...copyData.slice(0, 6)]);
  expect(proxy.messages()).toEqual(['Startup', 'CopyData', 'CopyData']);
});

test.each(['before', 'after'] as const)('a connection hangs %s a message, and goes on when it may', async (when) => {
  const { database, proxy, client } = await openTable();
  proxy.arm({ kind: 'hang', at: 1, when });
  const insert = client.query('INSERT INTO numbers VALUES (1)').then(() => 'done');
  // Another connection does not hang.
  const other = await connect(proxy.url);
  if (when === 'after') await expect.poll(() => countRows(database)).toBe(1);
  else await other.query('SELECT 1');
  expect(await countRows(database)).toBe(when === 'after' ? 1 : 0);
  expect(await Promise.race([insert, Promise.resolve('hangs')])).toBe('hangs');
  expect(proxy.connections()).toBe(2);
  await proxy.disarm();
  expect(await insert).toBe('done');
  expect(await countRows(database)).toBe(1);
});

test('a message is delayed, and new connections are refused', async () => {
  const { proxy, client } = await openTable();
  proxy.arm({ kind: 'delay', at: 1, ms: 200 });
  const start = performance.now();
  await client.query('SELECT 1');
  expect(performance.now() - start).toBeGreaterThan(190);

  proxy.arm({ kind: 'refuse' });
  await expect(connect(proxy.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  await client.query('SELECT 1');
  await proxy.disarm();
  await connect(proxy.url);
});

test('a server with TLS is trusted with its authority only, and takes no one without TLS', async () => {
  const { url, ca, otherCa, stop } = await startTlsServer();
  onTestFinished(stop);
  for (const host of ['localhost', '127.0.0.1']) {
    const at = (file: string) => `${url.replace('127.0.0.1', host)}?sslmode=verify-full&sslrootcert=${file}`;
    const ssl = await withClient(at(ca), (client) =>
      client.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'),
    );
    expect(ssl.rows).toEqual([{ ssl: true }]);
    await expect(connect(at(otherCa))).rejects.toThrow(/certificate|signature/);
  }
  await expect(connect(url)).rejects.toMatchObject({ code: '28000' });
});
