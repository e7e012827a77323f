import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { BatchLayerError, hasCode, messageOf } from '../../errors.ts';
import type { ObjectStore, StoreCall } from '../../lake/store.ts';
import { formatSession } from '../../session.ts';
import { takeLinesApart } from '../csv/read-csv.ts';
import type { BarSource } from './bar-source.ts';
import { collectSession, type FetchedSession } from './session-bars.ts';
import type { SourceRow } from './source-row.ts';

// The vendor's day files, as its documentation has them: raw prices, a file a session, the columns in an order of their own,
// no vwap; `window_start` in nanoseconds, which are more than a double can tell apart.
const COLUMNS = ['ticker', 'volume', 'open', 'close', 'high', 'low', 'window_start', 'transactions'] as const;
type Column = (typeof COLUMNS)[number];

/** A day of the whole market is 2 MB of text. */
const MAX_TEXT_BYTES = 2 ** 28;

/** Where the day file of a session is, in the vendor's bucket. */
export function flatFileKey(session: number): string {
  const date = formatSession(session);
  return `us_stocks_sip/day_aggs_v1/${date.slice(0, 4)}/${date.slice(5, 7)}/${date}.csv.gz`;
}

/**
 * The vendor's day files as a source of bars.
 *
 * @param files the vendor's bucket
 * @param exclude symbols that are skipped
 *
 * @example
 * const source = flatFileSource(s3Store({ bucket: 'flatfiles', endpoint: 'https://files.massive.com' }));
 */
export function flatFileSource(
  files: Pick<ObjectStore, 'get'>,
  { exclude }: { readonly exclude?: readonly string[] | undefined } = {},
): BarSource {
  return {
    name: 'flatfiles',
    async fetchSession(session, { signal }) {
      const key = flatFileKey(session);
      return parseFlatFile(await getPublished(files, key, { signal }), { key, session, exclude, signal });
    },
  };
}

async function getPublished(files: Pick<ObjectStore, 'get'>, key: string, call: StoreCall): Promise<Uint8Array> {
  try {
    return (await files.get(key, call)).body;
  } catch (error) {
    // The vendor answers 403 for a day that it has not published; a wrong key has another name.
    const isDenied = hasCode(error, 'BadInput') && (error.cause as Error | undefined)?.name === 'AccessDenied';
    if (!isDenied && !hasCode(error, 'NotFound')) throw error;
    const message = `${key}: is not published, or not for these credentials; day files come on the day after: try again later`;
    throw new BatchLayerError('Unavailable', message, { cause: error });
  }
}

async function parseFlatFile(
  body: Uint8Array,
  {
    key,
    session,
    exclude,
    signal,
  }: StoreCall & { readonly key: string; readonly session: number; readonly exclude: readonly string[] | undefined },
): Promise<FetchedSession> {
  const collector = collectSession(session, exclude);
  let header: ReadonlyMap<Column, number> | undefined;
  let rows = 0;
  for await (const lines of takeLinesApart(unpack(body, key, signal))) {
    for (const { line, fields, problem } of lines) {
      if (header === undefined) header = parseHeader(fields, key);
      else if (problem !== undefined) throw damaged(key, `line ${line}: ${problem}`);
      else {
        collector.add(toSourceRow(fields, header));
        rows++;
      }
    }
  }
  if (rows === 0) throw new BatchLayerError('Unavailable', `${key}: has no rows: try again later`);
  return collector.finish();
}

async function* unpack(body: Uint8Array, key: string, signal?: AbortSignal): AsyncGenerator<string> {
  // An error on the way in comes out of what is read.
  const text = Readable.from([body]).pipe(createGunzip()).setEncoding('utf8');
  let length = 0;
  try {
    for await (const chunk of text) {
      signal?.throwIfAborted();
      length += chunk.length;
      if (length > MAX_TEXT_BYTES) throw new Error(`is more than ${MAX_TEXT_BYTES} characters`);
      yield chunk;
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw damaged(key, messageOf(error), error);
  }
}

function parseHeader(fields: readonly string[], key: string): ReadonlyMap<Column, number> {
  const header = new Map(COLUMNS.map((name) => [name, fields.indexOf(name)]));
  const absent = COLUMNS.filter((name) => header.get(name) === -1);
  if (absent.length === 0) return header;
  throw damaged(key, `no column ${absent.join(', ')}: found ${fields.join(', ').slice(0, 200)}`);
}

function toSourceRow(fields: readonly string[], header: ReadonlyMap<Column, number>): SourceRow {
  const text = (name: Column) => fields[header.get(name)!];
  const number = (name: Column) => parseNumber(text(name));
  return {
    symbol: text('ticker'),
    open: number('open'),
    high: number('high'),
    low: number('low'),
    close: number('close'),
    volume: number('volume'),
    trades: number('transactions'),
    time: parseNumber(text('window_start')?.replace(/\d{6}$/, '')),
  };
}

/** A number, or the text as it is: {@link findFault} tells what is wrong with it. */
function parseNumber(text: string | undefined): number | string | undefined {
  return text !== undefined && /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(text) ? Number(text) : text;
}

function damaged(key: string, what: string, cause?: unknown): BatchLayerError {
  return new BatchLayerError('CorruptObject', `${key}: ${what}`, { cause });
}
