import { inspect } from 'node:util';
import { describe, expect, inject, onTestFinished, test, vi } from 'vitest';
import { openStore } from '../../src/lake/open-store.ts';
import { type S3StoreOptions, s3Store } from '../../src/lake/s3-store.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { runCommandLine } from '../../src/runtime/command-line.ts';
import { openBucket } from '../support/s3/bucket.ts';
import { openFakeS3 } from '../support/s3/fake-s3.ts';
import { openFaultyProxy, refuse } from '../support/s3/faulty-proxy.ts';
import { bytes, code } from '../support/s3/faulty-store.ts';

const credentials = { accessKeyId: 'test', secretAccessKey: 'testsecret' };

describe('where the lake is', () => {
  test('comes from the options', async () => {
    const fake = await openFakeS3();
    setEnvironment({});
    const { endpoint } = fake;
    const options = { endpoint, region: 'eu-central-1', credentials: { ...credentials, accessKeyId: 'KEY1' } };
    await openStore('s3://market-data/lake/raw', options).put('a/b', bytes('x'));
    expect(fake.seen).toMatchObject([{ method: 'PUT', path: '/market-data/lake/raw/a/b' }]);
    expect(fake.seen[0]?.headers.authorization).toMatch(/Credential=KEY1\/\d{8}\/eu-central-1\/s3\//);
  });

  test('else from the environment', async () => {
    const fake = await openFakeS3();
    setEnvironment({
      AWS_ENDPOINT_URL_S3: fake.endpoint.replace('127.0.0.1', 'localhost'),
      S3_FORCE_PATH_STYLE: 'true',
      AWS_REGION: 'eu-west-1',
      AWS_ACCESS_KEY_ID: 'KEY2',
      AWS_SECRET_ACCESS_KEY: 'testsecret',
    });
    await openStore('s3://market-data').put('a/b', bytes('x'));
    expect(fake.seen).toMatchObject([{ method: 'PUT', path: '/market-data/a/b' }]);
    expect(fake.seen[0]?.headers.authorization).toMatch(/Credential=KEY2\/\d{8}\/eu-west-1\/s3\//);
  });

  test('has the bucket in the host unless the path is asked for', async () => {
    const fake = await openFakeS3();
    setEnvironment({});
    const endpoint = fake.endpoint.replace('127.0.0.1', 'localhost');
    const options = { endpoint, region: 'us-east-1', credentials, maxAttempts: 1 };
    await openStore('s3://market-data', { ...options, forcePathStyle: true }).put('a', bytes('x'));
    expect(fake.seen.splice(0)).toMatchObject([{ path: '/market-data/a' }]);
    // Not every resolver knows names below localhost.
    await openStore('s3://market-data', options)
      .put('a', bytes('x'))
      .catch((error) => expect(error).toEqual(code('Unavailable')));
    for (const { path, headers } of fake.seen) {
      expect({ path, host: headers.host }).toEqual({ path: '/a', host: expect.stringMatching(/^market-data\./) });
    }
  });
});

test('objects are encrypted with the key that is given, whole ones and those in parts', async () => {
  const { bucket, options } = await openBucket();
  const proxy = await openFaultyProxy(options.endpoint);
  proxy.arm(({ method }) => method !== 'GET', refuse(403, 'AccessDenied'), Number.POSITIVE_INFINITY);
  const write = async (store: ObjectStore) => {
    const large = async function* () {
      yield new Uint8Array(9 * 2 ** 20);
    };
    await expect(store.put('a', bytes('x'))).rejects.toEqual(code('BadInput'));
    await expect(store.putStream('a', large())).rejects.toEqual(code('BadInput'));
    return proxy.seen
      .splice(0)
      .map(({ method, headers }) => [
        method,
        headers['x-amz-server-side-encryption'],
        headers['x-amz-server-side-encryption-aws-kms-key-id'],
      ]);
  };
  const at = { ...options, bucket, endpoint: proxy.endpoint };
  expect(await write(s3Store({ ...at, kmsKeyId: 'alias/lake' }))).toEqual([
    ['PUT', 'aws:kms', 'alias/lake'],
    ['POST', 'aws:kms', 'alias/lake'],
  ]);
  expect(await write(s3Store(at))).toEqual([
    ['PUT', undefined, undefined],
    ['POST', undefined, undefined],
  ]);
});

describe('what is wrong with the settings is said at first use, without a secret', () => {
  const { endpoint, region, credentials: right } = inject('s3');
  const wrongSecret = { accessKeyId: right.accessKeyId, secretAccessKey: 'wr0ng-SECRET-value' };
  const unknownKey = { accessKeyId: 'NOBODY', secretAccessKey: 'wr0ng-SECRET-value' };
  const calls: Record<string, (store: ObjectStore) => Promise<unknown>> = {
    get: (store) => store.get('a'),
    head: (store) => store.head('a'),
    getRange: (store) => store.getRange('a', { start: 0, end: 1 }),
    put: (store) => store.put('a', bytes('x')),
    'conditional put': (store) => store.put('a', bytes('x'), { ifNoneMatch: '*' }),
    putStream: (store) => store.putStream('a', large()),
    delete: (store) => store.delete('a'),
    deleteAll: (store) => store.deleteAll([{ key: 'a' }]),
    list: (store) => Array.fromAsync(store.list('')),
  };

  test.each<readonly [string, Partial<S3StoreOptions>, RegExp]>([
    ['no such bucket', { bucket: 'no-such-bucket' }, /no such bucket; check the URL of the lake|no such object/],
    ['a wrong secret', { credentials: wrongSecret }, /access denied; check the credentials/],
    ['an unknown key', { credentials: unknownKey }, /access denied; check the credentials/],
    ['no region', { region: undefined }, /set AWS_REGION/],
    ['no credentials', { credentials: undefined }, /found no AWS credentials; set AWS_PROFILE/],
    [
      'an endpoint that is no URL',
      { endpoint: 'localhost:9000' },
      /no URL such as http:\/\/host:port; check AWS_ENDPOINT_URL_S3/,
    ],
  ])('%s', async (_, wrong, advice) => {
    setEnvironment({});
    const { bucket, options } = await openBucket();
    const store = s3Store({ ...options, bucket, ...wrong } as S3StoreOptions);
    for (const [kind, call] of Object.entries(calls)) {
      const error = await call(store).catch((reason: unknown) => reason);
      // A HEAD has no body that could tell what there is none of.
      const expected = wrong.bucket && kind === 'head' ? 'NotFound' : 'BadInput';
      expect({ kind, error }).toEqual({ kind, error: code(expected) });
      expect((error as Error).message).toMatch(advice);
      const said = `${inspect(error)}${JSON.stringify(error)}${(error as Error).stack}`;
      expect(said).not.toMatch(/SECRET|testsecret|Signature=|AWS4-HMAC|StringToSign>/);
    }
  });

  test.each(['localhost:9000', 'nonsense', 'http://'])('the endpoint %s in the environment', async (url) => {
    setEnvironment({ AWS_ENDPOINT_URL_S3: url });
    const store = s3Store({ bucket: 'market-data', region, credentials });
    await expect(store.get('a')).rejects.toEqual(code('BadInput'));
  });

  test('on the command line too, with exit code 2', async () => {
    setEnvironment({
      AWS_ENDPOINT_URL_S3: endpoint,
      AWS_REGION: region,
      AWS_ACCESS_KEY_ID: wrongSecret.accessKeyId,
      AWS_SECRET_ACCESS_KEY: wrongSecret.secretAccessKey,
    });
    const { bucket } = await openBucket();
    let said = '';
    const write = (text: string): boolean => {
      said += text;
      return true;
    };
    const out = { isTTY: false, write } as NodeJS.WriteStream;
    for (const command of ['consolidate', 'resample']) {
      said = '';
      const exitCode = await runCommandLine([command, '--lake', `s3://${bucket}/lake`], { stdout: out, stderr: out });
      expect({ command, exitCode }).toEqual({ command, exitCode: 2 });
      expect(said).toContain('check the credentials');
      expect(said).not.toMatch(/SECRET|Signature=/);
    }
  });
});

/** These AWS settings and no others. */
function setEnvironment(settings: Readonly<Record<string, string>>): void {
  const none = ['AWS_ENDPOINT_URL', 'AWS_ENDPOINT_URL_S3', 'AWS_PROFILE', 'AWS_REGION', 'AWS_DEFAULT_REGION'];
  for (const name of [...none, 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'S3_FORCE_PATH_STYLE']) {
    vi.stubEnv(name, undefined);
  }
  for (const name of ['AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE']) vi.stubEnv(name, '/no/such/file');
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
  vi.stubEnv('MODE', undefined);
  for (const [name, value] of Object.entries(settings)) vi.stubEnv(name, value);
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
}

async function* large(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(9 * 2 ** 20);
}
