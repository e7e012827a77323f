// A process that ends calls in each of their phases, closes the API, and prints what came of it; then nothing should keep it.
import { openMarketApi } from '../../../src/ingest/api/market-api.ts';

const [, , baseUrl = '', silentTlsUrl = ''] = process.argv;
const apiKey = 'test-key';
const slow = { calls: 1, perMs: 60_000 };
const same = (answer: unknown): unknown => answer;

async function end(phase: string, path: string, options: object, how: 'abort' | 'close'): Promise<void> {
  const api = openMarketApi({ apiKey, baseUrl, random: () => 1, ...options });
  const stop = new AbortController();
  // The first of them has the only place there is.
  if (phase === 'limiter') await api.get('/ok', {}, same);
  const call = api.get(path, {}, same, { signal: stop.signal }).catch((error: unknown) => String(error));
  await new Promise((resolve) => setTimeout(resolve, 150));
  const stoppedAt = performance.now();
  if (how === 'abort') stop.abort('stopped');
  else await api.close();
  const result = await call;
  const tookMs = performance.now() - stoppedAt;
  await api.close();
  console.log(JSON.stringify({ phase, how, result, isPrompt: tookMs < 1000 }));
}

const phases: [string, string, object][] = [
  ['limiter', '/ok', { rateLimit: slow }],
  ['back-off', '/busy', {}],
  ['connecting', '/ok', { baseUrl: silentTlsUrl }],
  ['head', '/no-head', {}],
  ['body', '/no-body', {}],
];
for (const how of ['abort', 'close'] as const) {
  await Promise.all(phases.map(([phase, path, options]) => end(phase, path, options, how)));
}
// Sockets are gone a turn of the event loop after they are closed.
await new Promise((resolve) => setTimeout(resolve, 20));
const left = process.getActiveResourcesInfo().filter((name) => /^(TCP|TLS|Timeout|Zlib)/.test(name));
console.log(JSON.stringify({ left }));
process.once('exit', () => console.log(JSON.stringify({ exitedAfterMs: Math.round(performance.now() - endedAt) })));
const endedAt = performance.now();
