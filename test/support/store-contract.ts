import { expect, test } from 'vitest';
import { hasCode } from '../../src/errors.ts';
import type { ObjectStore } from '../../src/lake/store.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (body: Uint8Array) => new TextDecoder().decode(body);
const code = (name: 'Conflict' | 'NotFound' | 'BadInput') => expect.objectContaining({ code: name });

/** What every ObjectStore must do; `openStores(n)` gives n stores on one and the same empty storage. */
export function describeStoreContract(openStores: (count: number) => Promise<readonly ObjectStore[]>): void {
  const open = async () => (await openStores(1))[0]!;

  test('gives back what was put, with its etag and size', async () => {
    const store = await open();
    const etag = await store.put('a/b.txt', bytes('hello'));
    expect(text((await store.get('a/b.txt')).body)).toBe('hello');
    expect(await store.get('a/b.txt')).toMatchObject({ etag });
    expect(await store.head('a/b.txt')).toMatchObject({ key: 'a/b.txt', size: 5, etag });
  });

  test('puts empty objects and streams', async () => {
    const store = await open();
    await store.put('empty', new Uint8Array());
    expect(await store.head('empty')).toMatchObject({ size: 0 });
    const chunks = async function* () {
      yield bytes('one ');
      yield bytes('two');
    };
    const etag = await store.putStream('stream', chunks());
    expect(text((await store.get('stream')).body)).toBe('one two');
    expect((await store.head('stream')).etag).toBe(etag);
  });

  test('reads ranges, cut off at the end of the object', async () => {
    const store = await open();
    const etag = await store.put('a', bytes('0123456789'));
    expect(text(await store.getRange('a', { start: 2, end: 5 }))).toBe('234');
    expect(text(await store.getRange('a', { start: 8, end: 99, ifMatch: etag }))).toBe('89');
    await store.put('a', bytes('abcdefghij'));
    await expect(store.getRange('a', { start: 2, end: 5, ifMatch: etag })).rejects.toEqual(code('Conflict'));
  });

  test('says NotFound of what is not there', async () => {
    const store = await open();
    await expect(store.get('no/such')).rejects.toEqual(code('NotFound'));
    await expect(store.head('no/such')).rejects.toEqual(code('NotFound'));
    await expect(store.getRange('no/such', { start: 0, end: 1 })).rejects.toEqual(code('NotFound'));
    await store.delete('no/such');
  });

  test('creates only where nothing is', async () => {
    const store = await open();
    await store.put('a', bytes('first'), { ifNoneMatch: '*' });
    await expect(store.put('a', bytes('second'), { ifNoneMatch: '*' })).rejects.toEqual(code('Conflict'));
    expect(text((await store.get('a')).body)).toBe('first');
  });

  test('replaces and deletes only the version named', async () => {
    const store = await open();
    const first = await store.put('a', bytes('x'));
    const second = await store.put('a', bytes('y'), { ifMatch: first });
    expect(second).not.toBe(first);
    await expect(store.put('a', bytes('z'), { ifMatch: first })).rejects.toEqual(code('Conflict'));
    await expect(store.delete('a', { ifMatch: first })).rejects.toEqual(code('Conflict'));
    expect(text((await store.get('a')).body)).toBe('y');
    await store.delete('a', { ifMatch: second });
    await expect(store.put('a', bytes('z'), { ifMatch: second })).rejects.toEqual(code('Conflict'));
    await store.delete('a', { ifMatch: second });
  });

  test('deletes many at once, each under its own condition, and says of each what became of it', async () => {
    const store = await open();
    const etags = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((key) => store.put(key, bytes(key))));
    await store.delete('e');
    await store.put('b', bytes('newer'));
    const outcomes = await store.deleteAll([
      { key: 'a', ifMatch: etags[0] },
      { key: 'b', ifMatch: etags[1] },
      { key: 'c' },
      { key: 'missing' },
      { key: 'e', ifMatch: etags[4] },
    ]);
    expect(outcomes).toEqual([undefined, code('Conflict'), undefined, undefined, undefined]);
    expect((await Array.fromAsync(store.list(''))).map(({ key }) => key)).toEqual(['b', 'd']);
    expect(await store.deleteAll([])).toEqual([]);
    await expect(store.deleteAll([{ key: '../a' }])).rejects.toEqual(code('BadInput'));
  });

  test('never gives two contents one etag, however fast they follow', async () => {
    const store = await open();
    const etags = new Set<string>();
    for (let i = 0; i < 200; i++) etags.add(await store.put('a', bytes(String(i))));
    expect(etags.size).toBe(200);
  });

  test('has one winner among writers that race, whatever store object they use', async () => {
    const stores = await openStores(4);
    const create = await Promise.allSettled(
      stores.map((store, i) => store.put('new', bytes(`${i}`), { ifNoneMatch: '*' })),
    );
    expect(create.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
    const etag = await stores[0]!.put('old', bytes('0'));
    const replace = await Promise.allSettled(
      stores.map((store, i) => store.put('old', bytes(`new ${i}`), { ifMatch: etag })),
    );
    expect(replace.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
  });

  test('loses no increment of a counter under concurrent compare-and-swap', async () => {
    const stores = await openStores(4);
    await stores[0]!.put('counter', bytes('0'));
    const increment = async (store: ObjectStore): Promise<void> => {
      const { body, etag } = await store.get('counter');
      try {
        await store.put('counter', bytes(String(Number(text(body)) + 1)), { ifMatch: etag });
      } catch (error) {
        if (!hasCode(error, 'Conflict')) throw error;
        return increment(store);
      }
    };
    await Promise.all(
      stores.map(async (store) => {
        for (let i = 0; i < 25; i++) await increment(store);
      }),
    );
    expect(text((await stores[0]!.get('counter')).body)).toBe('100');
  });

  test('lists by prefix, in the order of whole keys', async () => {
    const store = await open();
    const keys = ['b/symbol=BRK.B/data', 'b/symbol=BRK/data', 'b/symbol=BRK/date=1', 'b/symbol=aapl/data', 'b2', 'c/d'];
    for (const key of [...keys].reverse()) await store.put(key, bytes(key));
    const list = async (prefix: string) => (await Array.fromAsync(store.list(prefix))).map(({ key }) => key);
    expect(await list('')).toEqual([...keys].sort());
    expect(await list('b/')).toEqual(keys.slice(0, 4).sort());
    expect(await list('b')).toEqual(keys.slice(0, 5).sort());
    expect(await list('b/symbol=BRK')).toEqual(keys.slice(0, 3).sort());
    expect(await list('nothing/')).toEqual([]);
    const after = await Array.fromAsync(store.list('b/', { startAfter: keys[0]! }));
    expect(after.map(({ key }) => key)).toEqual(keys.slice(1, 4).sort());
    const [first] = await Array.fromAsync(store.list('c'));
    expect(await store.head('c/d')).toMatchObject(first!);
  });

  test('keeps symbols apart that differ in case', async () => {
    const store = await open();
    await store.put('symbol=AAPW/data', bytes('upper'));
    await store.put('symbol=AAPw/data', bytes('lower'));
    expect(text((await store.get('symbol=AAPW/data')).body)).toBe('upper');
  });

  test('a stream that fails leaves the old object, and nothing beside it', async () => {
    const store = await open();
    await store.put('a', bytes('old'));
    const failing = async function* () {
      yield bytes('half');
      throw new Error('source failed');
    };
    await expect(store.putStream('a', failing())).rejects.toThrow('source failed');
    await expect(store.putStream('b', failing(), { ifNoneMatch: '*' })).rejects.toThrow('source failed');
    expect(text((await store.get('a')).body)).toBe('old');
    expect((await Array.fromAsync(store.list(''))).map(({ key }) => key)).toEqual(['a']);
  });

  test.each(['', '/a', 'a/', 'a//b', '../a', 'a/../b', './a', 'a b', 'a\\b', 'a\n', 'ü', 'x'.repeat(241)])(
    'refuses the key %j',
    async (key) => {
      const store = await open();
      await expect(store.put(key, bytes('x'))).rejects.toEqual(code('BadInput'));
      await expect(store.get(key)).rejects.toEqual(code('BadInput'));
      await expect(store.delete(key)).rejects.toEqual(code('BadInput'));
    },
  );

  test.each(['/', '../', 'a/../b', './a', 'a b'])('refuses to list %j', async (prefix) => {
    await expect(Array.fromAsync((await open()).list(prefix))).rejects.toEqual(code('BadInput'));
  });

  test('an abort ends a stream whose source gives nothing', async () => {
    const store = await open();
    const controller = new AbortController();
    const silent = async function* () {
      yield bytes('half');
      await new Promise(() => undefined);
    };
    const written = store.putStream('a', silent(), { signal: controller.signal });
    setTimeout(() => controller.abort(new Error('stopped')), 50);
    await expect(written).rejects.toThrow('stopped');
    expect(await Array.fromAsync(store.list(''))).toEqual([]);
  });

  test('an aborted call throws the reason of its signal', async () => {
    const store = await open();
    await store.put('a', bytes('x'));
    const signal = AbortSignal.abort(new Error('stopped'));
    await expect(store.get('a', { signal })).rejects.toThrow('stopped');
    await expect(store.getRange('a', { start: 0, end: 1, signal })).rejects.toThrow('stopped');
    await expect(store.head('a', { signal })).rejects.toThrow('stopped');
    await expect(store.put('b', bytes('x'), { signal })).rejects.toThrow('stopped');
    await expect(store.delete('a', { signal })).rejects.toThrow('stopped');
    await expect(Array.fromAsync(store.list('', { signal }))).rejects.toThrow('stopped');
    expect((await Array.fromAsync(store.list(''))).map(({ key }) => key)).toEqual(['a']);
  });
}
