import { expect, test } from 'vitest';
import { sliceBars } from '../../src/bars.ts';
import { writeDaily } from '../../src/ingest/daily-writer.ts';
import { consolidate } from '../../src/lake/consolidate.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { withMetrics } from '../../src/lake/with-metrics.ts';
import { syntheticMarket } from '../../src/runtime/synthetic-market.ts';
import { sessionFrom } from '../../src/session.ts';

const none = { GET: 0, HEAD: 0, LIST: 0, PUT: 0, POST: 0, DELETE: 0 };

test('withMetrics counts calls as the requests they would be, failed ones too, and their bytes', async () => {
  const store = withMetrics(memoryStore());
  await store.put('a', new Uint8Array(10));
  await store.putStream(
    'b',
    (async function* () {
      yield new Uint8Array(3);
      yield new Uint8Array(4);
    })(),
  );
  await store.get('a');
  await store.getRange('a', { start: 2, end: 5 });
  await store.head('a');
  await expect(store.get('missing')).rejects.toMatchObject({ code: 'NotFound' });
  await store.delete('b');
  await store.deleteAll([{ key: 'x' }, { key: 'y' }]);
  await Array.fromAsync(store.list(''));
  expect(store.metrics()).toEqual({
    requests: { ...none, PUT: 2, GET: 3, HEAD: 1, DELETE: 2, LIST: 1 },
    retries: 0,
    bytesRead: 13,
    bytesWritten: 17,
    costUsd: 0.000017,
  });
});

test('withMetrics counts a listing for every 1,000 keys, and one for none', async () => {
  const plain = memoryStore();
  for (let i = 0; i < 2001; i++) await plain.put(`k/${i}`, new Uint8Array());
  const store = withMetrics(plain);
  await Array.fromAsync(store.list('k/'));
  await Array.fromAsync(store.list('none/'));
  expect(store.metrics().requests).toEqual({ ...none, LIST: 4 });
});

test('withMetrics takes the word of a store that tells its requests, and passes it on', async () => {
  const plain = memoryStore();
  const telling: ObjectStore = {
    ...plain,
    put(key, body, call) {
      const request = { kind: 'PUT', bytesRead: 0, bytesWritten: body.length } as const;
      call?.onRequest?.({ ...request, isRetry: false });
      call?.onRequest?.({ ...request, isRetry: true });
      return plain.put(key, body, call);
    },
  };
  const inner = withMetrics(telling);
  const outer = withMetrics(inner);
  await outer.put('a', new Uint8Array(5));
  for (const store of [inner, outer]) {
    expect(store.metrics()).toMatchObject({ requests: { ...none, PUT: 2 }, retries: 1, bytesWritten: 10 });
  }
});

test('a day for a consolidated symbol is GET data, GET new, PUT data, and no LIST of its own', async () => {
  const lake = memoryStore();
  const today = sessionFrom('2026-11-20');
  const now = () => today * 86_400_000 + 72_000_000;
  const market = [...syntheticMarket({ symbols: 5, bars: 100, longest: 40, lastDate: '2026-11-20' })];
  const lengths = market.map(({ bars }) => bars.session.length);
  for (const [i, { symbol, bars }] of market.entries())
    await writeDaily(lake, symbol, sliceBars(bars, 0, lengths[i]! - 1));
  await consolidate(lake, { now, retentionDays: 100 });
  for (const [i, { symbol, bars }] of market.entries()) {
    await writeDaily(lake, symbol, sliceBars(bars, lengths[i]! - 1, lengths[i]!));
  }
  const { metrics, written } = await consolidate(lake, { now, retentionDays: 100 });
  expect(written).toBe(5);
  // Two GETs and two PUTs more: the recent bars and the manifest.
  expect(metrics.requests).toEqual({ ...none, GET: 5 * 2 + 2, PUT: 5 + 2, LIST: 1 });
});
