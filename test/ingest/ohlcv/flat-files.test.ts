import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { BatchLayerError, hasCode } from '../../../src/errors.ts';
import { type FetchOptions, flatFileSource, ingestFrom } from '../../../src/ingest/index.ts';
import { dailyKey, fileStore, memoryStore, type ObjectStore } from '../../../src/lake/index.ts';
import { formatSession } from '../../../src/session.ts';
import { type BarsBySymbol, lakeBars, marketBars } from '../../support/lake-bars.ts';
import { keysOf } from '../../support/lake-reader.ts';
import { newYorkTime } from '../../support/market/new-york.ts';
import {
  correctedMarket,
  type ReplayMarket,
  type ReplayRow,
  syntheticReplayMarket,
} from '../../support/market/replay-market.ts';
import { afterClose, openMarket, sessionsOf } from '../../support/replay-api.ts';
import { temporaryFolder } from '../../support/temporary.ts';

const SESSIONS = sessionsOf('2026-03-02', '2026-03-13');
const [LAST, SECOND_LAST, OLD] = [SESSIONS.at(-1)!, SESSIONS.at(-2)!, SESSIONS.at(-5)!];
const MARKET = syntheticReplayMarket({ symbols: 25, sessions: SESSIONS, halted: 0.02 });
const HEADER = 'ticker,volume,open,close,high,low,window_start,transactions';

const keyOf = (session: number) => {
  const date = formatSession(session);
  return `us_stocks_sip/day_aggs_v1/${date.slice(0, 4)}/${date.slice(5, 7)}/${date}.csv.gz`;
};

function lineOf({ T, v, o, c, h, l, n }: ReplayRow, session: number): string {
  // Nanoseconds: a text, for they are more than a double can tell apart.
  return [T, v, o, c, h, l, `${newYorkTime(session, 0)}000000`, n ?? 0].join();
}

const textOf = (market: ReplayMarket, session: number): string =>
  `${[HEADER, ...market.rowsOf(session).map((row) => lineOf(row, session))].join('\n')}\n`;

/** The vendor's bucket with the day files of a market. */
async function publish(market: ReplayMarket, files: ObjectStore = memoryStore()): Promise<ObjectStore> {
  for (const session of market.sessions) await files.put(keyOf(session), gzipSync(textOf(market, session)));
  return files;
}

function land(store: ObjectStore, files: Pick<ObjectStore, 'get'>, options: FetchOptions = {}) {
  const call = { from: SESSIONS[0], now: () => afterClose(LAST) + 86_400_000, ...options };
  return ingestFrom(store, flatFileSource(files), call);
}

/** The bars as the day files have them: without vwap, and with a number of trades in every row. */
function withoutVwap(bars: BarsBySymbol): BarsBySymbol {
  const strip = (row: BarsBySymbol[string][number]) => [...row.slice(0, 6), Number.NaN, row[7] === -1 ? 0 : row[7]!];
  return Object.fromEntries(Object.entries(bars).map(([symbol, rows]) => [symbol, rows.map(strip)]));
}

const FILE_BARS = withoutVwap(marketBars(MARKET));
const without = (session: number) => withoutVwap(marketBars(MARKET, { without: [formatSession(session)] }));

describe('the day files', () => {
  test.each([
    ['in memory', async () => memoryStore()],
    ['on disk', async () => fileStore(await temporaryFolder())],
  ])('bring the bars of the market, from a store %s', async (_, openFiles) => {
    const store = memoryStore();
    const files = await publish(MARKET, await openFiles());
    expect(await land(store, files)).toMatchObject({ sessionsFetched: 10, quarantined: 0, missing: [] });
    expect(await lakeBars(store)).toEqual(FILE_BARS);
  });

  test('bring the same bars as the API, but for the vwap', async () => {
    const [byFile, byApi] = [memoryStore(), memoryStore()];
    await land(byFile, await publish(MARKET));
    await (await openMarket(MARKET)).fetch(byApi);
    expect(await lakeBars(byFile)).toEqual(withoutVwap(await lakeBars(byApi)));
  });

  test('are read for the last three sessions only, when the others have landed', async () => {
    const store = memoryStore();
    const files = await publish(MARKET);
    await land(store, files);
    const read: string[] = [];
    const watched: Pick<ObjectStore, 'get'> = {
      get(key) {
        read.push(key);
        return files.get(key);
      },
    };
    expect(await land(store, watched)).toMatchObject({ stored: 0, sessionsFetched: 3, sessionsKnown: 7 });
    expect(read.sort()).toEqual(SESSIONS.slice(-3).map(keyOf));
  });

  test('that are replaced within three sessions replace the bars', async () => {
    const store = memoryStore();
    const files = await publish(MARKET);
    await land(store, files);
    const [row] = MARKET.rowsOf(LAST);
    const corrected = textOf(MARKET, LAST).replace(lineOf(row!, LAST), lineOf({ ...row!, v: row!.v + 0.125 }, LAST));
    await files.put(keyOf(LAST), gzipSync(corrected));
    expect(await land(store, files)).toMatchObject({ stored: 1 });
    const found = await lakeBars(store);
    expect(found[row!.T]?.at(-1)?.[5]).toBe(row!.v + 0.125);
  });

  test('may have their columns in any order, and others beside them', async () => {
    const store = memoryStore();
    const files = await publish(MARKET);
    const lines = MARKET.rowsOf(LAST).map((row) => lineOf(row, LAST).split(',').reverse().join());
    const text = [`${HEADER.split(',').reverse().join()},otc`, ...lines.map((line) => `${line},`)].join('\r\n');
    await files.put(keyOf(LAST), gzipSync(`\ufeff${text}`));
    expect(await land(store, files)).toMatchObject({ missing: [], quarantined: 0 });
    expect(await lakeBars(store)).toEqual(FILE_BARS);
  });

  test('may be made of several gzip members, cut anywhere', async () => {
    const store = memoryStore();
    const files = await publish(MARKET);
    const text = Buffer.from(textOf(MARKET, LAST));
    await files.put(keyOf(LAST), Buffer.concat([gzipSync(text.subarray(0, 333)), gzipSync(text.subarray(333))]));
    await land(store, files);
    expect(await lakeBars(store)).toEqual(FILE_BARS);
  });
});

describe('a session that one source has brought', () => {
  const later = (row: ReplayRow): ReplayRow => ({ ...row, v: row.v + 0.125 });
  const correction = { session: LAST, rows: MARKET.rowsOf(LAST).slice(0, 2).map(later) };

  test('is left to it: the other one is asked for what is not there, unless that is forced', async () => {
    const store = memoryStore();
    const { fetch, asked } = await openMarket(MARKET);
    await fetch(store, { to: SECOND_LAST });
    const before = await lakeBars(store);
    const read: string[] = [];
    const files = await publish(MARKET);
    const watched: Pick<ObjectStore, 'get'> = {
      get(key) {
        read.push(key);
        return files.get(key);
      },
    };
    expect(await land(store, watched)).toMatchObject({ sessionsFetched: 1, sessionsKnown: 9 });
    expect(read).toEqual([keyOf(LAST)]);
    const found = await lakeBars(store);
    const ofApi = (rows: BarsBySymbol[string] = []) => rows.filter(([date]) => date !== formatSession(LAST));
    for (const symbol of Object.keys(before)) expect(ofApi(found[symbol])).toEqual(before[symbol]);
    asked();
    await fetch(store);
    expect(asked().sessions).toEqual(SESSIONS.slice(-3, -1).map(formatSession));
    await fetch(store, { force: true });
    expect(await lakeBars(store)).toEqual(marketBars(MARKET));
  });

  test('is still left to it when the other one has put back what was deleted', async () => {
    const store = memoryStore();
    const { fetch, server } = await openMarket(MARKET);
    for (const session of SESSIONS.slice(-4)) await fetch(store, { from: session, to: session });
    await store.delete(dailyKey('AAAA', LAST));
    const call = { from: SESSIONS.at(-4), to: LAST };
    expect(await land(store, await publish(MARKET), call)).toMatchObject({ sessionsRestored: 1, stored: 1 });
    server.set({ corrections: [{ ...correction, fromCall: 1 }] });
    await fetch(store, call);
    expect(await lakeBars(store)).toEqual(marketBars(correctedMarket(MARKET, [correction]), { from: call.from! }));
  });
});

describe('rows of a day file', () => {
  const rows = (...lines: readonly string[]) => `${[HEADER, ...lines].join('\n')}\n`;
  const start = `${newYorkTime(OLD, 0)}000000`;

  async function landText(text: string) {
    const [store, files] = [memoryStore(), memoryStore()];
    await files.put(keyOf(OLD), gzipSync(text));
    const result = await land(store, files, { from: OLD, to: OLD });
    return { result, bars: await lakeBars(store) };
  }

  test('have times beyond what a double can tell apart', async () => {
    // Rounded to a double, the last nanosecond of the day before is the first one of this day.
    const before = String(BigInt(start) - 1n);
    expect(Number(before)).toBe(Number(start));
    const { result, bars } = await landText(rows(`A,1,2,2,2,2,${start},3`, `B,1,2,2,2,2,${before},3`));
    expect(Object.keys(bars)).toEqual(['A']);
    expect(result).toMatchObject({ quarantined: 1, missing: [] });
  });

  test('keep what is fractional to the bit', async () => {
    const volume = 0.1 + 0.2;
    const { bars } = await landText(
      rows(`A,${volume},10.01,10.03,10.05,9.9999,${start},7`, `B,1e-7,1,1,1,1,${start},0`),
    );
    const date = formatSession(OLD);
    expect(bars).toEqual({
      A: [[date, 10.01, 10.05, 9.9999, 10.03, volume, Number.NaN, 7]],
      B: [[date, 1, 1, 1, 1, 1e-7, Number.NaN, 0]],
    });
  });

  test.each([
    ['no number', `B,1,x,2,2,2,${start},3`, 'not_a_number'],
    ['a price that is empty', `B,1,,2,2,2,${start},3`, 'not_a_number'],
    ['too few fields', 'B,1,2', 'not_a_number'],
    ['a price that is too large', `B,1,2,2,1e999,2,${start},3`, 'not_a_number'],
    ['a negative volume', `B,-1,2,2,2,2,${start},3`, 'not_positive'],
    ['a low above the high', `B,1,2,2,2,3,${start},3`, 'inconsistent'],
  ])('that are no bars (%s) are quarantined and missing, and the others land', async (_, line, fault) => {
    const { result, bars } = await landText(rows(`A,1,2,2,2,2,${start},3`, line));
    expect(result.missing).toMatchObject([{ date: formatSession(OLD), symbol: 'B', code: fault }]);
    expect(result.quarantined).toBe(1);
    expect(Object.keys(bars)).toEqual(['A']);
  });

  test.each([
    ['of no symbol', `../x,1,2,2,2,2,${start},3`],
    ['without volume', `B,0,2,2,2,2,${start},0`],
    ['of another day', `B,1,2,2,2,2,${newYorkTime(OLD - 1, 0)}000000,3`],
  ])('%s are quarantined, and miss no bar', async (_, line) => {
    const { result, bars } = await landText(rows(line, `A,1,2,2,2,2,${start},3`));
    expect(result).toMatchObject({ quarantined: 1, missing: [] });
    expect(Object.keys(bars)).toEqual(['A']);
  });

  test('that come twice: identical ones land once, and of those that contradict each other none', async () => {
    const one = `A,1,2,2,2,2,${start},3`;
    const { result, bars } = await landText(rows(one, `B,1,2,2,2,2,${start},3`, one, `B,2,2,2,2,2,${start},3`));
    expect(Object.keys(bars)).toEqual(['A']);
    expect(result).toMatchObject({ skipped: 1, quarantined: 2, missing: [{ symbol: 'B', code: 'conflicting' }] });
  });

  test('of test symbols are passed over, or of those that are named', async () => {
    const [store, files] = [memoryStore(), memoryStore()];
    await files.put(keyOf(OLD), gzipSync(rows(`ZVZZT,1,2,2,2,2,${start},3`, `A,1,2,2,2,2,${start},3`)));
    const call = { from: OLD, to: OLD, now: () => afterClose(LAST) };
    expect(await ingestFrom(store, flatFileSource(files), call)).toMatchObject({ skipped: 1, stored: 1 });
    expect(Object.keys(await lakeBars(store))).toEqual(['A']);
    await ingestFrom(store, flatFileSource(files, { exclude: ['A'] }), { ...call, force: true });
    expect(Object.keys(await lakeBars(store))).toEqual(['A', 'ZVZZT']);
  });
});

describe('a day file that cannot be had', () => {
  const denied = (name: string) => {
    const cause = Object.assign(new Error('Access Denied'), { name });
    return new BatchLayerError('BadInput', 'the store refuses it', { cause });
  };
  /** The bucket, but for one key. */
  const refusing = (files: ObjectStore, session: number, error: Error): Pick<ObjectStore, 'get'> => ({
    get: (key, call) => (key === keyOf(session) ? Promise.reject(error) : files.get(key, call)),
  });

  test.each([
    ['is not there', undefined],
    ['is denied, as the vendor denies what it has not published', denied('AccessDenied')],
  ])('since it %s is missing, to be had by a later run', async (_, error) => {
    const store = memoryStore();
    const files = await publish(MARKET);
    if (!error) await files.delete(keyOf(LAST));
    const result = await land(store, error ? refusing(files, LAST, error) : files);
    expect(result).toMatchObject({ sessionsMissing: 1, sessionsFetched: 9 });
    expect(result.missing).toMatchObject([{ date: formatSession(LAST), symbol: null, code: 'Unavailable' }]);
    expect(await lakeBars(store)).toEqual(without(LAST));
    await publish(MARKET, files);
    expect((await land(store, files)).missing).toEqual([]);
    expect(await lakeBars(store)).toEqual(FILE_BARS);
  });

  test.each(['InvalidAccessKeyId', 'SignatureDoesNotMatch'])(
    'since the credentials are wrong (%s) stops the run',
    async (name) => {
      const store = memoryStore();
      const files = refusing(await publish(MARKET), SESSIONS[0]!, denied(name));
      await expect(land(store, files)).rejects.toSatisfy((error) => hasCode(error, 'BadInput'));
      expect(await keysOf(store, 'bronze/')).toEqual([]);
    },
  );

  const TEXT = textOf(MARKET, OLD);
  const [, second] = TEXT.split('\n');
  test.each<[string, Uint8Array, RegExp]>([
    ['is cut short', gzipSync(TEXT).subarray(0, -30), /unexpected end of file/],
    ['is no gzip', Buffer.from(TEXT), /incorrect header check/],
    ['is damaged inside', gzipSync(TEXT).map((byte, i) => (i === 200 ? byte ^ 0xff : byte)), /csv\.gz: /],
    [
      'lacks columns',
      gzipSync(TEXT.replace('window_start,transactions', 'time,n')),
      /no column window_start, transactions/,
    ],
    ['has no header', gzipSync(TEXT.slice(HEADER.length + 1)), /no column ticker/],
    ['has a stray quote', gzipSync(TEXT.replace(second!, `"${second}`)), /line 2: a quote is not closed/],
  ])('whole since it %s is missing as corrupt, and the other sessions land', async (_, body, message) => {
    const store = memoryStore();
    const files = await publish(MARKET);
    await files.put(keyOf(OLD), body);
    const { missing } = await land(store, files);
    expect(missing).toEqual([
      { date: formatSession(OLD), symbol: null, code: 'CorruptObject', message: expect.stringMatching(message) },
    ]);
    expect(missing[0]?.message).toContain(keyOf(OLD));
    expect(await lakeBars(store)).toEqual(without(OLD));
    await publish(MARKET, files);
    expect((await land(store, files)).missing).toEqual([]);
    expect(await lakeBars(store)).toEqual(FILE_BARS);
  });

  test.each([
    ['is empty', new Uint8Array()],
    ['has a header only', gzipSync(`${HEADER}\n`)],
  ])('whole since it %s is missing, not a session without bars', async (_, body) => {
    const store = memoryStore();
    const files = await publish(MARKET);
    await files.put(keyOf(OLD), body);
    const { missing, sessionsEmpty } = await land(store, files);
    expect(missing).toMatchObject([{ date: formatSession(OLD), symbol: null }]);
    expect(sessionsEmpty).toEqual([]);
    expect(await lakeBars(store)).toEqual(without(OLD));
  });

  test.each([
    ['times are in milliseconds', (text: string) => text.replaceAll(/(\d{13})000000,/g, '$1,')],
    [
      'all are of another day',
      (text: string) => text.replaceAll(`${newYorkTime(OLD, 0)}`, `${newYorkTime(OLD - 1, 0)}`),
    ],
    ['no symbol can be read', (text: string) => text.replaceAll(/^([A-Za-z0-9.]+),(?=\d)/gm, '$1/,')],
  ])('whole since none of its rows is a bar is missing, not a session without bars: %s', async (_, change) => {
    const store = memoryStore();
    const files = await publish(MARKET);
    const text = change(textOf(MARKET, OLD));
    expect(text).not.toBe(textOf(MARKET, OLD));
    await files.put(keyOf(OLD), gzipSync(text));
    expect((await land(store, files)).missing).toMatchObject([{ date: formatSession(OLD), symbol: null }]);
    await publish(MARKET, files);
    await land(store, files);
    expect(await lakeBars(store)).toEqual(FILE_BARS);
  });

  test('ends with the run: an abort lands nothing more', async () => {
    const store = memoryStore();
    const controller = new AbortController();
    const files = await publish(MARKET);
    const stopping: Pick<ObjectStore, 'get'> = {
      get(key, call) {
        if (key === keyOf(OLD)) controller.abort(new Error('stopped'));
        return files.get(key, call);
      },
    };
    await expect(land(store, stopping, { signal: controller.signal })).rejects.toThrow('stopped');
    expect(await keysOf(store, 'bronze/')).toEqual([]);
    await land(store, files);
    expect(await lakeBars(store)).toEqual(FILE_BARS);
  });
});
