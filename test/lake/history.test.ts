import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allocateBars, type Bars, mergeBars, sliceBars } from '../../src/bars.ts';
import { writeDaily } from '../../src/ingest/daily-writer.ts';
import { encodeBars } from '../../src/lake/bronze.ts';
import { consolidate } from '../../src/lake/consolidate.ts';
import { consolidateSymbol } from '../../src/lake/consolidate-symbol.ts';
import { readConsolidated } from '../../src/lake/consolidated.ts';
import { appendedTo, changedFrom, type HistoryChange, recordChange, sameBars } from '../../src/lake/history.ts';
import { dataKey } from '../../src/lake/keys.ts';
import { readManifest } from '../../src/lake/manifest.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { listSymbol } from '../../src/lake/symbol-files.ts';
import { keysOf, rowsOf } from '../support/lake-reader.ts';

interface Version {
  readonly bars: Bars;
  readonly digest: string;
  readonly changes: readonly HistoryChange[];
}

/** Bars that nobody has had, of these sessions. */
function newBars(sessions: readonly number[], count: { value: number }): Bars {
  const sorted = [...new Set(sessions)].sort((a, b) => a - b);
  const bars = allocateBars(sorted.length);
  bars.session.set(sorted);
  for (const i of sorted.keys()) bars.volume[i] = ++count.value;
  return bars;
}

async function importBulk(store: ObjectStore, imported: Bars): Promise<void> {
  await consolidateSymbol(store, await listSymbol(store, 'A'), { imported });
}

async function readVersion(store: ObjectStore): Promise<Version & { readonly body: Uint8Array }> {
  return { ...(await readConsolidated(store, 'A'))!, body: (await store.get(dataKey('A'))).body };
}

/** The first session that is not the same in both, missing in one included. */
function firstDifference(a: Bars, b: Bars): number | undefined {
  const [ofA, ofB] = [a, b].map((bars) => new Map(Array.from(bars.session, (session, i) => [session, bars.volume[i]])));
  return [...ofA!.keys(), ...ofB!.keys()].sort((x, y) => x - y).find((n) => ofA!.get(n) !== ofB!.get(n));
}

/** What `now` says of an earlier version is true of it. */
function checkVersions(old: Version, now: Version): 'appended' | 'changed' | 'unknown' {
  const [from, difference] = [changedFrom(now.changes, old.digest), firstDifference(old.bars, now.bars)];
  const isAppended = appendedTo(now.changes, now.bars.session).includes(old.digest);
  for (const { of, rows } of now.changes) if (of === old.digest) expect(rows).toBe(old.bars.session.length);
  if (difference !== undefined && from !== undefined) expect(from).toBeLessThanOrEqual(difference);
  if (isAppended) {
    expect(rowsOf(now.bars).slice(0, old.bars.session.length)).toEqual(rowsOf(old.bars));
    expect(from).toBe(difference);
    return 'appended';
  }
  return from === undefined ? 'unknown' : 'changed';
}

describe('changes of a history', () => {
  const sessions = fc.array(fc.integer({ min: 10, max: 30 }), { minLength: 1, maxLength: 3 });
  const step = (how: 'append' | 'write' | 'import' | 'import again' | 'put back' | 'begin anew') =>
    fc.record({ how: fc.constant(how), sessions });
  const steps = fc.array(
    fc.oneof(
      { weight: 4, arbitrary: step('append') },
      { weight: 2, arbitrary: step('write') },
      { weight: 2, arbitrary: step('import') },
      { weight: 1, arbitrary: step('import again') },
      { weight: 2, arbitrary: step('put back') },
      { weight: 1, arbitrary: step('begin anew') },
    ),
    { minLength: 2, maxLength: 24 },
  );

  test('of any earlier version: before the session from which it changed all bars are the same, and what is appended to begins it', async () => {
    const seen = { appended: 0, changed: 0, unknown: 0 };
    await fc.assert(
      fc.asyncProperty(steps, async (steps) => {
        const store = memoryStore();
        const count = { value: 0 };
        const versions: Awaited<ReturnType<typeof readVersion>>[] = [];
        let last: Version | undefined;
        for (const { how, sessions } of steps) {
          const old = versions[sessions[0]! % versions.length];
          if (how === 'begin anew') {
            for (const key of await keysOf(store, 'bronze/')) await store.delete(key);
            last = undefined;
          } else if (how === 'put back' && old) {
            await store.put(dataKey('A'), old.body);
            last = old;
          }
          const end = last?.bars.session.at(-1) ?? 10;
          const later = sessions.map((n) => end + n - 9);
          if (how === 'write' || how === 'begin anew') await writeDaily(store, 'A', newBars(sessions, count));
          else if (how === 'import again' && old) await importBulk(store, old.bars);
          else await importBulk(store, newBars(how === 'import' ? sessions : later, count));
          await consolidate(store, { retentionDays: 100_000 });
          const now = await readVersion(store);
          const from = last && firstDifference(last.bars, now.bars);
          const added = last && from !== undefined ? [{ of: last.digest, rows: last.bars.session.length, from }] : [];
          expect(now.changes).toEqual([...(last?.changes ?? []), ...added]);
          const said = (await readManifest(store)).entries.get('A');
          expect(said?.appendedTo).toEqual(appendedTo(now.changes, now.bars.session));
          for (const version of versions) {
            if (version.digest !== now.digest) seen[checkVersions(version, now)]++;
          }
          versions.push(now);
          last = now;
        }
      }),
      { numRuns: 50 },
    );
    // Each kind of pair was met, often.
    expect(Math.min(...Object.values(seen))).toBeGreaterThan(100);
  });

  test('of appends alone, all of the last 64 versions are known, and the last 8 are the beginning', () => {
    const bars = newBars(
      Array.from({ length: 100 }, (_, i) => 10 + 2 * i),
      { value: 0 },
    );
    let changes = recordChange(undefined, sliceBars(bars, 0, 1));
    expect(changes).toEqual([]);
    for (let rows = 1; rows < 100; rows++) {
      const before = { bars: sliceBars(bars, 0, rows), digest: `${rows}`, changes };
      changes = recordChange(before, sliceBars(bars, 0, rows + 1));
    }
    const known = Array.from({ length: 99 }, (_, i) => changedFrom(changes, `${i + 1}`));
    expect(known).toEqual(Array.from({ length: 99 }, (_, i) => (i < 35 ? undefined : bars.session[i + 1])));
    expect(appendedTo(changes, bars.session)).toEqual(['99', '98', '97', '96', '95', '94', '93', '92']);
  });

  test('a late bar, a correction and a removal change it from there on; appended to is only what has nothing after that', () => {
    const count = { value: 0 };
    const bars = newBars([10, 11, 13, 14, 15], count);
    const late = newBars([10, 11, 12, 13, 14, 15], count);
    for (const [i, row] of [0, 1, -1, 2, 3, 4].entries()) if (row >= 0) late.volume[i] = bars.volume[row]!;
    const corrected = { ...bars, volume: bars.volume.map((volume, i) => (i === 3 ? 99 : volume)) };
    const shorter = sliceBars(bars, 0, 4);
    const without = mergeBars(sliceBars(bars, 0, 2), sliceBars(bars, 3, 5));
    const appended = { of: 'v0', rows: 2, from: 13 };
    const before = { bars, digest: 'v1', changes: [appended] };
    for (const [next, from] of [
      [late, 12],
      [corrected, 14],
      [shorter, 15],
      [without, 13],
    ] as const) {
      const changes = recordChange(before, next);
      expect(changes).toEqual([appended, { of: 'v1', rows: 5, from }]);
      expect([changedFrom(changes, 'v0'), changedFrom(changes, 'v1')]).toEqual([Math.min(from, 13), from]);
      expect(appendedTo(changes, next.session)).toEqual([]);
    }
    expect(recordChange(before, bars)).toBe(before.changes);
    expect(appendedTo(before.changes, bars.session)).toEqual(['v0']);
  });

  test('a version whose last bars were removed is not appended to, however many came after', () => {
    const changes = [
      { of: 'v1', rows: 3, from: 15 },
      { of: 'v2', rows: 2, from: 12 },
    ];
    for (const session of [Int32Array.of(10, 11, 12), Int32Array.of(10, 11, 12, 15)]) {
      expect(appendedTo(changes, session)).toEqual(['v2']);
    }
  });

  test('a version that came back is of its last place', () => {
    const changes = ['v1', 'v2', 'v1', 'v3'].map((of, i) => ({ of, rows: 9, from: [3, 1, 7, 8][i]! }));
    expect(['v1', 'v2', 'v3', 'v4'].map((digest) => changedFrom(changes, digest))).toEqual([7, 1, 8, undefined]);
  });

  test('a file without a list of changes has none, and is the version before what is written over it', async () => {
    const store = memoryStore();
    const count = { value: 0 };
    const { bytes, digest } = encodeBars('A', newBars([10, 11], count), { metadata: { applied: '{}' } });
    await store.put(dataKey('A'), bytes);
    expect((await readVersion(store)).changes).toEqual([]);
    await importBulk(store, newBars([11, 12], count));
    expect((await readVersion(store)).changes).toEqual([{ of: digest, rows: 2, from: 11 }]);
  });

  test('the same bars are those of one digest: 0 is not −0, and a column without values is none', () => {
    const [bars, zero] = [newBars([10, 11], { value: 0 }), newBars([10, 11], { value: 0 })];
    zero.open[1] = -0;
    const absent = { ...bars, vwap: new Float64Array(2).fill(Number.NaN), trades: new Int32Array(2).fill(-1) };
    for (const [other, isSame] of [
      [zero, false],
      [absent, true],
      [sliceBars(bars, 0, 1), false],
    ] as const) {
      expect(sameBars(bars, other)).toBe(isSame);
      expect(encodeBars('A', bars).digest === encodeBars('A', other).digest).toBe(isSame);
    }
  });
});
