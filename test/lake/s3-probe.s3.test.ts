import { describe, expect, test, vi } from 'vitest';
import { type S3StoreOptions, s3Store } from '../../src/lake/s3-store.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { openBucket } from '../support/s3/bucket.ts';
import { type Condition, openFakeS3 } from '../support/s3/fake-s3.ts';
import { openFaultyProxy, refuse } from '../support/s3/faulty-proxy.ts';
import { bytes, code } from '../support/s3/faulty-store.ts';

const ETAG = '"0123456789abcdef0123456789abcdef"';
const conditional: Record<string, (store: ObjectStore) => Promise<unknown>> = {
  'a create': (store) => store.put('a', bytes('x'), { ifNoneMatch: '*' }),
  'a replace': (store) => store.put('a', bytes('x'), { ifMatch: ETAG }),
  'a stream': (store) => store.putStream('a', stream(), { ifNoneMatch: '*' }),
  'a delete': (store) => store.delete('a', { ifMatch: ETAG }),
  'a delete of many': (store) => store.deleteAll([{ key: 'b' }, { key: 'a', ifMatch: ETAG }]),
};

describe('a server that takes no notice of conditions', () => {
  test.each(Object.entries(conditional))('is refused before %s', async (_, write) => {
    const fake = await openFakeS3();
    const store = fakeStore(fake.endpoint);
    for (let i = 0; i < 2; i++) {
      const error = await write(store).catch((reason: unknown) => reason);
      expect(error).toEqual(code('BadInput'));
      expect(error).toHaveProperty('message', expect.stringContaining('s3://lake: this store ignores If-None-Match'));
    }
    expect(fake.seen.filter(({ path }) => !path.includes('/.batch-layer/probe-'))).toEqual([]);
    expect([...fake.objects]).toEqual([]);
  });

  test.each<readonly [readonly Condition[], string]>([
    [['replace', 'delete', 'delete many'], 'If-None-Match of a PUT'],
    [['create', 'delete', 'delete many'], 'If-Match of a PUT'],
    [['create', 'replace', 'delete many'], 'If-Match of a DELETE'],
    [['create', 'replace', 'delete'], 'the ETag of a multi-object DELETE'],
  ])('is refused where it honours only %j', async (honoured, ignored) => {
    const fake = await openFakeS3(honoured);
    const store = fakeStore(fake.endpoint);
    await expect(store.put('a', bytes('x'), { ifNoneMatch: '*' })).rejects.toThrow(`this store ignores ${ignored}:`);
    expect([...fake.objects]).toEqual([]);
  });

  test('serves reads and writes without conditions, the length of its answers told or not', async () => {
    const fake = await openFakeS3();
    const store = fakeStore(fake.endpoint);
    await store.put('a', bytes('x'));
    expect(await store.get('a')).toMatchObject({ body: bytes('x') });
    await store.delete('a');
    expect(fake.seen.map(({ method }) => method)).toEqual(['PUT', 'GET', 'DELETE']);
  });
});

test('what a server refuses to delete because there is none is gone', async () => {
  const fake = await openFakeS3(['create', 'replace', 'delete', 'delete many']);
  const store = fakeStore(fake.endpoint);
  const ifMatch = await store.put('a', bytes('x'));
  await store.delete('none', { ifMatch });
  const deletions = ['none', 'a', 'other'].map((key) => ({ key, ifMatch }));
  await store.put('other', bytes('y'));
  expect(await store.deleteAll(deletions)).toEqual([undefined, undefined, code('Conflict')]);
});

describe('the probe', () => {
  test('is made once, by whoever comes first, and leaves nothing behind', async () => {
    const { store, proxy, client } = await openProbed();
    const isProbe = ({ key, body }: { readonly key: string; readonly body: Buffer }) =>
      key.startsWith('lake/.batch-layer/') || body.includes('.batch-layer/');
    await store.get('none').catch(() => undefined);
    await store.put('first', bytes('x'));
    expect(proxy.seen.filter(isProbe)).toEqual([]);
    await Promise.all(['a', 'b', 'c', 'd'].map((key) => store.put(key, bytes(key), { ifNoneMatch: '*' })));
    const probes = proxy.seen.filter(isProbe);
    expect(probes.map(({ method }) => method).filter((method) => method !== 'HEAD')).toEqual([
      'PUT',
      'PUT',
      'PUT',
      'DELETE',
      'POST',
      'DELETE',
    ]);
    const lastProbe = proxy.seen.lastIndexOf(probes.at(-1)!);
    expect(proxy.seen.findIndex(({ headers, key }) => headers['if-none-match'] && /^lake\/[a-d]$/.test(key))).toBe(
      lastProbe + 1,
    );
    expect(await Array.fromAsync(client.list(''))).toHaveLength(5);
    proxy.seen.length = 0;
    await Promise.allSettled(Object.values(conditional).map((write) => write(store)));
    expect(proxy.seen.filter(isProbe)).toEqual([]);
  });

  test('is made again where it came to no result', async () => {
    const { store, proxy, client } = await openProbed({ maxAttempts: 1 });
    proxy.arm(({ method }) => method === 'DELETE', refuse(503));
    await expect(store.put('a', bytes('x'), { ifNoneMatch: '*' })).rejects.toEqual(code('Unavailable'));
    await store.put('a', bytes('x'), { ifNoneMatch: '*' });
    expect((await Array.fromAsync(client.list(''))).map(({ key }) => key)).toEqual(['a']);
  });

  test('is not ended by an abort of the call that came first, which ends at once', async () => {
    const { store, proxy, client } = await openProbed();
    const controller = new AbortController();
    const { signal } = controller;
    proxy.arm(
      () => true,
      async ({ forward, reply }) => {
        controller.abort(new Error('enough'));
        reply(await forward());
      },
    );
    const aborted = store.put('a', bytes('x'), { ifNoneMatch: '*', signal });
    const other = store.put('b', bytes('x'), { ifNoneMatch: '*' });
    await expect(aborted).rejects.toThrow('enough');
    await other;
    await vi.waitFor(async () => expect((await Array.fromAsync(client.list(''))).map(({ key }) => key)).toEqual(['b']));
  });
});

function fakeStore(endpoint: string): ObjectStore {
  const credentials = { accessKeyId: 'test', secretAccessKey: 'testsecret' };
  return s3Store({ bucket: 'lake', endpoint, region: 'us-east-1', credentials, maxAttempts: 2 });
}

async function openProbed(options: Partial<S3StoreOptions> = {}) {
  const { bucket, options: direct } = await openBucket();
  const proxy = await openFaultyProxy(direct.endpoint);
  const at = { ...direct, bucket, prefix: 'lake' };
  return { store: s3Store({ ...at, endpoint: proxy.endpoint, ...options }), proxy, client: s3Store(at) };
}

async function* stream(): AsyncGenerator<Uint8Array> {
  yield bytes('x');
}
