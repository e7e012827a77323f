import { parquetReadObjects } from 'hyparquet';
import { describe, expect, test } from 'vitest';
import { memoryStore, type ObjectStore } from '../../src/lake/index.ts';
import { SESSION_LEDGER_KEY } from '../../src/lake/keys.ts';
import {
  claimSessions,
  commitSessions,
  isLanded,
  type Landed,
  readSessionLedger,
  type SessionLedger,
} from '../../src/lake/session-ledger.ts';
import { sessionFrom } from '../../src/session.ts';

const [MONDAY, TUESDAY] = [sessionFrom('2026-03-09'), sessionFrom('2026-03-10')];
const now = () => Date.UTC(2026, 2, 10, 21);

const landedAs = (session: number, digest: string, missing: readonly string[] = []): Landed => ({
  session,
  source: 'grouped',
  digest: digest.padStart(16, '0'),
  rows: 3,
  missing,
  askedAt: 1_000,
});

/** A run of its own, as far as the ledger sees one. Bars may still be corrected where they are not `settled`. */
function runOn(store: ObjectStore, name: string, { settled = false, at = now() } = {}) {
  let claimed: SessionLedger = new Map();
  const call = { settled: () => settled, now: () => at };
  return {
    async claim(...sessions: readonly number[]): Promise<void> {
      claimed = await claimSessions(store, name, sessions, call);
    },
    commit: (...landed: readonly Landed[]) => commitSessions(store, name, landed, { claimed, ...call }),
  };
}

const isLandedIn = async (store: ObjectStore, session: number) =>
  isLanded((await readSessionLedger(store)).get(session));

describe('the session ledger', () => {
  test('knows nothing in the beginning', async () => {
    expect(await readSessionLedger(memoryStore())).toEqual(new Map());
    expect(isLanded(undefined)).toBe(false);
  });

  test('tells of a session when its run has told that its bars are there, and not before', async () => {
    const store = memoryStore();
    const run = runOn(store, 'run');
    await run.claim(MONDAY, TUESDAY);
    expect((await readSessionLedger(store)).get(MONDAY)).toMatchObject({
      digest: '',
      landing: [expect.stringMatching(/^run@/)],
    });
    expect(await isLandedIn(store, MONDAY)).toBe(false);
    expect(await run.commit(landedAs(MONDAY, 'a', ['MSFT', 'T']))).toEqual([]);
    const claim = expect.stringMatching(/^run@/);
    expect([...(await readSessionLedger(store)).values()]).toMatchObject([
      { ...landedAs(MONDAY, 'a', ['MSFT', 'T']), landing: [], updatedAt: now() },
      { session: TUESDAY, source: '', digest: '', rows: 0, missing: [], landing: [claim], updatedAt: now() },
    ]);
    expect([await isLandedIn(store, MONDAY), await isLandedIn(store, TUESDAY)]).toEqual([true, false]);
  });

  test('keeps what it knows of other sessions, and no longer takes a session for complete that is claimed again', async () => {
    const store = memoryStore();
    const [first, second] = [runOn(store, 'first'), runOn(store, 'second')];
    await first.claim(MONDAY, TUESDAY);
    await first.commit(landedAs(MONDAY, 'a'), landedAs(TUESDAY, 'b'));
    await second.claim(TUESDAY);
    expect([await isLandedIn(store, MONDAY), await isLandedIn(store, TUESDAY)]).toEqual([true, false]);
    expect((await readSessionLedger(store)).get(TUESDAY)).toMatchObject({
      landing: [expect.stringMatching(/^second@/)],
    });
    await second.commit(landedAs(TUESDAY, 'c'));
    expect((await readSessionLedger(store)).get(TUESDAY)).toMatchObject(landedAs(TUESDAY, 'c'));
  });

  test('a run that died over a settled session is passed over by the next one that brings all of it', async () => {
    const store = memoryStore();
    await runOn(store, 'dead').claim(MONDAY);
    const next = runOn(store, 'next', { settled: true });
    await next.claim(MONDAY);
    expect(await isLandedIn(store, MONDAY)).toBe(false);
    expect(await next.commit(landedAs(MONDAY, 'a'))).toEqual([]);
    expect(await isLandedIn(store, MONDAY)).toBe(true);
  });

  test('a run that died over a session that may be corrected may be alive for an hour: then the next one counts', async () => {
    const store = memoryStore();
    await runOn(store, 'dead').claim(MONDAY);
    for (const [minutes, isComplete] of [
      [1, false],
      [59, false],
      [61, true],
    ] as const) {
      const next = runOn(store, `after ${minutes}`, { at: now() + minutes * 60_000 });
      await next.claim(MONDAY);
      await next.commit(landedAs(MONDAY, 'a'));
      expect(await isLandedIn(store, MONDAY)).toBe(isComplete);
    }
  });

  test('of two runs one after the other the second one counts', async () => {
    const store = memoryStore();
    for (const name of ['a', 'b']) {
      const run = runOn(store, name);
      await run.claim(MONDAY);
      expect(await run.commit(landedAs(MONDAY, name))).toEqual([]);
    }
    expect((await readSessionLedger(store)).get(MONDAY)).toMatchObject(landedAs(MONDAY, 'b'));
  });

  // Of two runs at the same time each may have written bars over the other's, between its claim and its commit.
  test.each([
    ['the first to claim commits first', ['first', 'second'] as const],
    ['the first to claim commits last', ['second', 'first'] as const],
  ])('nobody takes a session for complete into which two runs brought bars at the same time: %s', async (_, order) => {
    const store = memoryStore();
    const runs = { first: runOn(store, 'first'), second: runOn(store, 'second') };
    await runs.first.claim(MONDAY, TUESDAY);
    await runs.second.claim(MONDAY);
    const contested = [];
    for (const name of order)
      contested.push(...(await runs[name].commit(landedAs(MONDAY, name === 'first' ? 'a' : 'b'))));
    expect(await isLandedIn(store, MONDAY)).toBe(false);
    expect(contested).toContain(MONDAY);
  });

  test('a session that two runs met at is complete when a third one has brought it in', async () => {
    const store = memoryStore();
    const [first, second, third] = ['first', 'second', 'third'].map((name) => runOn(store, name));
    await first!.claim(MONDAY);
    await second!.claim(MONDAY);
    await first!.commit(landedAs(MONDAY, 'a'));
    await second!.commit(landedAs(MONDAY, 'b'));
    await third!.claim(MONDAY);
    expect(await third!.commit(landedAs(MONDAY, 'c'))).toEqual([]);
    expect(await isLandedIn(store, MONDAY)).toBe(true);
  });

  test('runs that write at the same time lose nothing of each other', async () => {
    const store = memoryStore();
    const days = Array.from({ length: 8 }, (_, i) => MONDAY + i);
    await Promise.all(
      days.map(async (session) => {
        const run = runOn(store, `run${session}`);
        await run.claim(session);
        expect(await run.commit(landedAs(session, 'a'))).toEqual([]);
      }),
    );
    expect([...(await readSessionLedger(store)).values()].filter(isLanded).map(({ session }) => session)).toEqual(days);
  });

  test('is a Parquet file that others read', async () => {
    const store = memoryStore();
    const run = runOn(store, 'run');
    await run.claim(MONDAY);
    await run.commit(landedAs(MONDAY, 'a', ['MSFT', 'T']));
    const file = new Uint8Array((await store.get(SESSION_LEDGER_KEY)).body).buffer;
    expect(await parquetReadObjects({ file })).toMatchObject([
      {
        date: new Date('2026-03-09T00:00:00Z'),
        source: 'grouped',
        digest: 'a'.padStart(16, '0'),
        rows: 3,
        missing: 'MSFT,T',
        landing: '',
        last_updated: new Date(now()),
      },
    ]);
  });

  test.each([
    ['cut short', (body: Uint8Array) => body.slice(0, -20)],
    ['no Parquet', () => new TextEncoder().encode('{}')],
  ])('that is damaged (%s) knows nothing, and is made anew', async (_, damage) => {
    const store = memoryStore();
    await runOn(store, 'run').claim(MONDAY);
    await store.put(SESSION_LEDGER_KEY, damage((await store.get(SESSION_LEDGER_KEY)).body));
    expect(await readSessionLedger(store)).toEqual(new Map());
    const run = runOn(store, 'next');
    await run.claim(TUESDAY);
    await run.commit(landedAs(TUESDAY, 'b'));
    expect([...(await readSessionLedger(store)).keys()]).toEqual([TUESDAY]);
  });

  test('that was lost while a run was bringing bars in does not take its session for complete', async () => {
    const store = memoryStore();
    const run = runOn(store, 'run');
    await run.claim(MONDAY);
    await store.delete(SESSION_LEDGER_KEY);
    expect(await run.commit(landedAs(MONDAY, 'a'))).toEqual([MONDAY]);
    expect(await isLandedIn(store, MONDAY)).toBe(false);
  });

  test('an aborted call changes nothing', async () => {
    const store = memoryStore();
    const signal = AbortSignal.abort(new Error('stopped'));
    await expect(claimSessions(store, 'run', [MONDAY], { now, signal })).rejects.toThrow('stopped');
    expect(await readSessionLedger(store)).toEqual(new Map());
  });
});
