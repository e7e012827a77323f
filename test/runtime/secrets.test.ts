import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { databaseLogin, marketApiKey } from '../../src/runtime/secrets.ts';

const SECRETS: Readonly<Record<string, string>> = {
  plain: ' CANARY-plain\n',
  json: '{"POLYGON_API_KEY":"CANARY-json","user":"x"}',
  other: '{"password":"CANARY-other"}',
  broken: '{"POLYGON_API_KEY":"CANARY-broken',
  empty: '',
};
const arnOf = (name: string) => `arn:aws:secretsmanager:ca-west-1:123456789012:secret:${name}`;

// Secrets Manager, as far as one call of it: a POST with the ARN in JSON.
let server: Server;
beforeAll(async () => {
  server = createServer(async (request, response) => {
    const { SecretId } = JSON.parse(Buffer.concat(await Array.fromAsync(request)).toString());
    const secret = SECRETS[SecretId.split(':').at(-1)];
    response.setHeader('content-type', 'application/x-amz-json-1.1');
    const isDown = SecretId.endsWith(':down');
    response.statusCode = isDown ? 503 : secret === undefined ? 400 : 200;
    const error = { __type: 'ResourceNotFoundException', message: "Secrets Manager can't find the specified secret." };
    response.end(JSON.stringify(secret === undefined ? error : { SecretString: secret }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  vi.stubEnv('AWS_ENDPOINT_URL_SECRETS_MANAGER', `http://127.0.0.1:${port}`);
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'test');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test');
});
afterAll(() => {
  vi.unstubAllEnvs();
  server.close();
});

test('the key is that of the environment, where there is one', async () => {
  const env = { POLYGON_API_KEY: 'own', POLYGON_API_KEY_SECRET_ARN: arnOf('nowhere') };
  expect(await marketApiKey(env)).toBe('own');
});

test.each([
  ['plain', 'CANARY-plain'],
  ['json', 'CANARY-json'],
])('the key is in a secret: %s', async (name, key) => {
  expect(await marketApiKey({ POLYGON_API_KEY_SECRET_ARN: arnOf(name) })).toBe(key);
});

test.each(['other', 'broken', 'empty', 'nowhere'])(
  'a secret without a key is named, and nothing of it: %s',
  async (name) => {
    const failure = await marketApiKey({ POLYGON_API_KEY_SECRET_ARN: arnOf(name) }).catch((error) => error);
    expect(failure).toMatchObject({ code: 'BadInput', message: expect.stringContaining(arnOf(name)) });
    expect(inspect(failure, { depth: 9, showHidden: true })).not.toContain('CANARY');
  },
);

test('without either it says what to set', async () => {
  await expect(marketApiKey({})).rejects.toThrow(/POLYGON_API_KEY, or POLYGON_API_KEY_SECRET_ARN/);
});

/** The environment of one test. */
function stub(env: Readonly<Record<string, string | undefined>>): void {
  const before = Object.keys(env).map((name) => [name, process.env[name]] as const);
  onTestFinished(() => {
    for (const [name, value] of before) vi.stubEnv(name, value);
  });
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
}

test('a service that is down, or does not listen, is no fault of the input', async () => {
  const [arn, rds] = [arnOf('down'), { RDS_SECRET_ARN: arnOf('down') }];
  const expected = {
    code: 'Unavailable',
    message: expect.stringMatching(/:down: cannot be read: .*; try again later/),
  };
  await expect(marketApiKey({ POLYGON_API_KEY_SECRET_ARN: arn })).rejects.toMatchObject(expected);
  await expect(databaseLogin(rds)).rejects.toMatchObject(expected);
  stub({ AWS_ENDPOINT_URL_SECRETS_MANAGER: 'http://127.0.0.1:9' });
  await expect(databaseLogin(rds)).rejects.toMatchObject(expected);
});

test('what it refuses, and credentials that are missing, are', async () => {
  const rds = { RDS_SECRET_ARN: arnOf('nowhere') };
  const message = expect.stringContaining('check the ARN, the credentials');
  await expect(databaseLogin(rds)).rejects.toMatchObject({ code: 'BadInput', message });
  stub({
    AWS_ACCESS_KEY_ID: undefined,
    AWS_SECRET_ACCESS_KEY: undefined,
    AWS_PROFILE: undefined,
    AWS_CONFIG_FILE: '/nowhere',
    AWS_SHARED_CREDENTIALS_FILE: '/nowhere',
    AWS_EC2_METADATA_DISABLED: 'true',
  });
  await expect(databaseLogin(rds)).rejects.toMatchObject({ code: 'BadInput', message });
});

test('an abort ends the waiting', async () => {
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(marketApiKey({ POLYGON_API_KEY_SECRET_ARN: arnOf('plain') }, signal)).rejects.toThrow('enough');
});
