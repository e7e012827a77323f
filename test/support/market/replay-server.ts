import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { type Answer, errorAnswer } from './answer.ts';
import { type Call, countUp, createCounters } from './call.ts';
import { answerCall } from './endpoints.ts';
import { createFailurePlan, failAnswer, LIMIT_EXCEEDED } from './failures.ts';
import { chance } from './hash.ts';
import type { ReplayMarket } from './replay-market.ts';
import { createRollingWindow } from './rolling-window.ts';
import { createBodyCache, sendAnswer } from './send-answer.ts';
import { NO_TRAPS, type ScriptedAnswer, type Traps } from './traps.ts';

export interface RecordedRequest {
  /** When it came, as `performance.now()` of the server's process. */
  readonly atMs: number;
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** What it was answered; 0 where it was not, or not yet. */
  readonly status: number;
}

/** Something a client must never do. */
export interface Violation {
  readonly kind: 'rate' | 'key-in-query';
  readonly atMs: number;
  readonly url: string;
}

export interface ReplayServer {
  /** Such as http://127.0.0.1:8700. */
  readonly url: string;
  /** The one key it accepts. */
  readonly apiKey: string;
  readonly requests: readonly RecordedRequest[];
  readonly violations: readonly Violation[];
  /** Traps and faults from now on, beside those set before; what is set anew starts counting anew. */
  set(traps: Partial<Traps>): void;
  /** How many requests' paths or queries contain it. */
  count(pathPart: string): number;
  close(): Promise<void>;
}

export interface ReplayOptions {
  readonly market: ReplayMarket;
  readonly apiKey?: string;
  readonly traps?: Partial<Traps>;
  /** A free one by default. */
  readonly port?: number;
}

const CACHED_BODIES = 8;
// Longer than clients keep a connection: one that closes while a request is under way looks like a fault nobody asked for.
const KEEP_ALIVE_MS = 120_000;

/**
 * Serves a market as the market data API would, over HTTP on this machine.
 *
 * @example
 * const server = await startReplayServer({ market: marketOf({ rows: { '2024-01-02': [flatRow('AAPL', 185.64)] } }) });
 * server.set({ failureRate: 0.3, failureKinds: ['limit-429', 'hang-up'] });
 */
export async function startReplayServer({
  market,
  apiKey = 'test-key',
  traps: initial = {},
  port = 0,
}: ReplayOptions): Promise<ReplayServer> {
  let traps: Traps = { ...NO_TRAPS, ...initial };
  const counters = createCounters();
  const scripted = new Map<ScriptedAnswer, number>();
  const failures = createFailurePlan();
  const window = createRollingWindow();
  const cache = createBodyCache(CACHED_BODIES);
  const requests: (RecordedRequest & { status: number })[] = [];
  const violations: Violation[] = [];
  const closing = new AbortController();

  function decide({ atMs, url: path, headers, method }: RecordedRequest): Answer {
    const url = new URL(path, 'http://127.0.0.1');
    if ([...url.searchParams.keys()].some((name) => name.toLowerCase() === 'apikey')) {
      violations.push({ kind: 'key-in-query', atMs, url: path });
      return errorAnswer(400, 'The key belongs in the Authorization header: addresses end up in logs');
    }
    const script = traps.script.find((entry) => entry.match.test(path) && (scripted.get(entry) ?? 0) < entry.times);
    if (script) {
      countUp(scripted, script);
      const { status, headers: own = {}, body, hangUp } = script.respond;
      return { status, headers: own, body: () => body, hangUp };
    }
    if (headers.authorization !== `Bearer ${apiKey}`) return errorAnswer(401, 'Unknown API Key');
    if (method !== 'GET') return errorAnswer(405, `${method} is not allowed: expected GET`);
    if (traps.rateLimit && !window.admit(atMs, traps.rateLimit)) {
      violations.push({ kind: 'rate', atMs, url: path });
      const { retryAfter } = traps.rateLimit;
      return errorAnswer(429, LIMIT_EXCEEDED, retryAfter === undefined ? {} : { 'retry-after': retryAfter });
    }
    if (traps.redirect?.match.test(path)) {
      return { status: 302, headers: { location: traps.redirect.to + path }, body: () => '' };
    }
    const failure = failures.next(path, traps);
    const call: Call = { url, market, traps, counters };
    // A call that fails is not one that the other traps count.
    if (failure) return failAnswer(failure, answerCall({ ...call, counters: createCounters() }), traps);
    return answerCall(call);
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url = '/', headers } = request;
    const record = { atMs: performance.now(), method, url, headers, status: 0 };
    const number = requests.push(record);
    request.resume();
    const answer = decide(record);
    const { latencyMs, jitterMs, seed, slowBodyMs } = traps;
    const waitMs = latencyMs + jitterMs * chance(number, seed);
    if (waitMs > 0) await setTimeout(waitMs, undefined, { signal: closing.signal });
    if (answer.hangUp !== 'before') record.status = answer.status;
    await sendAnswer(request, response, answer, { cache, slowBodyMs, signal: closing.signal });
  }

  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => {
      if (closing.signal.aborted) return;
      // A mistake of this server, which no test has asked for.
      console.error(error);
      response.destroy();
    });
  });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    apiKey,
    requests,
    violations,
    set(changed) {
      traps = { ...traps, ...changed };
      if (changed.nullResults) counters.nullResults.clear();
      if (changed.halfResults) counters.halfResults.clear();
      if (changed.corrections) counters.corrections.clear();
      if (changed.script) scripted.clear();
      cache.clear();
    },
    count: (pathPart) => requests.filter(({ url }) => url.includes(pathPart)).length,
    async close() {
      closing.abort();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
