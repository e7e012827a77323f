import { expect } from 'vitest';
import { type Clock, systemClock } from '../../src/clock.ts';
import { type DatabaseOptions, openDatabase } from '../../src/database/connection.ts';
import { type UpsertCounts, upsertBars } from '../../src/database/upsert-bars.ts';
import type { StoreCall } from '../../src/lake/store.ts';
import type { TestDatabase } from '../support/postgres/database.ts';
import { type PostgresProxy, startProxy } from '../support/postgres/proxy.ts';
import {
  type Batch,
  type Content,
  contentAfter,
  contentOf,
  createWorld,
  type Entry,
  KEEP_FROM,
  rowsOf,
} from './weather-world.ts';

export const TIMEOUT_MS = 60_000;

export interface Weather {
  readonly world: TestDatabase;
  readonly proxy: PostgresProxy;
  readonly batch: Batch;
  /** What a client sends that writes one batch, but for its goodbye. */
  readonly messages: readonly string[];
  readonly statements: readonly string[];
}

/** A database behind a proxy, with batch 0 written. */
export async function createWeather(batch: Batch): Promise<Weather> {
  const world = await createWorld();
  const proxy = await startProxy(world.url);
  const messages = await messagesOf(proxy, () => write(proxy.url, batch(0)));
  return { world, proxy, batch, messages, statements: proxy.statements() };
}

/** What clients send while work is done, but for their goodbyes. */
export async function messagesOf(proxy: PostgresProxy, work: () => Promise<unknown>): Promise<readonly string[]> {
  proxy.arm({ kind: 'cut', at: Number.POSITIVE_INFINITY });
  await work();
  await untilLeft(proxy);
  return proxy.messages().filter((name) => name !== 'Terminate');
}

/** Writes a batch on connections of its own; that nothing keeps them from closing is part of each test. */
export async function write(
  url: string,
  entries: readonly Entry[],
  { signal, ...options }: DatabaseOptions & StoreCall = {},
): Promise<UpsertCounts> {
  const database = openDatabase(url, {
    clock: stepClock(),
    timeoutMs: TIMEOUT_MS,
    ...options,
  });
  try {
    return await upsertBars(database, rowsOf(entries), { keepFrom: KEEP_FROM, signal });
  } finally {
    await database.close();
  }
}

interface Step {
  readonly step: string;
  /** Which of the messages, or statements, it is. */
  readonly at: number;
  readonly entries: readonly Entry[];
  readonly before: Content;
  readonly after: Content;
}

/** Writes a batch for each step, with what happens at it, and expects that in the end it is there, that all else is as before. */
export async function atEach(
  weather: Weather,
  steps: readonly string[],
  happen: (step: Step) => Promise<void>,
): Promise<void> {
  let before = await contentOf(weather.world);
  for (const [k, step] of steps.entries()) {
    const entries = weather.batch(k + 1);
    const after = contentAfter(before, entries);
    await untilLeft(weather.proxy);
    try {
      await happen({ step, at: k + 1, entries, before, after });
      expect(await contentOf(weather.world)).toEqual(after);
    } catch (cause) {
      throw new Error(`at ${k + 1}, ${step}: ${cause}`, { cause });
    }
    before = after;
  }
  expect(steps.length).toBeGreaterThan(7);
  await expectNobody(weather);
}

/** Nobody is connected, here or to the server. */
export async function expectNobody({ world, proxy }: Weather): Promise<void> {
  await untilLeft(proxy);
  await expect.poll(world.connections).toBe(0);
}

/** Until no client is there, and no goodbye on its way. */
export async function untilLeft(proxy: PostgresProxy): Promise<void> {
  await expect.poll(proxy.connections).toBe(0);
}

export interface StepClock extends Clock {
  /** The time of the attempt that runs is over. */
  readonly endTime: () => void;
}

/** A clock that waits for nothing: an attempt's time ends when it is told so, and the next one begins when `onRetry` is done. */
export function stepClock({ onRetry }: { readonly onRetry?: () => void } = {}): StepClock {
  let ends = Promise.withResolvers<void>();
  return {
    ...systemClock,
    endTime: () => ends.resolve(),
    async sleep(ms, { signal } = {}) {
      signal?.throwIfAborted();
      if (ms !== TIMEOUT_MS) return onRetry?.();
      ends = Promise.withResolvers();
      const onAbort = () => ends.reject(signal?.reason);
      signal?.addEventListener('abort', onAbort, { once: true });
      await ends.promise;
    },
  };
}
