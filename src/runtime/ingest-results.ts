import type {
  FetchResult,
  IngestCsvResult,
  IngestMetaResult,
  IngestOhlcvResult,
  MissingBars,
} from '../ingest/index.ts';
import { count, failures, lines, shorten, total, traffic } from './result-text.ts';

export function describeIngest(result: IngestCsvResult): string {
  const { landed, symbols, objectsCreated, objectsReplaced, objectsUnchanged, problems, problemCounts } = result;
  const range = result.firstDate ? `, ${result.firstDate} to ${result.lastDate}` : '';
  return lines([
    `${count(landed, 'bar')} of ${count(symbols, 'symbol')} landed${range}`,
    `objects: ${count(objectsCreated)} created, ${count(objectsReplaced)} replaced, ${count(objectsUnchanged)} unchanged`,
    ...(problems.length > 0
      ? [
          `problems: ${Object.entries(problemCounts)
            .map(([kind, n]) => `${kind} ${count(n)}`)
            .join(', ')}`,
        ]
      : []),
    ...shorten(
      problems,
      ({ file, line, kind, message }) => `  ${file}:${line}: ${kind}: ${message}`,
      total(problemCounts),
    ),
    traffic(result.metrics),
    ...failures(result.failed),
  ]);
}

export function describeOhlcv(result: IngestOhlcvResult): string {
  const { symbolsFetched, symbolsKnown, symbolsWithoutBars, listingsPending, corporateActions, api } = result;
  const pending = listingsPending > 0 ? `, ${count(listingsPending)} more next time` : '';
  return lines([
    describeSessions(result),
    ...(symbolsFetched + symbolsKnown > 0
      ? [
          `symbols: ${count(symbolsFetched)} asked for by themselves, ${count(symbolsKnown)} known, ${count(symbolsWithoutBars.length)} without bars${pending}`,
        ]
      : []),
    ...(corporateActions ? describeActions(corporateActions) : []),
    `API: ${count(api.calls, 'call')}, ${count(api.retries)} of them again, ${count(api.bytesRead, 'byte')}`,
    describeRest(result),
  ]);
}

export function describeFetch(result: FetchResult): string {
  return lines([describeSessions(result), describeRest(result)]);
}

export function describeMeta(result: IngestMetaResult): string {
  const { symbols, rows, added, delisted, renamed, recycled, updated, missing, api } = result;
  return lines([
    `${count(symbols, 'active symbol')}, ${count(rows, 'range')} in all`,
    `${count(added)} new, ${count(delisted)} delisted, ${count(renamed)} renamed, ${count(recycled)} tickers of somebody else now, ${count(updated)} updated, ${count(missing)} in no list`,
    `details: ${count(result.detailsFetched)} fetched, ${count(result.detailsPending)} next time`,
    ...result.warnings.map((warning) => `warning: ${warning}`),
    ...(result.databaseFailure ? [`the database did not take it: ${result.databaseFailure}`] : []),
    `API: ${count(api.calls, 'call')}, ${count(api.retries)} of them again, ${count(api.bytesRead, 'byte')}`,
    traffic(result.metrics),
    ...failures(result.failed),
  ]);
}

function describeSessions(result: FetchResult): string {
  const { firstDate, lastDate, sessions, sessionsFetched, sessionsRestored, sessionsKnown } = result;
  if (firstDate === null)
    return result.missingCount > 0 ? 'no session that is over' : 'no session: the exchange was closed';
  const empty = result.sessionsEmpty.length > 0 ? [`without any bar: ${result.sessionsEmpty.join(', ')}`] : [];
  return lines([
    `${count(sessions, 'session')}, ${firstDate} to ${lastDate}: ${count(sessionsFetched)} fetched, ${count(sessionsRestored)} restored from the lake, ${count(sessionsKnown)} known`,
    `bars: ${count(result.fetched)} fetched, ${count(result.stored)} stored, ${count(result.unchanged)} unchanged, ${count(result.skipped)} skipped, ${count(result.quarantined)} quarantined`,
    ...empty,
    ...(result.fallback
      ? [`only the last closed session: what bronze has could not be found out (${result.fallback})`]
      : []),
  ]);
}

function describeActions({
  splits,
  dividends,
  adjusted,
}: NonNullable<IngestOhlcvResult['corporateActions']>): string[] {
  return [
    `${count(splits, 'split')}, ${count(dividends, 'dividend')}`,
    ...(adjusted.length > 0
      ? [`adjusted history changed: ${shorten(adjusted, String, adjusted.length).join(', ')}`]
      : []),
  ];
}

function describeRest(result: FetchResult): string {
  return lines([
    ...result.quarantine.map((key) => `quarantined in ${key}`).slice(0, 5),
    ...shorten(
      result.databaseFailures,
      ({ of, message }) => `the database did not take ${of}: ${message}`,
      result.databaseFailures.length,
    ),
    ...result.warnings.map((warning) => `warning: ${warning}`),
    traffic(result.metrics),
    ...(result.missingCount > 0 ? [`${count(result.missingCount)} missing, to be fetched by the next run:`] : []),
    ...shorten(result.missing, describeMissing, result.missingCount),
  ]);
}

function describeMissing({ date, symbol, code, message }: MissingBars): string {
  return `  ${[date, symbol].filter((part) => part !== null).join(' ')} ${code}: ${message}`;
}
