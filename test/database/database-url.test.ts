import { writeFile } from 'node:fs/promises';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openDatabase } from '../../src/database/connection.ts';
import { type DatabaseLogin, parseDatabaseUrl } from '../../src/database/database-url.ts';
import { BatchLayerError } from '../../src/errors.ts';
import { temporaryFolder } from '../support/temporary.ts';

const REMOTE = 'postgresql://writer:pw@db.example.com:6432/market';

const parse = (url: string, login: DatabaseLogin = {}, env: NodeJS.ProcessEnv = {}) =>
  parseDatabaseUrl(url, login, env);

function failureOf(url: string, login: DatabaseLogin = {}, env: NodeJS.ProcessEnv = {}): BatchLayerError {
  try {
    return expect.unreachable(inspect(parse(url, login, env)));
  } catch (error) {
    expect(error).toBeInstanceOf(BatchLayerError);
    expect(error).toMatchObject({ code: 'BadInput' });
    return error as BatchLayerError;
  }
}

describe('what a URL says', () => {
  test.each(['postgresql', 'postgres'])('all of it: %s://', (protocol) => {
    expect(parse(REMOTE.replace('postgresql', protocol))).toEqual({
      host: 'db.example.com',
      port: 6432,
      database: 'market',
      user: 'writer',
      password: 'pw',
      ssl: { rejectUnauthorized: true },
    });
  });

  test('nothing of it: this machine, and no user', () => {
    expect(parse('postgresql://')).toEqual({ host: 'localhost', port: 5432, database: 'postgres', ssl: false });
  });

  test.each([
    ['postgresql://[::1]/market', { host: '::1', port: 5432, ssl: false }],
    ['postgresql://[::1]:6432/market', { host: '::1', port: 6432, ssl: false }],
    ['postgresql://[2001:db8::7]:6432/market', { host: '2001:db8::7', port: 6432, ssl: { rejectUnauthorized: true } }],
    ['postgresql://%2Fvar%2Frun%2Fpostgresql/market', { host: '/var/run/postgresql', port: 5432, ssl: false }],
    ['postgresql://writer@%2Ftmp:6432/market', { host: '/tmp', port: 6432, user: 'writer', ssl: false }],
  ])('addresses and folders of sockets: %s', (url, expected) => {
    expect(parse(url)).toMatchObject({ database: 'market', ...expected });
  });

  test('codes of special characters, in the user, the password and the database', () => {
    const odd = ` !"#$%&'()*+,-./:;<=>?@[\\]^_{|}~é`;
    const url = `postgresql://${encodeURIComponent(`u${odd}`)}:${encodeURIComponent(`p${odd}`)}@h/${encodeURIComponent(`d${odd}`)}`;
    expect(parse(url)).toMatchObject({ host: 'h', user: `u${odd}`, password: `p${odd}`, database: `d${odd}` });
  });

  test('any user, password and database whatever that is percent-encoded comes as it was', () => {
    const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
    const property = fc.property(text, text, text, (user, password, database) => {
      const [u, p, d] = [user, password, database].map((one) => encodeURIComponent(one));
      // A path of dots alone is no name.
      fc.pre(!/^(?:\.|%2e)+$/i.test(d!));
      expect(parse(`postgresql://${u}:${p}@db.example.com/${d}`)).toMatchObject({ user, password, database });
    });
    fc.assert(property, { numRuns: 300, seed: 7 });
  });
});

describe('what a URL leaves out', () => {
  const env = {
    PGHOST: 'env.example.com',
    PGPORT: '7000',
    PGUSER: 'env-user',
    PGPASSWORD: 'env-pw',
    PGDATABASE: 'env-db',
  };
  const login = {
    host: 'login.example.com',
    port: 8000,
    user: 'login-user',
    password: 'login-pw',
    database: 'login-db',
  };
  const ssl = { rejectUnauthorized: true };

  test('comes from the environment', () => {
    const expected = {
      host: 'env.example.com',
      port: 7000,
      user: 'env-user',
      password: 'env-pw',
      database: 'env-db',
      ssl,
    };
    expect(parse('postgresql://', {}, env)).toEqual(expected);
    expect(parse('postgresql:///market', {}, env)).toEqual({ ...expected, database: 'market' });
  });

  test('comes from the secret, before the environment', () => {
    expect(parse('postgresql://', login, env)).toEqual({ ...login, ssl });
    expect(parse('postgresql://', { user: 'login-user', password: 'login-pw' }, env)).toMatchObject({
      ...{ host: 'env.example.com', port: 7000, database: 'env-db' },
      ...{ user: 'login-user', password: 'login-pw' },
    });
  });

  test.each([
    ['postgresql://a.example.com', { ...login, host: 'a.example.com' }],
    ['postgresql://a.example.com:1', { ...login, host: 'a.example.com', port: 1 }],
    ['postgresql://u@a.example.com', { ...login, host: 'a.example.com', user: 'u' }],
    [
      'postgresql://u:p@a.example.com/d',
      { host: 'a.example.com', port: 8000, user: 'u', password: 'p', database: 'd' },
    ],
    ['postgresql:///d', { ...login, database: 'd' }],
    ['postgresql://?sslmode=require', login],
  ])('and nothing else: %s', (url, expected) => {
    expect(parse(url, login, env)).toEqual({ ...expected, ssl });
  });

  test('counts as left out where it is empty', () => {
    const empty = {
      PGHOST: '',
      PGPORT: '',
      PGUSER: '',
      PGPASSWORD: '',
      PGDATABASE: '',
      PGSSLMODE: '',
      PGSSLROOTCERT: '',
    };
    const nobody = { host: '', user: '', password: '', database: '' };
    const expected = { host: 'localhost', port: 5432, database: 'postgres', ssl: false };
    expect(parse('postgresql:///?sslmode=&sslrootcert=', nobody, empty)).toMatchObject(expected);
  });

  test('is looked for in the environment of the process', () => {
    const before = process.env.PGDATABASE;
    process.env.PGDATABASE = 'of-the-process';
    try {
      expect(parseDatabaseUrl('postgresql://').database).toBe('of-the-process');
    } finally {
      if (before === undefined) delete process.env.PGDATABASE;
      else process.env.PGDATABASE = before;
    }
  });

  test('a port that is none is told', () => {
    for (const port of ['six', '0x10', '5432.5', '70000', '-1', '0']) {
      expect(failureOf('postgresql://db.example.com', {}, { PGPORT: port }).message, port).toMatch(/port/i);
    }
    expect(failureOf('postgresql://db.example.com:0').message).toMatch(/port is 0/);
    for (const port of [-1, 0.5, 65_536, Number.NaN]) {
      // NaN counts as left out.
      if (Number.isNaN(port)) expect(parse('postgresql://db.example.com', { port }).port).toBe(5432);
      else expect(failureOf('postgresql://db.example.com', { port }).message).toMatch(/port/);
    }
    expect(parse('postgresql://db.example.com', { port: 65_535 }).port).toBe(65_535);
  });
});

describe('TLS', () => {
  test.each(['localhost', '127.0.0.1', '127.1.2.3', '[::1]', '%2Ftmp'])(
    'is not asked for on this machine: %s',
    (host) => {
      expect(parse(`postgresql://${host}/market`).ssl).toBe(false);
    },
  );

  test.each([
    'db.example.com',
    'localhost.example.com',
    '127.0.0.1.example.com',
    'my-localhost',
    '127.0.0',
    '10.0.0.1',
    '[::2]',
    '[::ffff:10.0.0.1]',
    '0.0.0.0',
  ])('is asked for everywhere else, and the server verified: %s', (host) => {
    expect(parse(`postgresql://${host}/market`).ssl).toEqual({ rejectUnauthorized: true });
  });

  test('is asked for where the host is not in the URL', () => {
    expect(parse('postgresql:///market', { host: 'db.example.com' }).ssl).toEqual({ rejectUnauthorized: true });
    expect(parse('postgresql:///market', {}, { PGHOST: 'db.example.com' }).ssl).toEqual({ rejectUnauthorized: true });
    expect(parse('postgresql:///market', {}, { PGHOST: '/tmp' }).ssl).toBe(false);
  });

  test.each(['prefer', 'require', 'verify-ca', 'verify-full'])(
    'is verify-full whatever is asked for, on this machine too: sslmode=%s',
    (mode) => {
      for (const host of ['db.example.com', 'localhost']) {
        expect(parse(`postgresql://${host}?sslmode=${mode}`).ssl).toEqual({ rejectUnauthorized: true });
        expect(parse(`postgresql://${host}`, {}, { PGSSLMODE: mode }).ssl).toEqual({ rejectUnauthorized: true });
      }
    },
  );

  test('is left out where that is asked for', () => {
    expect(parse(`${REMOTE}?sslmode=disable`).ssl).toBe(false);
    expect(parse(REMOTE, {}, { PGSSLMODE: 'disable' }).ssl).toBe(false);
    expect(parse(`${REMOTE}?sslmode=disable&sslrootcert=/nowhere/ca.pem`).ssl).toBe(false);
    // The URL wins.
    expect(parse(`${REMOTE}?sslmode=verify-full`, {}, { PGSSLMODE: 'disable' }).ssl).toEqual({
      rejectUnauthorized: true,
    });
  });

  test.each(['allow', 'no-verify', 'DISABLE', 'true', '0'])('another mode is told: sslmode=%s', (mode) => {
    for (const failure of [failureOf(`${REMOTE}?sslmode=${mode}`), failureOf(REMOTE, {}, { PGSSLMODE: mode })]) {
      expect(failure.message).toContain(`sslmode is ${mode}`);
      expect(failure.message).toContain('verify-full');
    }
  });

  test('trusts the authorities of a file alone, where one is named', async () => {
    const path = `${await temporaryFolder()}/ca file.pem`;
    await writeFile(path, 'the authorities');
    const ssl = { rejectUnauthorized: true, ca: 'the authorities' };
    for (const host of ['db.example.com', 'localhost']) {
      expect(parse(`postgresql://${host}?sslrootcert=${encodeURIComponent(path)}`).ssl).toEqual(ssl);
      expect(parse(`postgresql://${host}`, {}, { PGSSLROOTCERT: path }).ssl).toEqual(ssl);
    }
    const other = { PGSSLROOTCERT: '/nowhere/ca.pem' };
    expect(parse(`${REMOTE}?sslrootcert=${encodeURIComponent(path)}`, {}, other).ssl).toEqual(ssl);
  });

  test('a file of authorities that cannot be read is told by name', async () => {
    const folder = await temporaryFolder();
    for (const [path, reason] of [
      [`${folder}/missing.pem`, 'ENOENT'],
      [folder, 'EISDIR'],
    ] as const) {
      for (const failure of [
        failureOf(`${REMOTE}?sslrootcert=${path}`),
        failureOf(REMOTE, {}, { PGSSLROOTCERT: path }),
      ]) {
        expect(failure.message).toContain(path);
        expect(failure.message).toContain(reason);
        expect(failure.cause).toMatchObject({ code: reason });
      }
    }
  });
});

describe('what is no URL of a database is told', () => {
  test.each([
    '',
    'market',
    'db.example.com:5432/market',
    'host=db.example.com user=writer password=pw',
    'mysql://writer:pw@db.example.com/market',
    'https://writer:pw@db.example.com/market',
    'postgresqls://db.example.com',
    'file:./lake',
    'postgresql://writer:pw@db.example.com:port/market',
    'postgresql://writer:pw@db.example.com:70000/market',
    'postgresql://writer:pw@[::1/market',
  ])('%j', (url) => {
    const { message } = failureOf(url);
    expect(message).toContain('postgresql://user@host:5432/database');
    expect(message).not.toContain('pw');
  });

  test.each(['/', '?', '#', '/@', '?@', '#@', '@/', '@?', '@#', 'x/y?z'])(
    'a password with characters that are not encoded, which would end it: %s',
    (special) => {
      for (const url of [
        `postgresql://writer:pw${special}pw@db.example.com/market`,
        `postgresql://writer:${special}pw@db.example.com:6432/market?sslmode=require`,
        `postgresql://writer:1${special}pw@db.example.com`,
      ]) {
        expect(failureOf(url).message, url).toMatch(/is none: .*percent-encoded/);
        expect(failureOf(url).message).not.toMatch(/pw|example/);
      }
    },
  );

  test('but an @ alone leaves no doubt: the last one ends the password', () => {
    expect(parse('postgresql://writer:p@w@db.example.com/market')).toMatchObject({
      ...{ host: 'db.example.com', user: 'writer', password: 'p@w', database: 'market' },
    });
  });

  test.each(['postgresql://writer:50%off@h/d', 'postgresql://wri%ter@h/d', 'postgresql://h/100%'])(
    'a percent sign that begins no code: %s',
    (url) => {
      const { message } = failureOf(url);
      expect(message).toContain('%25');
      expect(message).not.toMatch(/50%|wri%|100%/);
    },
  );

  test.each(['host=/tmp', 'user=writer', 'application_name=x', 'sslcert=c.pem', 'SSLMODE=disable'])(
    'a parameter that it does not know, without its name, which may be a piece of a password: %s',
    (parameter) => {
      const name = parameter.split('=')[0];
      const { message } = failureOf(`${REMOTE}?sslmode=require&${parameter}`);
      expect(message).not.toContain(name);
      expect(message).toContain('sslmode and sslrootcert only');
      expect(message).not.toMatch(/pw|example/);
    },
  );
});

describe('nothing of a password is told', () => {
  const CANARY = 'CANARY0s3cr3t';

  /** All that a database, or why there is none, says of itself. */
  function toldOf(url: string): string {
    try {
      const database = openDatabase(url);
      return inspect(database, { depth: 10, showHidden: true, getters: true });
    } catch (error) {
      return inspect(error, { depth: 10, showHidden: true, getters: true });
    }
  }

  test.each([
    `postgresql://writer:${CANARY}@db.example.com/market`,
    `postgresql://writer:${CANARY}@db.example.com:port/market`,
    `postgresql://writer:%zz${CANARY}@db.example.com/market`,
    `postgresql://writer:${CANARY}@db.example.com/market?sslmode=none`,
    `postgresql://writer:${CANARY}@db.example.com/market?sslrootcert=/nowhere`,
    `postgresql://writer:${CANARY}@db.example.com/market?unknown=1`,
    `mysql://writer:${CANARY}@db.example.com/market`,
    `writer:${CANARY}@db.example.com/market`,
    `postgres//writer:${CANARY}@db.example.com/market`,
    `postgresql:/writer:${CANARY}@db.example.com/market`,
  ])('%s', (url) => {
    expect(toldOf(url)).not.toContain(CANARY);
  });

  test('also where its special characters are not encoded, whatever they are', () => {
    const special = fc.string({ unit: fc.constantFrom(...'/?#@:%&=+[]\\ !$*"<>1a'), maxLength: 4 });
    const property = fc.property(special, special, (before, after) => {
      expect(toldOf(`postgresql://writer:${before}${CANARY}${after}@db.example.com/market`)).not.toContain(CANARY);
    });
    fc.assert(property, { numRuns: 2000, seed: 7 });
  });
});
