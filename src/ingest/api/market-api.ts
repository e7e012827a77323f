import { checkCount } from '../../check-count.ts';
import { type Clock, systemClock } from '../../clock.ts';
import { BatchLayerError } from '../../errors.ts';
import { retryUnavailable, withTimeout } from '../../retry.ts';
import { ApiUnavailable, networkError, refusalError, refusalText, statusInside } from './api-errors.ts';
import { backOffMs, holdMs, retryAfterMs } from './back-off.ts';
import { type HttpAnswer, openConnection } from './connection.ts';
import { cursorOf, followPages } from './paging.ts';
import { type RateLimit, rateLimiter } from './rate-limiter.ts';
import { type ApiQuery, checkKey, checkOrigin, targetOf } from './request-target.ts';

export { parseRateLimit, type RateLimit } from './rate-limiter.ts';
export type { ApiQuery } from './request-target.ts';

export interface MarketApiOptions {
  /** Goes with each request in its `Authorization` header, and nowhere else: not into URLs, errors or logs. */
  readonly apiKey: string;
  /** `https` only, but for this machine; `https://api.massive.com` where left out. */
  readonly baseUrl?: string | undefined;
  /** 80 calls within 1,000 ms where left out; the free plan allows `{ calls: 5, perMs: 60_000 }`. */
  readonly rateLimit?: RateLimit | undefined;
  /** How often a call is sent in all. */
  readonly maxAttempts?: number | undefined;
  /** How long one attempt may take, from sending to the last byte. */
  readonly attemptTimeoutMs?: number | undefined;
  readonly clock?: Clock | undefined;
  /** A number from 0 to 1. */
  readonly random?: (() => number) | undefined;
}

export interface ApiCall {
  readonly signal?: AbortSignal | undefined;
}

/** What has been done since the API was opened. */
export interface ApiMetrics {
  /** Requests sent, those sent again among them. */
  readonly calls: number;
  /** Requests sent again. */
  readonly retries: number;
  /** Bytes of answers, as they came: compressed. */
  readonly bytesRead: number;
}

/**
 * The market data API over HTTP.
 *
 * Failures that may pass are tried again, each attempt within the rate limit. All calls end at once when their signal is
 * aborted, with its reason.
 */
export interface MarketApi {
  /**
   * Asks for `path`, and gives what `read` makes of the answer (parsed JSON).
   *
   * Where `read` throws `Unavailable`, the answer is incomplete, and the request is sent again.
   *
   * @throws BatchLayerError `Unavailable`, `NotEntitled`, `NotFound`, `BadInput`
   */
  get<T>(path: string, query: ApiQuery, read: (answer: unknown) => T, call?: ApiCall): Promise<T>;
  /** The pages of a list, one after the other. Where one of them fails, the whole does: those before are not the list. */
  pages<T>(path: string, query: ApiQuery, read: (answer: unknown) => T, call?: ApiCall): AsyncGenerator<T>;
  metrics(): ApiMetrics;
  /** Ends all calls, which fail, and leaves no connection open. */
  close(): Promise<void>;
}

/** A day; timers end at 24 days. */
const MAX_TIMEOUT_MS = 86_400_000;

/**
 * Opens the market data API (https://massive.com/docs). Nothing is sent yet.
 *
 * @throws BatchLayerError `BadInput`
 * @example
 * const api = openMarketApi({ apiKey, rateLimit: parseRateLimit('5/min') });
 * const holidays = await api.get('/v1/marketstatus/upcoming', {}, readHolidays);
 * await api.close();
 */
export function openMarketApi({
  apiKey,
  baseUrl = 'https://api.massive.com',
  rateLimit = { calls: 80, perMs: 1000 },
  maxAttempts = 6,
  attemptTimeoutMs = 30_000,
  clock: ownClock,
  random = Math.random,
}: MarketApiOptions): MarketApi {
  checkKey(apiKey);
  const origin = checkOrigin(baseUrl);
  checkCount('maxAttempts', maxAttempts, 1);
  checkCount('attemptTimeoutMs', attemptTimeoutMs, 1);
  if (attemptTimeoutMs > MAX_TIMEOUT_MS) {
    throw new BatchLayerError('BadInput', `attemptTimeoutMs is ${attemptTimeoutMs}: expected ≤ ${MAX_TIMEOUT_MS}`);
  }
  const clock = ownClock ?? systemClock;
  const limiter = rateLimiter(rateLimit, { clock: ownClock });
  const connection = openConnection(origin, { key: apiKey, attemptTimeoutMs });
  const closing = new AbortController();
  let [calls, retries] = [0, 0];

  async function sendOnce(target: string, place: string, attempt: number, signal: AbortSignal): Promise<HttpAnswer> {
    const answered = await limiter.acquire({ signal });
    try {
      calls++;
      if (attempt > 1) retries++;
      const lateError = () => new BatchLayerError('Unavailable', `${place}: no answer within ${attemptTimeoutMs} ms`);
      const send = (timed: AbortSignal): Promise<HttpAnswer> =>
        connection.send(target, { place, signal: timed, onHead: answered });
      const answer = await withTimeout(send, { timeoutMs: attemptTimeoutMs, lateError, clock, signal });
      signal.throwIfAborted();
      return answer;
    } catch (error) {
      signal.throwIfAborted();
      throw networkError(place, error);
    } finally {
      answered();
    }
  }

  function checkAnswer({ status, headers, text }: HttpAnswer, place: string): unknown {
    const answer = parseJson(text);
    const actual = status === 200 ? statusInside(answer) : status;
    if (actual !== 200) {
      const said = `${status} ${refusalText(answer, apiKey)}`.trim();
      throw refusalError(place, { status: actual, said, retryAfterMs: retryAfterMs(headers, clock.now()) });
    }
    if (answer !== undefined) return answer;
    throw new BatchLayerError('Unavailable', `${place}: the answer is no JSON; try again later`);
  }

  async function get<T>(
    path: string,
    query: ApiQuery,
    read: (answer: unknown) => T,
    { signal: callSignal }: ApiCall = {},
  ): Promise<T> {
    const target = targetOf(path, query);
    const signal = callSignal ? AbortSignal.any([callSignal, closing.signal]) : closing.signal;
    const attemptOnce = async (attempt: number): Promise<T> => {
      try {
        return read(checkAnswer(await sendOnce(target, path, attempt, signal), path));
      } catch (error) {
        if (error instanceof ApiUnavailable) limiter.holdFor(holdMs(error, attempt));
        throw error;
      }
    };
    const delayMs = (attempt: number, error: BatchLayerError) => backOffMs(attempt, error, random);
    return retryUnavailable(attemptOnce, { maxAttempts, delayMs, clock, signal });
  }

  return {
    get,
    pages(path, query, read, call) {
      const { limit } = query;
      return followPages(path, (cursor) => {
        const readPage = (answer: unknown) => ({ page: read(answer), cursor: cursorOf(answer, path) });
        return get(path, cursor === undefined ? query : { cursor, limit }, readPage, call);
      });
    },
    metrics: () => ({ calls, retries, bytesRead: connection.bytesRead() }),
    async close() {
      closing.abort(new BatchLayerError('BadInput', 'the market data API is closed'));
      await connection.close();
    },
  };
}

// The parser's own errors repeat a part of the text.
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
