import { type Answer, json, notAuthorized, requestId } from './answer.ts';
import { type Call, countUp } from './call.ts';
import { newYorkTime } from './new-york.ts';
import { checkNames, dateParameter, flag } from './query.ts';
import { spoilSession, type WireRow } from './row-faults.ts';
import { adjustmentOf, adjustRow, correctionsMade, correctRows, wireRow } from './wire-rows.ts';

/** `GET /v2/aggs/grouped/locale/us/market/stocks/{date}` */
export function groupedDaily(call: Call, date: string): Answer {
  const { url, market, traps, counters } = call;
  const query = url.searchParams;
  checkNames(query, ['adjusted', 'include_otc']);
  const session = dateParameter(date, 'date');
  const withOtc = flag(query, 'include_otc', false);
  const adjusted = traps.adjustedAlways || flag(query, 'adjusted', true);
  if (traps.beforeEndOfDay.includes(session)) {
    return notAuthorized("Attempted to request today's data before end of day.");
  }
  if (traps.historyFrom !== undefined && session < traps.historyFrom) {
    return notAuthorized("Your plan doesn't include this data timeframe.");
  }
  const status = traps.delayed ? 'DELAYED' : 'OK';
  if (isDue(traps.nullResults, counters.nullResults, session)) {
    const counts = { queryCount: 0, resultsCount: 0 };
    return json(200, { ...counts, adjusted, results: null, status, request_id: requestId() });
  }

  const isHalf = isDue(traps.halfResults, counters.halfResults, session);
  const corrections = correctionsMade(call, (correction) => correction.session === session);
  const made = corrections.map((correction) => traps.corrections.indexOf(correction));
  return {
    status: 200,
    cacheAs: `${session} ${adjusted} ${withOtc} ${made} ${isHalf}`,
    body() {
      const factorOf = adjustmentOf(market);
      const t = newYorkTime(session, 16);
      const rows = correctRows(market.rowsOf(session), corrections)
        .filter(({ otc }) => withOtc || !otc)
        .map((row) => wireRow(adjusted ? adjustRow(row, factorOf(row.T, session)) : row, t, true));
      const results = scatter(spoilSession(rows, session, traps.rowFaults));
      return {
        queryCount: results.length,
        resultsCount: results.length,
        adjusted,
        ...(results.length > 0 ? { results: isHalf ? results.slice(0, results.length / 2) : results } : {}),
        status,
        request_id: requestId(),
      };
    },
  };
}

/** Whether a session's turn is not over, which is then one shorter. */
function isDue(times: ReadonlyMap<number, number>, counts: Map<number, number>, session: number): boolean {
  if ((counts.get(session) ?? 0) >= (times.get(session) ?? 0)) return false;
  countUp(counts, session);
  return true;
}

/** The rows in another order, always the same: the vendor's are in none. */
function scatter(rows: readonly WireRow[]): readonly WireRow[] {
  // A step that has no factor in common with the number of rows comes by each of them once.
  const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));
  let step = Math.max(1, Math.floor(rows.length * 0.618));
  while (divisor(step, rows.length) > 1) step++;
  return rows.map((_, i) => rows[(i * step) % rows.length]!);
}
