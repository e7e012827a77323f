import { onTestFinished } from 'vitest';
import { marketCalendar } from '../../src/calendar.ts';
import type { Clock } from '../../src/clock.ts';
import type { MarketApiOptions } from '../../src/ingest/api/market-api.ts';
import { type IngestOhlcvOptions, ingestOhlcv, type MarketApi, openMarketApi } from '../../src/ingest/index.ts';
import type { ObjectStore } from '../../src/lake/index.ts';
import { sessionFrom } from '../../src/session.ts';
import type { ReplayMarket } from './market/replay-market.ts';
import { type ReplayServer, startReplayServer } from './market/replay-server.ts';
import type { Traps } from './market/traps.ts';

/** A time that goes faster than the system's: the waits of retries are as long as ever, and take less. */
export function fasterClock(times = 200): Clock {
  const begun = performance.now();
  return {
    now: () => (performance.now() - begun) * times,
    async sleep(ms, { signal } = {}) {
      signal?.throwIfAborted();
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const stop = () => reject(signal?.reason);
      signal?.addEventListener('abort', stop, { once: true });
      const timer = setTimeout(resolve, ms / times);
      await promise.finally(() => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', stop);
      });
    },
  };
}

/** What was asked of a replay server. */
export interface Asked {
  /** Dates of grouped calls, sorted, as often as they were asked for. */
  readonly sessions: readonly string[];
  /** Ranged calls, sorted: `AAPL 2026-03-02 2026-03-13`. */
  readonly ranges: readonly string[];
}

/** A market behind a replay server, and the API opened on it, both closed when the test has finished. */
export interface OpenedMarket {
  readonly market: ReplayMarket;
  readonly server: ReplayServer;
  readonly api: MarketApi;
  /** Brings the market into a lake, all of it where it is not told otherwise, two hours after the last session. */
  fetch(store: ObjectStore, options?: IngestOhlcvOptions): ReturnType<typeof ingestOhlcv>;
  /** What was asked for since the last look. */
  asked(): Asked;
}

const RANGE = /\/ticker\/([^/]+)\/range\/1\/day\/([^/]+)\/([^/?]+)/;

export async function openMarket(
  market: ReplayMarket,
  { traps = {}, ...options }: Partial<MarketApiOptions> & { readonly traps?: Partial<Traps> } = {},
): Promise<OpenedMarket> {
  const server = await startReplayServer({ market, traps, apiKey: options.apiKey ?? 'test-key' });
  const api = openReplayApi(server, options);
  onTestFinished(async () => {
    await api.close();
    await server.close();
  });
  let seen = 0;
  return {
    market,
    server,
    api,
    fetch: (store, call) => {
      return ingestOhlcv(store, api, {
        from: market.sessions[0],
        now: () => afterClose(market.sessions.at(-1)!),
        ...call,
      });
    },
    asked() {
      const urls = server.requests.slice(seen).map(({ url }) => url);
      seen = server.requests.length;
      const sessions = urls.flatMap((url) => /\/stocks\/(\d{4}-\d{2}-\d{2})\?/.exec(url)?.[1] ?? []);
      const ranges = urls.flatMap((url) => RANGE.exec(url)?.slice(1).join(' ') ?? []);
      return { sessions: sessions.sort(), ranges: ranges.sort() };
    },
  };
}

/** The API of a replay server, its waits as short as the tests are to be. */
export function openReplayApi({ url, apiKey }: ReplayServer, options: Partial<MarketApiOptions> = {}): MarketApi {
  return openMarketApi({
    apiKey,
    baseUrl: url,
    rateLimit: { calls: 1000, perMs: 1 },
    // Of the faster clock: twenty seconds and more of the system's.
    attemptTimeoutMs: 4_000_000,
    random: () => 0.5,
    clock: fasterClock(),
    ...options,
  });
}

/** Two hours after a session's usual close. */
export function afterClose(session: number | string): number {
  const day = typeof session === 'string' ? sessionFrom(session) : session;
  return marketCalendar([{ session: day, status: 'open' }]).closeOf(day) + 7_200_000;
}

/** The sessions of the exchange from one date to another. */
export function sessionsOf(from: string, to: string): number[] {
  return marketCalendar().sessionsBetween(sessionFrom(from), sessionFrom(to));
}
