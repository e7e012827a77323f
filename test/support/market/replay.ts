// node test/support/market/replay.ts [--port 8700] [--symbols 200] [--days 60] [--failure-rate 0.1]: a market data API of a
// synthetic market on this machine, until it is interrupted. The first line printed is its URL, the others are to be pasted.
import { parseArgs } from 'node:util';
import { marketCalendar } from '../../../src/calendar.ts';
import { formatSession, sessionFrom } from '../../../src/session.ts';
import { syntheticReplayMarket } from './replay-market.ts';
import { startReplayServer } from './replay-server.ts';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '8700' },
    'api-key': { type: 'string', default: 'test-key' },
    symbols: { type: 'string', default: '200' },
    /** Sessions up to the last one; `--from` goes before it. */
    days: { type: 'string', default: '60' },
    from: { type: 'string' },
    to: { type: 'string' },
    seed: { type: 'string', default: '1' },
    'failure-rate': { type: 'string', default: '0' },
    'latency-ms': { type: 'string', default: '0' },
    /** Calls a minute. */
    'rate-limit': { type: 'string' },
  },
});

function numberOf(name: 'port' | 'symbols' | 'days' | 'seed' | 'failure-rate' | 'latency-ms' | 'rate-limit'): number {
  const number = Number(values[name]);
  if (values[name] === '' || !(number >= 0))
    throw new Error(`--${name} is ${values[name]}: expected a number from 0 on`);
  return number;
}

const calendar = marketCalendar();
const to = values.to ? sessionFrom(values.to) : calendar.lastClosedSession(Date.now());
const days = numberOf('days');
// Two days a session are enough, and a week for days that begin with holidays.
const from = values.from ? sessionFrom(values.from) : to - 2 * days - 7;
const sessions = calendar.sessionsBetween(from, to).slice(values.from ? 0 : -days);
const symbols = numberOf('symbols');
const rateLimit = values['rate-limit'] === undefined ? undefined : { calls: numberOf('rate-limit'), perMs: 60_000 };
const server = await startReplayServer({
  port: numberOf('port'),
  apiKey: values['api-key'],
  market: syntheticReplayMarket({
    symbols,
    sessions,
    seed: numberOf('seed'),
    split: Math.floor(symbols / 50),
    dividendPayers: Math.floor(symbols / 4),
  }),
  traps: { failureRate: numberOf('failure-rate'), latencyMs: numberOf('latency-ms'), rateLimit },
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void server.close());
console.log(server.url);
console.log(`export POLYGON_API_KEY=${server.apiKey} POLYGON_BASE_URL=${server.url}`);
const [first, last] = [sessions[0], sessions.at(-1)].map((session) => formatSession(session ?? 0));
console.log(`# ${symbols} symbols, ${sessions.length} sessions from ${first} to ${last}; stop with Ctrl-C`);
