import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import type { ObjectStore, StoreCall } from '../../src/lake/store.ts';
import { withMetrics } from '../../src/lake/with-metrics.ts';
import {
  cutBefore,
  type Fault,
  type FaultyProxy,
  flip,
  hang,
  hangAfter,
  loseAnswer,
  refuse,
  refuseAfter,
  type SeenRequest,
  stall,
  truncate,
} from '../support/s3/faulty-proxy.ts';
import { bytes, code, expectNoConnections, openFaultyStore, sameBytes, someBytes } from '../support/s3/faulty-store.ts';

const MEGABYTE = 2 ** 20;
const body = someBytes(4 * MEGABYTE);
const isMethod = (method: string) => (seen: SeenRequest) => seen.method === method;

describe('reads', () => {
  test('a body that breaks off is gone on with where it broke off', async () => {
    const { store, proxy, putObject } = await openFaultyStore();
    await putObject('a', body);
    const metered = withMetrics(store);
    proxy.arm(isMethod('GET'), truncate(MEGABYTE), 3);
    expect(sameBytes((await metered.get('a')).body, body)).toBe(true);
    expect(rangesOf(proxy)).toEqual([
      undefined,
      `bytes=${MEGABYTE}-${4 * MEGABYTE - 1}`,
      `bytes=${2 * MEGABYTE}-${4 * MEGABYTE - 1}`,
      `bytes=${3 * MEGABYTE}-${4 * MEGABYTE - 1}`,
    ]);
    expect(metered.metrics().requests.GET).toBe(4);
  });

  test('a range that breaks off is gone on with, to its own end', async () => {
    const { store, proxy, putObject } = await openFaultyStore();
    const ifMatch = await putObject('a', body);
    proxy.arm(isMethod('GET'), truncate(1000), 2);
    const range = await store.getRange('a', { start: 5000, end: 9000, ifMatch });
    expect(sameBytes(range, body.subarray(5000, 9000))).toBe(true);
    expect(rangesOf(proxy)).toEqual(['bytes=5000-8999', 'bytes=6000-8999', 'bytes=7000-8999']);
    proxy.arm(isMethod('GET'), truncate(10), 1);
    expect(await store.getRange('a', { start: body.length - 20, end: body.length + 500 })).toEqual(body.slice(-20));
  });

  test('an object that is replaced between the halves of its body is read anew, whole', async () => {
    const { store, proxy, putObject } = await openFaultyStore();
    await putObject('a', body);
    const other = body.slice().reverse();
    const replaceMeanwhile: Fault = async ({ forward, begin, cut }) => {
      await begin(await forward(), 1000);
      await putObject('a', other);
      cut();
    };
    proxy.arm(isMethod('GET'), replaceMeanwhile);
    expect(sameBytes((await store.get('a')).body, other)).toBe(true);
    const ifMatch = await putObject('a', body);
    proxy.arm(isMethod('GET'), replaceMeanwhile);
    const named = store.getRange('a', { start: 0, end: 3000, ifMatch });
    await expect(named).rejects.toEqual(code('Conflict'));
  });

  test('gives up where no more bytes come', async () => {
    const { store, proxy, putObject } = await openFaultyStore({ maxAttempts: 2 });
    await putObject('a', body);
    proxy.arm(isMethod('GET'), truncate(0), Number.POSITIVE_INFINITY);
    await expect(store.get('a')).rejects.toEqual(code('Unavailable'));
    await expect(store.getRange('a', { start: 3, end: 9 })).rejects.toEqual(code('Unavailable'));
    expect(proxy.seen).toHaveLength(4);
    proxy.disarm();
    proxy.seen.length = 0;
    // A byte an answer is progress, but not for ever.
    proxy.arm(isMethod('GET'), truncate(1), Number.POSITIVE_INFINITY);
    await expect(store.get('a')).rejects.toEqual(code('Unavailable'));
    expect(proxy.seen.length).toBeLessThan(20);
  });

  test('a body that stalls ends by the deadline, and is tried again', async () => {
    const { store, proxy, putObject } = await openFaultyStore({ maxAttempts: 2, attemptTimeoutMs: 300 });
    await putObject('a', body);
    proxy.arm(isMethod('GET'), stall(MEGABYTE));
    expect(sameBytes((await store.get('a')).body, body)).toBe(true);
    proxy.arm(isMethod('GET'), stall(MEGABYTE), 2);
    await expect(store.get('a')).rejects.toEqual(code('Unavailable'));
    proxy.arm(isMethod('GET'), stall(1), 2);
    await expect(store.getRange('a', { start: 1, end: 99 })).rejects.toEqual(code('Unavailable'));
    proxy.arm(isMethod('GET'), stall(100));
    expect(await Array.fromAsync(store.list(''))).toHaveLength(1);
    proxy.arm(isMethod('GET'), stall(100), 2);
    await expect(Array.fromAsync(store.list(''))).rejects.toEqual(code('Unavailable'));
    await expectNoConnections(proxy);
  });

  test('a whole object whose checksum the server tells never comes with another bit', async () => {
    const { store, proxy, putObject } = await openFaultyStore();
    for (const [key, length] of Object.entries({ tiny: 1, small: 70_000, large: body.length })) {
      const content = body.slice(0, length);
      await putObject(key, content);
      for (const at of [0, length >> 1, length - 1]) {
        const flipped = proxy.arm(isMethod('GET'), flip(at));
        expect(sameBytes((await store.get(key)).body, content)).toBe(true);
        expect(flipped.hits).toBe(1);
      }
      const always = proxy.arm(isMethod('GET'), flip(0), Number.POSITIVE_INFINITY);
      await expect(store.get(key)).rejects.toEqual(code('Unavailable'));
      expect(always.hits).toBe(6);
      proxy.disarm();
    }
  });
});

describe('writes whose answer is lost', () => {
  const isPut = isMethod('PUT');

  test.each([
    ['lost with the connection', loseAnswer],
    ['turned into a 500', refuseAfter(500)],
    ['turned into a 503', refuseAfter(503, 'SlowDown')],
  ])('%s: known as its own by the write id', async (_, fault) => {
    const { store, proxy, putObject, content } = await openFaultyStore();
    const metered = withMetrics(store);
    proxy.arm(isPut, fault);
    const created = await metered.put('a', bytes('first'), { ifNoneMatch: '*' });
    expect(proxy.seen.map(({ method }) => method)).toEqual(['PUT', 'PUT', 'HEAD']);
    expect((await store.head('a')).etag).toBe(created);
    proxy.arm(isPut, fault);
    const replaced = await metered.put('a', bytes('second'), { ifMatch: created });
    expect((await store.head('a')).etag).toBe(replaced);
    expect(await content('a')).toBe('second');
    expect(metered.metrics()).toMatchObject({ requests: { PUT: 4, HEAD: 2 }, retries: 2, bytesWritten: 22 });
    await putObject('b', bytes('x'));
    proxy.arm(isPut, fault);
    await store.put('b', bytes('without a condition'));
    expect(await content('b')).toBe('without a condition');
  });

  test.each([
    ['creates', undefined],
    ['replaces', 'old'],
  ])("another's object in between is a conflict for one that %s", async (_, old) => {
    const { store, proxy, putObject, content } = await openFaultyStore();
    const condition = old ? { ifMatch: await putObject('a', bytes(old)) } : ({ ifNoneMatch: '*' } as const);
    proxy.arm(isPut, async (exchange) => {
      await exchange.forward();
      await putObject('a', bytes('of another'));
      exchange.cut();
    });
    await expect(store.put('a', bytes('mine'), condition)).rejects.toEqual(code('Conflict'));
    expect(await content('a')).toBe('of another');
  });

  test("another's object before the first try is a conflict, without a second: its name is looked at", async () => {
    const { store, proxy, putObject } = await openFaultyStore();
    await putObject('a', bytes('of another'));
    await expect(store.put('a', bytes('mine'), { ifNoneMatch: '*' })).rejects.toEqual(code('Conflict'));
    expect(proxy.seen.map(({ method }) => method)).toEqual(['PUT', 'HEAD']);
  });

  test('a write that never got there is written by the next try', async () => {
    const { store, proxy, content } = await openFaultyStore();
    proxy.arm(isPut, cutBefore, 2);
    await store.put('a', bytes('x'), { ifNoneMatch: '*' });
    expect(proxy.seen.map(({ method }) => method)).toEqual(['PUT', 'PUT', 'PUT']);
    expect(await content('a')).toBe('x');
  });

  test('a stream below the size of a part is one write, tried again like any other', async () => {
    const { store, proxy, content } = await openFaultyStore();
    proxy.arm(isPut, refuse(503));
    proxy.arm(isPut, refuse(409, 'ConditionalRequestConflict'));
    proxy.arm(isPut, loseAnswer);
    const etag = await store.putStream('a', chunksOf(bytes('streamed'), 3), { ifNoneMatch: '*' });
    expect(proxy.seen.map(({ method }) => method)).toEqual(['PUT', 'PUT', 'PUT', 'PUT', 'HEAD']);
    expect(await content('a')).toBe('streamed');
    expect((await store.head('a')).etag).toBe(etag);
  });
});

describe('bursts', () => {
  const calls: Record<string, (store: ObjectStore) => Promise<unknown>> = {
    get: (store) => store.get('a'),
    getRange: (store) => store.getRange('a', { start: 0, end: 1 }),
    head: (store) => store.head('a'),
    put: (store) => store.put('b', bytes('x')),
    delete: (store) => store.delete('a'),
    deleteAll: (store) => store.deleteAll([{ key: 'a' }]).then(([failure]) => failure && Promise.reject(failure)),
    list: (store) => Array.fromAsync(store.list('')),
  };
  const failures: readonly (readonly [number, string])[] = [
    [503, 'SlowDown'],
    [429, 'TooManyRequests'],
    [500, 'InternalError'],
    [502, 'BadGateway'],
    [409, 'ConditionalRequestConflict'],
  ];

  test.each(failures)('of %i %s are waited out, up to a number of tries', async (status, name) => {
    const { store, proxy, putObject, waits } = await openFaultyStore({ maxAttempts: 4 });
    for (const [kind, call] of Object.entries(calls)) {
      await putObject('a', bytes('x'));
      proxy.seen.length = 0;
      waits.length = 0;
      proxy.arm(() => true, refuse(status, name), 3);
      await call(store);
      expect({ kind, tries: proxy.seen.length }).toEqual({ kind, tries: 4 });
      expect(waits).toEqual([50, 100, 200]);

      proxy.arm(() => true, refuse(status, name), 4);
      await expect(call(store)).rejects.toEqual(code('Unavailable'));
      expect(proxy.seen).toHaveLength(8);
    }
  });

  test('the waits grow, with chance, up to a bound', async () => {
    let draws = 0;
    const { store, proxy, waits } = await openFaultyStore({ maxAttempts: 12, random: () => (draws++ % 2 ? 1 : 0.25) });
    proxy.arm(() => true, refuse(503), Number.POSITIVE_INFINITY);
    await expect(store.head('a')).rejects.toEqual(code('Unavailable'));
    expect(proxy.seen).toHaveLength(12);
    expect(waits).toEqual([25, 200, 100, 800, 400, 3200, 1600, 10_000, 2500, 10_000, 2500]);
  });

  test('a request that came too slowly is sent again', async () => {
    const { store, proxy } = await openFaultyStore();
    proxy.arm(() => true, refuse(400, 'RequestTimeout'), 2);
    await store.put('a', bytes('x'));
    expect(proxy.seen).toHaveLength(3);
  });

  test('what will not pass is not tried again', async () => {
    const { store, proxy } = await openFaultyStore();
    for (const [status, name, expected] of [
      [403, 'AccessDenied', 'BadInput'],
      [404, 'NoSuchKey', 'NotFound'],
      [404, 'NoSuchBucket', 'BadInput'],
      [400, 'InvalidArgument', 'BadInput'],
      [412, 'PreconditionFailed', 'Conflict'],
    ] as const) {
      proxy.seen.length = 0;
      proxy.arm(() => true, refuse(status, name));
      await expect(store.get('a')).rejects.toEqual(code(expected));
      expect(proxy.seen).toHaveLength(1);
    }
  });
});

describe('a server that hangs', () => {
  const calls: readonly (readonly [string, (store: ObjectStore, call?: StoreCall) => Promise<unknown>])[] = [
    ['get', (store, call) => store.get('a', call)],
    ['getRange', (store, call) => store.getRange('a', { start: 0, end: 1, ...call })],
    ['head', (store, call) => store.head('a', call)],
    ['put', (store, call) => store.put('b', bytes('x'), call)],
    ['put of many bytes', (store, call) => store.put('b', body, call)],
    ['putStream', (store, call) => store.putStream('b', chunksOf(bytes('x'), 1), call)],
    ['delete', (store, call) => store.delete('a', call)],
    ['deleteAll', (store, call) => store.deleteAll([{ key: 'a' }], call).then(([failure]) => Promise.reject(failure))],
    ['list', (store, call) => Array.fromAsync(store.list('', call))],
  ];

  test.each(calls)('%s ends by the deadline', async (_, call) => {
    const { store, proxy, putObject } = await openFaultyStore({ maxAttempts: 2, attemptTimeoutMs: 200 });
    await putObject('a', bytes('x'));
    const started = performance.now();
    proxy.arm(() => true, hang);
    proxy.arm(() => true, hangAfter);
    await expect(call(store)).rejects.toEqual(code('Unavailable'));
    const tookMs = performance.now() - started;
    expect(tookMs).toBeGreaterThan(300);
    expect(tookMs).toBeLessThan(3000);
    expect(proxy.seen).toHaveLength(2);
    await expectNoConnections(proxy);
  });

  test.each(calls)('%s rejects at once with the reason of an abort', async (_, call) => {
    const { store, proxy } = await openFaultyStore();
    proxy.arm(() => true, hang);
    const controller = new AbortController();
    const settled = expect(call(store, { signal: controller.signal })).rejects.toThrow('enough');
    await vi.waitFor(() => expect(proxy.seen).toHaveLength(1));
    const started = performance.now();
    controller.abort(new Error('enough'));
    await settled;
    expect(performance.now() - started).toBeLessThan(5000);
    await expectNoConnections(proxy);
    expect(proxy.seen).toHaveLength(1);
  });

  test('an abort between two tries does not wait for the next', async () => {
    const { store, proxy } = await openFaultyStore({ clock: systemClock, random: () => 1 });
    proxy.arm(() => true, refuse(503), Number.POSITIVE_INFINITY);
    const controller = new AbortController();
    const settled = expect(store.head('a', { signal: controller.signal })).rejects.toThrow('enough');
    await vi.waitFor(() => expect(proxy.seen).toHaveLength(4)); // the next is 800 ms away
    const started = performance.now();
    controller.abort(new Error('enough'));
    await settled;
    expect(performance.now() - started).toBeLessThan(800);
    await sleep(900);
    expect(proxy.seen).toHaveLength(4);
  });

  test('bodies and listings that are aborted, or left, keep no connection', async () => {
    const { store, proxy, putObject } = await openFaultyStore();
    await putObject('a', body);
    for (const key of ['l/1', 'l/2', 'l/3']) await putObject(key, bytes(key));
    for (let i = 0; i < 30; i++) {
      const controller = new AbortController();
      proxy.arm(isMethod('GET'), stall(MEGABYTE + i));
      const settled = expect(store.get('a', { signal: controller.signal })).rejects.toThrow('enough');
      await vi.waitFor(() => expect(proxy.seen).toHaveLength(i + 1));
      await sleep(2);
      controller.abort(new Error('enough'));
      await settled;
    }
    for await (const _ of store.list('l/')) break;
    await expect(store.get('no/such')).rejects.toEqual(code('NotFound'));
    await expect(store.getRange('a', { start: 2 ** 30, end: 2 ** 31 })).resolves.toHaveLength(0);
    await expectNoConnections(proxy);
  });
});

describe('deletions', () => {
  test('whose answer is lost, of the version named, are done', async () => {
    const { store, proxy, putObject } = await openFaultyStore();
    for (const fault of [loseAnswer, refuseAfter(500), cutBefore]) {
      const ifMatch = await putObject('a', bytes('x'));
      const lost = proxy.arm(isMethod('DELETE'), fault);
      await store.delete('a', { ifMatch });
      expect(lost.hits).toBe(1);
      await expect(store.head('a')).rejects.toEqual(code('NotFound'));
    }
    const ifMatch = await putObject('a', bytes('x'));
    proxy.arm(isMethod('DELETE'), async (exchange) => {
      await exchange.forward();
      await putObject('a', bytes('of another'));
      exchange.cut();
    });
    await expect(store.delete('a', { ifMatch })).rejects.toEqual(code('Conflict'));
  });

  test('of more than 1,000 go in batches, and each is told for itself', async () => {
    const { store, proxy, putObject } = await openFaultyStore({ maxAttempts: 2 });
    const keys = Array.from({ length: 1600 }, (_, i) => `k/${String(i).padStart(4, '0')}`);
    const stale = await putObject('other', bytes('other'));
    const etags = await putMany(putObject, keys.slice(0, 1500));
    proxy.seen.length = 0;
    const isStale = (i: number) => i % 400 === 7 && i < 1000;
    const deletions = keys.map((key, i) => ({ key, ifMatch: isStale(i) ? stale : etags[key] }));
    // The first batch's answer is lost; the last one fails for good.
    proxy.arm(isMethod('POST'), loseAnswer);
    proxy.arm(({ body }) => body.includes('k/1550'), refuse(503), 2);
    const outcomes = await withMetrics(store).deleteAll(deletions);
    const failed = keys.flatMap((_, i) => (outcomes[i] === undefined ? [] : [[i, outcomes[i]?.code]]));
    const expected = [7, 407, 807].map((i) => [i, 'Conflict']);
    expect(failed).toEqual([...expected, ...Array.from({ length: 600 }, (_, i) => [1000 + i, 'Unavailable'])]);
    const left = (await Array.fromAsync(store.list('k/'))).map(({ key }) => key);
    expect(left).toEqual(keys.filter((_, i) => isStale(i) || (i >= 1000 && i < 1500)));
    await expectNoConnections(proxy);
  });

  test('are told apart where the server fails some of a batch', async () => {
    const { store, proxy } = await openFaultyStore({ maxAttempts: 3 });
    const failing = (names: Readonly<Record<string, string>>, deleted: string) => {
      const done = [...deleted].map((key) => `<Deleted><Key>lake/${key}</Key></Deleted>`);
      const errors = Object.entries(names).map(
        ([key, name]) => `<Error><Key>lake/${key}</Key><Code>${name}</Code><Message>by the test</Message></Error>`,
      );
      return Buffer.from(`<?xml version="1.0"?>\n<DeleteResult>${done.join('')}${errors.join('')}</DeleteResult>`);
    };
    const answer = (names: Readonly<Record<string, string>>, deleted = '') =>
      proxy.arm(isMethod('POST'), ({ reply }) => reply({ status: 200, headers: {}, body: failing(names, deleted) }));
    answer({ a: 'InternalError', b: 'AccessDenied', c: 'SlowDown' }, 'd');
    answer({ a: 'SlowDown' }, 'c');
    // What says nothing of a key has not deleted it.
    answer({});
    const outcomes = await store.deleteAll([...'abcd'].map((key) => ({ key })));
    expect(outcomes.map((failure) => failure?.code)).toEqual(['Unavailable', 'BadInput', undefined, undefined]);
    const asked = proxy.seen.map(({ body }) => [...body.toString().matchAll(/<Key>lake\/(.)/g)].map(([, key]) => key));
    expect(asked).toEqual([['a', 'b', 'c', 'd'], ['a', 'c'], ['a']]);
  });
});

describe('listings', () => {
  test.each([
    ['nothing', ''],
    ['a page of a proxy', '<html><body>Welcome</body></html>'],
    ['half a listing', '<?xml version="1.0"?>\n<ListBucketResult><IsTruncated>tr'],
    ['more to come, but not from where', '<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>'],
  ])('that say %s are not taken for listings', async (_what, body) => {
    const { store, proxy } = await openFaultyStore({ maxAttempts: 2 });
    for (let i = 0; i < 2; i++) {
      proxy.arm(isMethod('GET'), ({ reply }) => reply({ status: 200, headers: {}, body: Buffer.from(body) }));
    }
    await expect(Array.fromAsync(store.list(''))).rejects.toMatchObject({ code: 'Unavailable' });
    expect(await Array.fromAsync(store.list(''))).toEqual([]);
  });

  test('of more than 1,000 keys go on where a page failed: complete, in order, once each', async () => {
    const { store, proxy, putObject } = await openFaultyStore();
    const keys = Array.from({ length: 2100 }, (_, i) => `k/${String(i).padStart(4, '0')}`);
    await putMany(putObject, keys);
    proxy.seen.length = 0;
    const list = async (faults: readonly Parameters<FaultyProxy['arm']>[1][], startAfter?: string) => {
      const metered = withMetrics(store);
      let page = 0;
      proxy.disarm();
      for (const fault of faults) proxy.arm(({ query }) => query.has('list-type') && ++page > 1, fault);
      const found = (await Array.fromAsync(metered.list('k/', { startAfter }))).map(({ key }) => key);
      return { found, metrics: metered.metrics() };
    };
    const undisturbed = await list([]);
    expect(undisturbed.found).toEqual(keys);
    expect(undisturbed.metrics).toMatchObject({ requests: { LIST: 3 }, retries: 0, costUsd: 0.000015, bytesRead: 0 });
    const disturbed = await list([refuse(503), loseAnswer, truncate(500)]);
    expect(disturbed.found).toEqual(keys);
    expect(disturbed.metrics).toMatchObject({ requests: { LIST: 6, GET: 0 }, retries: 3, costUsd: 0.00003 });
    expect((await list([refuse(503)], 'k/0999')).found).toEqual(keys.slice(1000));
  });

  test('count what went over the wire, and what it costs', async () => {
    const { store } = await openFaultyStore();
    const metered = withMetrics(store);
    const etag = await metered.put('a', body.subarray(0, 1000));
    await metered.get('a');
    await metered.getRange('a', { start: 10, end: 20, ifMatch: etag });
    await metered.head('a');
    await Array.fromAsync(metered.list(''));
    await metered.deleteAll([{ key: 'a' }, { key: 'b' }]);
    await metered.delete('a');
    expect(metered.metrics()).toEqual({
      requests: { GET: 2, HEAD: 1, LIST: 1, PUT: 1, POST: 0, DELETE: 2 },
      retries: 0,
      bytesRead: 1010,
      bytesWritten: 1000,
      costUsd: 0.000011,
    });
  });
});

async function putMany(
  putObject: (key: string, content: Uint8Array) => Promise<string>,
  keys: readonly string[],
): Promise<Record<string, string>> {
  const etags: Record<string, string> = {};
  const left = [...keys];
  const work = async () => {
    for (let key = left.pop(); key !== undefined; key = left.pop()) etags[key] = await putObject(key, bytes(key));
  };
  await Promise.all(Array.from({ length: 16 }, work));
  return etags;
}

async function* chunksOf(content: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < content.length; from += length) yield content.subarray(from, from + length);
}

function rangesOf({ seen }: FaultyProxy): (string | undefined)[] {
  const ranges = seen.map(({ headers }) => headers.range);
  seen.length = 0;
  return ranges;
}
