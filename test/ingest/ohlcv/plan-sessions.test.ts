import { describe, expect, test } from 'vitest';
import { marketCalendar } from '../../../src/calendar.ts';
import { hasCode } from '../../../src/errors.ts';
import { type KnownSessions, planSessions } from '../../../src/ingest/ohlcv/plan-sessions.ts';
import { chooseWindow } from '../../../src/ingest/ohlcv/session-window.ts';
import { fileStore, memoryStore } from '../../../src/lake/index.ts';
import type { LedgerEntry } from '../../../src/lake/session-ledger.ts';
import { formatSession, sessionFrom } from '../../../src/session.ts';
import { lakeBars, marketBars } from '../../support/lake-bars.ts';
import { type ReplayHoliday, syntheticReplayMarket } from '../../support/market/replay-market.ts';
import { afterClose, openMarket, sessionsOf } from '../../support/replay-api.ts';
import { runCommand } from '../../support/run-command.ts';
import { temporaryFolder } from '../../support/temporary.ts';

const [A, B, C, D, E] = sessionsOf('2026-03-09', '2026-03-13') as [number, number, number, number, number];
const LAST_THREE = new Set([C, D, E]);

const landed = (session: number, fields: Partial<LedgerEntry> = {}): readonly [number, LedgerEntry] => [
  session,
  {
    session,
    source: 'grouped',
    digest: `of ${session}`,
    rows: 9,
    missing: [],
    landing: [],
    commits: 1,
    askedAt: 1,
    updatedAt: 0,
    ...fields,
  },
];

const NOTHING: KnownSessions = { ledger: new Map(), stored: new Map(), gone: new Map(), hasBars: () => false };

/** Answers of these tests came when nothing was corrected any more, but for those of the last three sessions. */
const isFinal = (session: number, askedAt: number) => askedAt > 0 && !LAST_THREE.has(session);

/** What is planned, in words: `2026-03-09 fetch`, and which symbols bronze has not: all of them where nothing is known. */
function planOf(known: Partial<KnownSessions>, { force = false, window = [A, B, C, D, E] } = {}): string[] {
  const planned = planSessions(
    window,
    { ...NOTHING, ...known },
    { source: 'grouped', correctable: LAST_THREE, isFinal, force },
  );
  return planned.map(({ session, action, landed: known, absent }) => {
    return `${formatSession(session)} ${action} ${known ? absent : 'all'}`.trim();
  });
}

describe('planSessions', () => {
  test('asks for everything where nothing is known, ascending', () => {
    expect(planOf({})).toEqual([A, B, C, D, E].map((session) => `${formatSession(session)} fetch all`));
  });

  test('asks for the last three sessions again, and compares them with what has landed', () => {
    const ledger = new Map([A, B, C, D, E].map((session) => landed(session)));
    expect(planOf({ ledger })).toEqual(['2026-03-11 fetch', '2026-03-12 fetch', '2026-03-13 fetch']);
    const planned = planSessions(
      [E],
      { ...NOTHING, ledger },
      { source: 'grouped', correctable: LAST_THREE, isFinal, force: false },
    );
    expect(planned).toMatchObject([{ session: E, digest: `of ${E}`, absent: [] }]);
  });

  test('leaves to another source what that one has brought, but for bars that are gone', () => {
    const ledger = new Map([C, D, E].map((session) => landed(session, { source: 'flatfiles', missing: ['AAAA'] })));
    expect(planOf({ ledger, gone: new Map([[D, ['AAAB']]]) }, { window: [C, D, E] })).toEqual([
      '2026-03-12 restore AAAA,AAAB',
    ]);
  });

  test('asks for all that is forced, whatever is known of it', () => {
    const ledger = new Map([A, B].map((session) => landed(session)));
    const stored = new Map([[A, [`of ${A}`]]]);
    expect(planOf({ ledger, stored }, { force: true, window: [A, B] })).toEqual([
      '2026-03-09 fetch all',
      '2026-03-10 fetch all',
    ]);
  });

  test('asks for a session again of which symbols are missing, and only those are known to be', () => {
    const ledger = new Map([landed(A, { missing: ['AAPL'] }), landed(B)]);
    expect(planOf({ ledger }, { window: [A, B] })).toEqual(['2026-03-09 fetch AAPL']);
  });

  test('restores from the answer that is in the lake what bronze has no longer, without asking', () => {
    const ledger = new Map([A, B, E].map((session) => landed(session)));
    const gone = new Map([
      [A, []],
      [B, ['AAPL', 'MSFT']],
      [E, ['T']],
    ]);
    expect(planOf({ ledger, gone }, { window: [A, B, E] })).toEqual([
      '2026-03-10 restore AAPL,MSFT',
      '2026-03-13 fetch T',
    ]);
  });

  test('restores a session whose answer a run brought no further, and asks where it may be another by now', () => {
    const stored = new Map([A, B, E].map((session) => [session, [`of ${session}`]]));
    const ledger = new Map([landed(B, { digest: '', landing: ['dead@0'] })]);
    expect(planOf({ stored, ledger }, { window: [A, B, E] })).toEqual([
      '2026-03-09 restore all',
      '2026-03-10 restore all',
      '2026-03-13 fetch all',
    ]);
  });

  test('leaves to another source what that has brought, and puts back what is gone of it', () => {
    const ledger = new Map([
      landed(A, { source: 'flatfiles', missing: ['AAPL'] }),
      landed(D, { source: 'flatfiles' }),
      landed(E, { source: 'flatfiles' }),
    ]);
    const gone = new Map([[E, ['T']]]);
    expect(planOf({ ledger, gone }, { window: [A, D, E] })).toEqual(['2026-03-13 restore T']);
    expect(planOf({ ledger, gone }, { window: [D], force: true })).toEqual(['2026-03-12 fetch all']);
  });

  test('asks where there are two answers, and nothing tells which is in bronze', () => {
    const stored = new Map([[A, ['one', 'other']]]);
    expect(planOf({ stored }, { window: [A] })).toEqual(['2026-03-09 fetch all']);
  });

  test('is sure of what is in bronze where a session has landed, or where bronze has none of its bars', () => {
    const ledger = new Map([landed(A, { landing: ['run@0'] }), landed(B, { digest: '' }), landed(E)]);
    const known = { ...NOTHING, ledger, hasBars: (session: number) => session === C };
    const uncertain = (force: boolean) =>
      planSessions([A, B, C, D, E], known, { source: 'grouped', correctable: LAST_THREE, isFinal, force })
        .filter(({ isUncertain }) => isUncertain)
        .map(({ session }) => session);
    expect(uncertain(false)).toEqual([A, B, C]);
    expect(uncertain(true)).toEqual([A, B, C, D, E]);
  });

  test('takes no session for landed that a run has claimed, or that is not known to be whole', () => {
    const ledger = new Map([landed(A, { landing: ['run@0'] }), landed(B, { digest: '' })]);
    expect(planOf({ ledger }, { window: [A, B] })).toEqual(['2026-03-09 fetch all', '2026-03-10 fetch all']);
  });
});

describe('chooseWindow', () => {
  const calendar = marketCalendar();
  const dates = (now: number, options: Parameters<typeof chooseWindow>[2] = {}) => {
    const { sessions, notClosed, correctable } = chooseWindow(calendar, now, options);
    return { sessions: sessions.map(formatSession), notClosed, correctable: [...correctable].map(formatSession) };
  };

  test('looks 30 days back from the last session that is over', () => {
    const { sessions, notClosed } = dates(afterClose('2026-03-13'));
    expect([sessions[0], sessions.at(-1), sessions.length]).toEqual(['2026-02-11', '2026-03-13', 22]);
    expect(notClosed).toEqual([]);
    expect(dates(afterClose('2026-03-13'), { backfillDays: 0 }).sessions).toEqual(['2026-03-13']);
    expect(dates(afterClose('2026-03-13'), { backfillDays: 3, to: sessionFrom('2026-03-08') }).sessions).toEqual([
      '2026-03-05',
      '2026-03-06',
    ]);
  });

  test('the last three sessions may be corrected, over holidays and weekends, wherever the window is', () => {
    const early = { from: sessionFrom('2026-01-05'), to: sessionFrom('2026-01-06') };
    expect(dates(afterClose('2025-12-26'), early).correctable).toEqual(['2025-12-23', '2025-12-24', '2025-12-26']);
    expect(dates(afterClose('2026-03-10'), early).correctable).toEqual(['2026-03-06', '2026-03-09', '2026-03-10']);
  });

  test('tells of sessions that are not over, and does not ask for them', () => {
    const { sessions, notClosed } = dates(afterClose('2026-03-12'), { from: D, to: E });
    expect(sessions).toEqual(['2026-03-12']);
    expect(notClosed).toEqual([E]);
  });

  test('refuses dates in the wrong order', () => {
    expect(() => dates(afterClose('2026-03-13'), { from: E, to: D })).toThrow('expected the earlier date first');
  });
});

describe('what a run asks for, by the calendar', () => {
  /** A market that has bars on each of these days. */
  const open = (days: readonly number[], holidays: readonly ReplayHoliday[] = []) =>
    openMarket(syntheticReplayMarket({ symbols: 3, sessions: days, holidays }));
  const holiday = (fields: Pick<ReplayHoliday, 'date' | 'status'> & Partial<ReplayHoliday>): ReplayHoliday => ({
    exchange: 'NYSE',
    name: 'A day of mourning',
    ...fields,
  });
  const newYork = (text: string, offset: string) => () => Date.parse(`${text}${offset}`);

  test.each([
    ['a second before the close', '2026-03-13T15:59:59', '-04:00', '2026-03-12'],
    ['at the close', '2026-03-13T16:00:00', '-04:00', '2026-03-13'],
    ['at night', '2026-03-14T00:30:00', '-04:00', '2026-03-13'],
    ['on a Sunday', '2026-03-15T12:00:00', '-04:00', '2026-03-13'],
    ['on Monday morning', '2026-03-16T09:31:00', '-04:00', '2026-03-13'],
    ['before the close on the last day of winter time', '2026-03-06T15:59:59', '-05:00', '2026-03-05'],
    ['at the close on the last day of winter time', '2026-03-06T16:00:00', '-05:00', '2026-03-06'],
    ['before the close on the first day of summer time', '2026-03-09T15:59:59', '-04:00', '2026-03-06'],
    ['at the close on the first day of summer time', '2026-03-09T16:00:00', '-04:00', '2026-03-09'],
    ['before the close after the end of summer time', '2026-11-02T15:59:59', '-05:00', '2026-10-30'],
    ['at the close after the end of summer time', '2026-11-02T16:00:00', '-05:00', '2026-11-02'],
    ['on a day of an early close, before it', '2026-11-27T12:55:00', '-05:00', '2026-11-25'],
    ['on a day of an early close, after it', '2026-11-27T13:05:00', '-05:00', '2026-11-27'],
  ])('the last session %s', async (_, time, offset, expected) => {
    const store = memoryStore();
    const { market, fetch, asked } = await open(sessionsOf('2026-03-02', '2026-11-30'));
    await fetch(store, { from: undefined, backfillDays: 0, now: newYork(time, offset) });
    expect(asked().sessions).toEqual([expected]);
    const day = sessionFrom(expected);
    expect(await lakeBars(store)).toEqual(marketBars(market, { from: day, to: day }));
  });

  test('a session that is not over is missing where it is asked for, and had when it is', async () => {
    const store = memoryStore();
    const { market, fetch, asked } = await open([D, E]);
    const { missing } = await fetch(store, { from: D, to: E, now: newYork('2026-03-13T12:00:00', '-04:00') });
    expect(missing).toEqual([
      {
        date: '2026-03-13',
        symbol: null,
        code: 'Unavailable',
        message: expect.stringContaining('closes at 2026-03-13T20:00:00.000Z'),
      },
    ]);
    expect(asked().sessions).toEqual(['2026-03-12']);
    expect((await fetch(store, { from: D, to: E })).missing).toEqual([]);
    expect(await lakeBars(store)).toEqual(marketBars(market));
  });

  test('a holiday that the API announces is not asked for', async () => {
    const { fetch, asked } = await open([D], [holiday({ date: '2026-03-13', status: 'closed' })]);
    expect(await fetch(memoryStore(), { from: D, to: E })).toMatchObject({ sessions: 1, missing: [] });
    expect(asked().sessions).toEqual(['2026-03-12']);
  });

  test('holidays of other exchanges, and what cannot be read, change nothing', async () => {
    const { fetch, asked } = await open(
      [D, E],
      [
        holiday({ date: '2026-03-13', status: 'closed', exchange: 'OTC' }),
        holiday({ date: '13 March', status: 'closed' }),
        holiday({ date: '2026-03-13', status: 'delayed-open' as never }),
      ],
    );
    await fetch(memoryStore(), { from: D, to: E });
    expect(asked().sessions).toEqual(['2026-03-12', '2026-03-13']);
  });

  test('an early close that the API announces: the session is over after it, and not before', async () => {
    const early = holiday({ date: '2026-03-13', status: 'early-close', close: '2026-03-13T17:00:00.000Z' });
    const { fetch, asked } = await open([D, E], [early]);
    const run = { from: undefined, backfillDays: 0 };
    await fetch(memoryStore(), { ...run, now: newYork('2026-03-13T12:55:00', '-04:00') });
    expect(asked().sessions).toEqual(['2026-03-12']);
    await fetch(memoryStore(), { ...run, now: newYork('2026-03-13T13:05:00', '-04:00') });
    expect(asked().sessions).toEqual(['2026-03-13']);
  });

  test.each([
    ['a close that is none, since it is the usual one', { close: '2026-03-13T20:00:00.000Z' }],
    ['a close in the evening', { close: '2026-03-13T23:30:00.000Z' }],
    ['a day before the calendar begins', { date: '1996-03-13', close: '1996-03-13T17:00:00.000Z' }],
  ])('an announcement that cannot be stops no run: %s', async (_, fields) => {
    const { fetch, asked } = await open([D, E], [holiday({ date: '2026-03-13', status: 'early-close', ...fields })]);
    await fetch(memoryStore(), { from: D, to: E });
    expect(asked().sessions).toEqual(['2026-03-12', '2026-03-13']);
  });

  test('without the announcements the calendar goes by its rules, and the run says so', async () => {
    const { fetch, server, asked } = await open([D, E]);
    server.set({ failureRate: 1, failureKinds: ['error-500'], failurePaths: /marketstatus/ });
    const { warnings, missing } = await fetch(memoryStore(), { from: D, to: E });
    expect(missing).toEqual([]);
    expect(warnings).toEqual([expect.stringContaining('the calendar goes by its rules')]);
    expect(asked().sessions).toEqual(['2026-03-12', '2026-03-13']);
  });

  test('overrides win over what the API announces', async () => {
    const sessions = [D, E, sessionFrom('2026-03-14')];
    const { market, fetch, asked } = await open(sessions, [holiday({ date: '2026-03-13', status: 'closed' })]);
    const store = memoryStore();
    await fetch(store, {
      overrides: [
        { session: D, status: 'closed' },
        { session: E, status: 'open' },
        { session: sessions[2]!, status: 'open' },
      ],
    });
    expect(asked().sessions).toEqual(['2026-03-13', '2026-03-14']);
    expect(await lakeBars(store)).toEqual(marketBars(market, { from: E }));
  });

  test('MARKET_CALENDAR_OVERRIDES says which days are otherwise, for sessions and for symbols', async () => {
    const folder = await temporaryFolder();
    const saturday = sessionFrom('2026-03-14');
    const { market, server, asked } = await open([D, saturday]);
    const env = {
      POLYGON_API_KEY: server.apiKey,
      POLYGON_BASE_URL: server.url,
      MARKET_CALENDAR_OVERRIDES: '2026-03-13=closed, 2026-03-14=open',
    };
    const ohlcv = ['ingest', 'ohlcv', '--from', '2026-03-12', '--to', '2026-03-15', '--json', '--lake'];
    const { code, json } = await runCommand([...ohlcv, `file:${folder}`], { env });
    expect({ code, sessions: json().sessions }).toEqual({ code: 0, sessions: 2 });
    expect(asked().sessions).toEqual(['2026-03-12', '2026-03-14']);
    expect(await lakeBars(fileStore(folder))).toEqual(marketBars(market));
    const chosen = await runCommand([...ohlcv, `file:${folder}`, '--symbols', 'NAN', '--force'], { env });
    expect(chosen.json()).toMatchObject({ sessions: 2, lastDate: '2026-03-14' });
    const wrong = await runCommand([...ohlcv, `file:${folder}`], {
      env: { ...env, MARKET_CALENDAR_OVERRIDES: '2026-03-13=25:00' },
    });
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('"2026-03-13=25:00" is no calendar override');
  });

  test('an override that cannot be is bad input', async () => {
    const { fetch } = await open([D]);
    const overrides = [{ session: E, status: 'early-close', closeMinutes: 1200 } as const];
    await expect(fetch(memoryStore(), { overrides })).rejects.toSatisfy((error) => hasCode(error, 'BadInput'));
  });
});
