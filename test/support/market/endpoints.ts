import { type Answer, notAuthorized, notFound, Refusal } from './answer.ts';
import type { Call } from './call.ts';
import { dividendList, splitList } from './corporate-actions.ts';
import { groupedDaily } from './grouped-daily.ts';
import { refuse } from './query.ts';
import { tickerDetails, tickerList, upcomingHolidays } from './reference.ts';
import { tickerRange } from './ticker-range.ts';

type Endpoint = (call: Call, parts: readonly string[]) => Answer;

const ENDPOINTS: readonly (readonly [RegExp, Endpoint])[] = [
  [/^\/v2\/aggs\/grouped\/locale\/us\/market\/stocks\/([^/]+)$/, (call, [date]) => groupedDaily(call, date!)],
  [
    /^\/v2\/aggs\/ticker\/([^/]+)\/range\/1\/day\/([^/]+)\/([^/]+)$/,
    (call, [ticker, from, to]) => tickerRange(call, { ticker: ticker!, from: from!, to: to! }),
  ],
  [/^\/v3\/reference\/tickers$/, tickerList],
  [/^\/v3\/reference\/tickers\/([^/]+)$/, (call, [ticker]) => tickerDetails(call, ticker!)],
  [/^\/v1\/marketstatus\/upcoming$/, upcomingHolidays],
  [/^\/stocks\/v1\/splits$/, splitList],
  [/^\/stocks\/v1\/dividends$/, dividendList],
];

/** What the API says to a call, by its path. */
export function answerCall(call: Call): Answer {
  const { url, traps } = call;
  if (traps.notEntitled.some((path) => path.test(url.pathname + url.search))) {
    return notAuthorized('You are not entitled to this data.');
  }
  try {
    for (const [path, endpoint] of ENDPOINTS) {
      const match = path.exec(url.pathname);
      if (match) return endpoint(call, match.slice(1).map(decodePart));
    }
  } catch (error) {
    if (error instanceof Refusal) return error.answer;
    throw error;
  }
  return notFound(`no such endpoint: ${url.pathname}`);
}

function decodePart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return refuse(`"${part}" in the path is not encoded as it should be`);
  }
}
