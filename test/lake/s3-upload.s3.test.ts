import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { describe, expect, test, vi } from 'vitest';
import { BatchLayerError } from '../../src/errors.ts';
import { withMetrics } from '../../src/lake/with-metrics.ts';
import {
  type Answer,
  cutBefore,
  errorAnswer,
  type Fault,
  hang,
  hangAfter,
  loseAnswer,
  type Matcher,
  refuse,
  refuseAfter,
} from '../support/s3/faulty-proxy.ts';
import { bytes, code, expectNoConnections, openFaultyStore, sameBytes, someBytes } from '../support/s3/faulty-store.ts';

const MEGABYTE = 2 ** 20;
const large = someBytes(20 * MEGABYTE + 12_345);
const isCreation: Matcher = ({ method, query }) => method === 'POST' && query.has('uploads');
const isPart: Matcher = ({ method, query }) => method === 'PUT' && query.has('partNumber');
const isSecondPart: Matcher = ({ query }) => query.get('partNumber') === '2';
const isCompletion: Matcher = ({ method, query }) => method === 'POST' && query.has('uploadId');
const isCleanup: Matcher = ({ method, query }) => method === 'DELETE' && query.has('uploadId');

describe('uploads in parts', () => {
  test('come back as they were, whatever the chunks', async () => {
    const { store, proxy } = await open();
    const metered = withMetrics(store);
    const etag = await metered.putStream('a', chunksOf(large), { ifNoneMatch: '*' });
    const { body, etag: found } = await metered.get('a');
    expect(sameBytes(body, large)).toBe(true);
    expect(found).toBe(etag);
    expect(await store.head('a')).toMatchObject({ etag, size: large.length });
    expect(await Array.fromAsync(store.list(''))).toMatchObject([{ key: 'a', etag }]);
    expect(proxy.seen.filter(isPart).map((seen) => Number(seen.headers['content-length']))).toEqual([
      8 * MEGABYTE,
      8 * MEGABYTE,
      large.length - 16 * MEGABYTE,
    ]);
    expect(metered.metrics()).toMatchObject({
      requests: { PUT: 3, POST: 2, GET: 1 },
      retries: 0,
      bytesWritten: large.length,
      bytesRead: large.length,
    });
    const replaced = await store.putStream('a', chunksOf(large.subarray(1)), { ifMatch: etag });
    expect((await store.head('a')).etag).toBe(replaced);
  });

  test.each([0, 1, 8 * MEGABYTE - 1, 8 * MEGABYTE, 8 * MEGABYTE + 1])('of %i bytes', async (length) => {
    const { store, proxy, expectNoParts } = await open();
    const content = large.subarray(0, length);
    await store.putStream('a', chunksOf(content), { ifNoneMatch: '*' });
    expect(sameBytes((await store.get('a')).body, content)).toBe(true);
    expect(proxy.seen.some(isCreation)).toBe(length >= 8 * MEGABYTE);
    await expectNoParts();
  });

  test('one of two that create, or replace the same version, wins; the other is a conflict and leaves no parts', async () => {
    const { store, expectNoParts } = await open();
    const race = async (condition: { readonly ifMatch?: string; readonly ifNoneMatch?: '*' }) => {
      const contents = [large, large.slice().reverse()];
      const results = await Promise.allSettled(
        contents.map((content) => store.putStream('a', chunksOf(content), condition)),
      );
      const won = results.flatMap((result, i) => (result.status === 'fulfilled' ? [i] : []));
      expect(won).toHaveLength(1);
      const errors = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
      expect(errors).toEqual([code('Conflict')]);
      expect(sameBytes((await store.get('a')).body, contents[won[0]!]!)).toBe(true);
      await expectNoParts();
    };
    await race({ ifNoneMatch: '*' });
    const ifMatch = await store.put('a', bytes('old'));
    await race({ ifMatch });
  });

  test('a condition that does not hold is a conflict', async () => {
    const { store, content, putObject, expectNoParts } = await open();
    const stale = await putObject('a', bytes('old'));
    const conditions = [{ ifNoneMatch: '*' }, { ifMatch: stale }] as const;
    await putObject('a', bytes('new'));
    for (const condition of conditions) {
      await expect(store.putStream('a', chunksOf(large), condition)).rejects.toEqual(code('Conflict'));
    }
    await expect(store.putStream('none', chunksOf(large), { ifMatch: stale })).rejects.toEqual(code('Conflict'));
    expect(await content('a')).toBe('new');
    await expectNoParts();
  });
});

describe('uploads whose answers are lost', () => {
  test.each([
    ['with the connection', loseAnswer, 1],
    ['in a 500', refuseAfter(500), 1],
    ['with the connection, each time', loseAnswer, 5],
  ])('%s: the completion is known as its own', async (_, fault, times) => {
    const { store, proxy, expectNoParts } = await open();
    const lost = proxy.arm(isCompletion, fault, times);
    const created = await store.putStream('a', chunksOf(large), { ifNoneMatch: '*' });
    expect(lost.hits).toBe(times);
    proxy.arm(isCompletion, fault, times);
    const other = large.slice().reverse();
    const replaced = await store.putStream('a', chunksOf(other), { ifMatch: created });
    expect(sameBytes((await store.get('a')).body, other)).toBe(true);
    expect((await store.head('a')).etag).toBe(replaced);
    await expectNoParts();
  });

  test("another's object in between is a conflict", async () => {
    const { store, proxy, content, putObject, expectNoParts } = await open();
    proxy.arm(isCompletion, async ({ forward, cut }) => {
      await forward();
      await putObject('a', bytes('of another'));
      cut();
    });
    await expect(store.putStream('a', chunksOf(large), { ifNoneMatch: '*' })).rejects.toEqual(code('Conflict'));
    expect(await content('a')).toBe('of another');
    await expectNoParts();
  });

  test('an answer of 200 with an error in it is no success', async () => {
    const { store, proxy, content, putObject, expectNoParts } = await open({ maxAttempts: 2 });
    await putObject('a', bytes('old'));
    const failing: Answer = { ...errorAnswer(200, 'InternalError') };
    const refused = proxy.arm(isCompletion, ({ reply }) => reply(failing), Number.POSITIVE_INFINITY);
    await expect(store.putStream('a', chunksOf(large))).rejects.toEqual(code('Unavailable'));
    expect(refused.hits).toBe(5);
    expect(await content('a')).toBe('old');
    await expectNoParts();
    proxy.disarm();
    proxy.arm(isCompletion, ({ reply }) => reply(failing));
    await store.putStream('a', chunksOf(large));
    expect(sameBytes((await store.get('a')).body, large)).toBe(true);
    await expectNoParts();
  });

  test('a completion that meets another write at the same time is not taken for done', async () => {
    const { store, proxy, content, putObject, expectNoParts } = await open();
    const ifMatch = await putObject('a', bytes('old'));
    proxy.arm(isCompletion, refuse(409, 'ConditionalRequestConflict'));
    await expect(store.putStream('a', chunksOf(large), { ifMatch })).rejects.toEqual(code('Unavailable'));
    expect(await content('a')).toBe('old');
    await expectNoParts();
  });
});

describe('uploads that are disturbed', () => {
  test.each([
    ['a 503', refuse(503, 'ServiceUnavailable')],
    ['a 500 after it was taken', refuseAfter(500)],
    ['a connection that breaks', cutBefore],
    ['a lost answer', loseAnswer],
  ])('by %s of a part send it again', async (_, fault) => {
    const { store, proxy, expectNoParts } = await open();
    const metered = withMetrics(store);
    const failed = proxy.arm(isSecondPart, fault, 2);
    await metered.putStream('a', chunksOf(large), { ifNoneMatch: '*' });
    expect(failed.hits).toBe(2);
    expect(sameBytes((await store.get('a')).body, large)).toBe(true);
    expect(metered.metrics()).toMatchObject({ requests: { PUT: 5, POST: 2 }, retries: 2 });
    await expectNoParts();
  });

  test.each([
    ['a part', isSecondPart],
    ['the creation', isCreation],
    ['the completion', isCompletion],
  ])('for good, by %s, leave the old object, no parts, and the source closed', async (_, matches) => {
    const { store, proxy, content, putObject, expectNoParts } = await open();
    await putObject('a', bytes('old'));
    for (const [status, name, expected] of [
      [503, 'ServiceUnavailable', 'Unavailable'],
      [403, 'AccessDenied', 'BadInput'],
    ] as const) {
      proxy.arm(matches, refuse(status, name), status === 503 ? 5 : 1);
      const source = watched(chunksOf(large));
      await expect(store.putStream('a', source.chunks)).rejects.toEqual(code(expected));
      expect(source.isClosed()).toBe(true);
      expect(await content('a')).toBe('old');
      await expectNoParts();
    }
    await expectNoConnections(proxy);
  });

  test.each([1, 9, 19])('by their source, after %i MB', async (megabytes) => {
    const { store, proxy, content, putObject, expectNoParts } = await open();
    await putObject('a', bytes('old'));
    const failing = async function* () {
      yield* chunksOf(large.subarray(0, megabytes * MEGABYTE));
      throw new BatchLayerError('CorruptObject', 'the source failed');
    };
    await expect(store.putStream('a', failing())).rejects.toThrow('the source failed');
    // It is what is told, also where the parts cannot be removed.
    proxy.arm(isCleanup, refuse(500, 'InternalError'), Number.POSITIVE_INFINITY);
    await expect(store.putStream('a', failing())).rejects.toThrow('the source failed');
    proxy.disarm();
    expect(await content('a')).toBe('old');
    if (megabytes < 8) await expectNoParts();
    await expectNoConnections(proxy);
  });

  test.each<readonly [string, Matcher, Fault]>([
    ['a part hangs', isSecondPart, hang],
    ['a part hangs that the server has', isSecondPart, hangAfter],
    ['the completion hangs', isCompletion, hang],
    ['the creation hangs', isCreation, hang],
  ])('by an abort while %s leave the old object and no parts', async (_, matches, fault) => {
    const { store, proxy, content, putObject, expectNoParts } = await open();
    await putObject('a', bytes('old'));
    const controller = new AbortController();
    const { signal } = controller;
    const hung = proxy.arm(matches, fault);
    const source = watched(chunksOf(large));
    const settled = expect(store.putStream('a', source.chunks, { signal })).rejects.toThrow('enough');
    await vi.waitFor(() => expect(hung.hits).toBe(1));
    const started = performance.now();
    controller.abort(new Error('enough'));
    await settled;
    expect(performance.now() - started).toBeLessThan(3000);
    expect(source.isClosed()).toBe(true);
    expect(await content('a')).toBe('old');
    await expectNoParts();
    await expectNoConnections(proxy);
  });

  test('by an abort while the source gives its chunks', async () => {
    const { store, proxy, content, putObject, expectNoParts } = await open();
    await putObject('a', bytes('old'));
    for (const at of [1, 9, 17]) {
      const controller = new AbortController();
      const source = watched(chunksOf(large), (given) => {
        if (given > at * MEGABYTE) controller.abort(new Error('enough'));
      });
      const { signal } = controller;
      await expect(store.putStream('a', source.chunks, { signal })).rejects.toThrow('enough');
      expect(source.isClosed()).toBe(true);
    }
    expect(await content('a')).toBe('old');
    await expectNoParts();
    await expectNoConnections(proxy);
  });

  test('by a server that hangs end within a bounded time', async () => {
    const { store, proxy, content, putObject } = await open({ attemptTimeoutMs: 300, maxAttempts: 1 });
    await putObject('a', bytes('old'));
    for (const matches of [isCreation, isSecondPart, isCompletion]) {
      proxy.arm(matches, hang, Number.POSITIVE_INFINITY);
      const started = performance.now();
      await expect(store.putStream('a', chunksOf(large))).rejects.toEqual(code('Unavailable'));
      expect(performance.now() - started).toBeLessThan(15_000);
      proxy.disarm();
    }
    expect(await content('a')).toBe('old');
    await expectNoConnections(proxy);
  });
});

async function open(options: Parameters<typeof openFaultyStore>[0] = {}) {
  const opened = await openFaultyStore(options);
  const { client, bucket } = opened;
  const expectNoParts = async (): Promise<void> => {
    const { Uploads: uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    expect(uploads).toEqual([]);
  };
  return { ...opened, expectNoParts };
}

/** Chunks of all sizes from nothing to a megabyte, the same each time. */
async function* chunksOf(content: Uint8Array): AsyncGenerator<Uint8Array> {
  let state = 7;
  for (let from = 0; from < content.length; ) {
    state = Math.imul(state, 1_103_515_245) + 12_345;
    const length = (state >>> 8) % (state & 64 ? MEGABYTE : 1000);
    yield content.subarray(from, from + length);
    from += length;
  }
}

/** A source that tells what it has given and whether it was let go. */
function watched(chunks: AsyncIterable<Uint8Array>, onGiven: (bytes: number) => void = () => undefined) {
  let isClosed = false;
  let given = 0;
  const source = async function* () {
    try {
      for await (const chunk of chunks) {
        given += chunk.length;
        onGiven(given);
        yield chunk;
      }
    } finally {
      isClosed = true;
    }
  };
  return { chunks: source(), isClosed: () => isClosed };
}
