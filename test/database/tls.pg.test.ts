import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { startTlsServer, type TlsServer } from '../support/postgres/tls.ts';
import { openUntilFinished } from './open-database.ts';

const PROOF =
  'the server has not proven who it is: give its authorities as sslrootcert, and the host as in its certificate';

let server: TlsServer;
beforeAll(async () => {
  server = await startTlsServer();
});
afterAll(() => server.stop());
afterEach(() => {
  vi.unstubAllEnvs();
});

/** The server's URL, with TLS as `search` says, by that name. */
function urlAs(search: string, host = '127.0.0.1'): string {
  return `${server.url.replace('127.0.0.1', host)}?${search}`;
}

/** Whether both ways to get a connection get one that is encrypted. */
async function encryptions(url: string): Promise<readonly unknown[]> {
  const database = openUntilFinished(url);
  const ask = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()';
  const client = await database.connect();
  const found = [await client.query(ask), await database.transaction((pooled) => pooled.query(ask))];
  await client.end();
  return found.map(({ rows }) => rows[0].ssl);
}

async function expectRefused(url: string, message: RegExp): Promise<void> {
  const database = openUntilFinished(url);
  for (const connect of [database.connect, () => database.transaction((client) => client.query('SELECT 1'))]) {
    const error = await connect().catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'BadInput', message: expect.stringMatching(message) });
    expect(`${error.message} ${error.cause?.message}`).not.toContain(new URL(url).password);
  }
}

test.each(['localhost', '127.0.0.1'])('a server that proves to be %s is connected to, encrypted', async (host) => {
  for (const mode of ['', '&sslmode=verify-full', '&sslmode=require', '&sslmode=prefer']) {
    expect(await encryptions(urlAs(`sslrootcert=${server.ca}${mode}`, host))).toEqual([true, true]);
  }
  vi.stubEnv('PGSSLROOTCERT', server.ca);
  expect(await encryptions(urlAs('', host))).toEqual([true, true]);
});

test.each([
  // Names and addresses of this machine that the certificate does not have.
  ['127.1', "altnames: Host: 127.1. is not in the cert's"],
  ['0.0.0.0', "altnames: IP: 0.0.0.0 is not in the cert's"],
])('a server that is known by another name than %s is refused', async (host, message) => {
  await expectRefused(urlAs(`sslrootcert=${server.ca}`, host), new RegExp(`${message}.*: ${PROOF}$`));
});

test.each(['', 'sslmode=verify-full', 'sslmode=verify-ca', 'sslmode=require', 'sslmode=prefer'])(
  'a server of an authority that is not trusted is refused, also with "%s"',
  async (mode) => {
    await expectRefused(urlAs(`sslrootcert=${server.otherCa}&${mode}`), new RegExp(`: .+: ${PROOF}$`));
    // With those that Node knows.
    if (mode !== '') await expectRefused(urlAs(mode), new RegExp(`: .+: ${PROOF}$`));
  },
);

test('a server that takes no one without TLS refuses sslmode=disable, and what is local and says nothing', async () => {
  for (const search of ['sslmode=disable', `sslmode=disable&sslrootcert=${server.ca}`, '']) {
    await expectRefused(
      urlAs(search),
      /no pg_hba.conf entry .*user, database "postgres", no encryption: check the user, the password and whether TLS is wanted$/,
    );
  }
});

test('a transaction over TLS ends when it is aborted', async () => {
  const url = urlAs(`sslrootcert=${server.ca}`);
  const database = openUntilFinished(url);
  const [controller, reason, begun] = [new AbortController(), new Error('stopped'), Promise.withResolvers<void>()];
  const work = database.transaction(
    async (client) => {
      const sleeping = client.query('SELECT pg_sleep(60)');
      begun.resolve();
      await sleeping;
    },
    { signal: controller.signal },
  );
  const start = performance.now();
  await begun.promise;
  controller.abort(reason);
  await expect(work).rejects.toBe(reason);
  expect(await encryptions(url)).toEqual([true, true]);
  await database.close();
  expect(performance.now() - start).toBeLessThan(10_000);
});
