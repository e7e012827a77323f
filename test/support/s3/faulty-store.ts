import { setTimeout as sleep } from 'node:timers/promises';
import { expect, inject, vi } from 'vitest';
import type { Clock } from '../../../src/clock.ts';
import type { ErrorCode } from '../../../src/errors.ts';
import { type S3StoreOptions, s3Store } from '../../../src/lake/s3-store.ts';
import { openBucket } from './bucket.ts';
import { type FaultyProxy, openFaultyProxy } from './faulty-proxy.ts';

/** A store behind a proxy, the probe of its conditions done, with a clock whose waits between tries take no time. */
export async function openFaultyStore(options: Partial<S3StoreOptions> = {}) {
  const { bucket, client, options: direct } = await openBucket();
  const proxy = await openFaultyProxy(inject('s3').endpoint);
  const { attemptTimeoutMs = 60_000 } = options;
  const waits: number[] = [];
  const clock: Clock = {
    now: Date.now,
    async sleep(ms, { signal } = {}) {
      if (ms === attemptTimeoutMs) await sleep(ms, undefined, { signal });
      else waits.push(ms);
    },
  };
  const at = { ...direct, bucket, prefix: 'lake' };
  const store = s3Store({ ...at, endpoint: proxy.endpoint, clock, random: () => 0.5, ...options });
  const straight = s3Store(at);
  await store.put('first', bytes('x'), { ifNoneMatch: '*' });
  await straight.delete('first');
  proxy.seen.length = 0;
  return {
    store,
    proxy,
    waits,
    bucket,
    client,
    putObject: (key: string, content: Uint8Array) => straight.put(key, content),
    content: async (key: string) => new TextDecoder().decode((await straight.get(key)).body),
  };
}

/** Waits until none is open but by a client that still has a request. */
export async function expectNoConnections(proxy: FaultyProxy): Promise<void> {
  const check = () => {
    proxy.closeIdle();
    expect(proxy.connections()).toBe(0);
  };
  await vi.waitFor(check, { timeout: 5000, interval: 10 });
}

export function code(name: ErrorCode): unknown {
  return expect.objectContaining({ code: name });
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Bytes that are the same each time and nowhere repeat. */
export function someBytes(length: number): Uint8Array {
  return new Uint8Array(
    Uint32Array.from({ length: Math.ceil(length / 4) }, (_, i) => Math.imul(i, 2_654_435_761)).buffer,
    0,
    length,
  );
}

/** Of megabytes, `toEqual` takes seconds. */
export function sameBytes(found: Uint8Array, expected: Uint8Array): boolean {
  return Buffer.compare(found, expected) === 0;
}
