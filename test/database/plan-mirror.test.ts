import { describe, expect, test } from 'vitest';
import { batchMonths, planMonth } from '../../src/database/plan-mirror.ts';
import { type Division, divisionOf, type ShardState } from '../../src/database/silver-state.ts';
import { checkpointKey } from '../../src/lake/keys.ts';
import { formatMonth, parseMonth } from '../../src/session.ts';

const [JANUARY, FEBRUARY] = [parseMonth('202601'), parseMonth('202602')];

/** Files of a shard by month and digest; `undefined` where its first run has not committed. */
type Files = Readonly<Record<string, string>> | undefined;

/** A state of silver, by shards such as `0/2`. */
function stateOf(shards: Readonly<Record<string, Files>>) {
  const states = Object.entries(shards).map(([name, files]): [string, ShardState] => {
    const shard = shardOf(name);
    const found = files && Object.entries(files).map(([month, digest]) => [month, { rows: 1, digest, etag: 'e' }]);
    const state = { shard, etag: 'e', isRunning: !files, files: found && Object.fromEntries(found) };
    return [checkpointKey(3, shard), state];
  });
  return new Map(states);
}

function shardOf(name: string) {
  const [index, count] = name.split('/').map(Number);
  return { index: index!, count: count! };
}

function recordedOf(files: Readonly<Record<string, string>>) {
  return Object.entries(files).map(([name, digest]) => ({ shard: shardOf(name), digest }));
}

describe('silver is in the division', () => {
  test.each<readonly [string, Readonly<Record<string, Files>>, string | undefined]>([
    ['there is', { '0/1': {} }, '1 complete'],
    ['that a run has claimed for the first time, of which nothing is known', { '0/1': undefined }, '1 incomplete'],
    ['all shards of which have committed', { '0/2': {}, '1/2': {} }, '2 complete'],
    ['some shards of which have committed', { '1/3': {} }, '3 incomplete'],
    ['that is there as long as it is, while another is claimed', { '0/1': {}, '0/2': undefined }, '1 complete'],
    ['that is complete, of one and what is left of another', { '1/2': {}, '0/1': {} }, '1 complete'],
    ['of none, while one is going and another has not come', { '1/2': {}, '0/3': undefined }, undefined],
    ['of none where there is no checkpoint', {}, undefined],
  ])('%s', (_, shards, expected) => {
    const division = divisionOf(3, stateOf(shards));
    expect(division && `${division.count} ${division.isComplete ? 'complete' : 'incomplete'}`).toBe(expected);
  });

  test('but not in two', () => {
    const refused = () => divisionOf(3, stateOf({ '0/1': {}, '0/2': {}, '1/2': {} }));
    expect(refused).toThrow(expect.objectContaining({ code: 'CorruptObject' }));
    expect(refused).toThrow('silver of 3 sessions is divided into 1 and into 2');
  });
});

describe('a month', () => {
  const plan = (shards: Readonly<Record<string, Files>>, month: number, recorded: Readonly<Record<string, string>>) =>
    planMonth(divisionOf(3, stateOf(shards)), month, recordedOf(recorded));
  const NOTHING = { write: [], drop: [], isWhole: false, waiting: [], unchanged: 0 };

  test('has the files written that differ, and those dropped that are no more', () => {
    const shards = { '0/4': { '202601': 'a' }, '1/4': { '202601': 'b' }, '2/4': {}, '3/4': { '202601': 'd' } };
    expect(plan(shards, JANUARY, { '0/4': 'a', '1/4': 'other', '2/4': 'c' })).toEqual({
      ...NOTHING,
      write: recordedOf({ '1/4': 'b', '3/4': 'd' }),
      drop: [shardOf('2/4')],
      unchanged: 1,
    });
    expect(plan(shards, FEBRUARY, {})).toEqual(NOTHING);
    expect(plan(shards, FEBRUARY, { '0/4': 'a' })).toEqual({ ...NOTHING, drop: [shardOf('0/4')] });
  });

  test('keeps what is recorded of shards that nothing is known of', () => {
    expect(plan({ '0/2': { '202601': 'a' }, '1/2': undefined }, JANUARY, { '1/2': 'b' })).toEqual({
      ...NOTHING,
      write: recordedOf({ '0/2': 'a' }),
    });
    expect(plan({ '0/1': undefined }, JANUARY, { '0/1': 'a' })).toEqual(NOTHING);
  });

  test('of another division is replaced as a whole, and waits until that is complete', () => {
    const recorded = { '0/1': 'a' };
    const waiting = { ...NOTHING, waiting: recordedOf(recorded) };
    expect(plan({ '0/2': { '202601': 'b' } }, JANUARY, recorded)).toEqual(waiting);
    expect(plan({ '0/2': {}, '0/3': {} }, JANUARY, recorded)).toEqual(waiting);
    const shards = { '0/2': { '202601': 'b' }, '1/2': {} };
    expect(plan(shards, JANUARY, recorded)).toEqual({
      ...NOTHING,
      write: recordedOf({ '0/2': 'b' }),
      drop: [shardOf('0/1')],
      isWhole: true,
    });
    expect(plan(shards, FEBRUARY, recorded)).toEqual({ ...NOTHING, drop: [shardOf('0/1')], isWhole: true });
  });
});

describe('months are brought in transactions', () => {
  const divisionWith = (rows: readonly number[]): Division => {
    const files = rows.map((count, i) => [formatMonth(JANUARY + i), { rows: count, digest: 'a', etag: 'e' }] as const);
    return { count: 1, shards: new Map([[0, Object.fromEntries(files)]]), isComplete: true };
  };
  const batchesOf = (rows: readonly number[]) =>
    batchMonths(
      divisionWith(rows),
      rows.map((_, i) => JANUARY + i),
    ).map((months) => months.map((month) => month - JANUARY));

  test.each<readonly [string, readonly number[], readonly (readonly number[])[]]>([
    ['of nothing', [], []],
    ['of all of them where they are small', [1, 2, 3], [[0, 1, 2]]],
    ['of 20,000 rows, the latest first', [12_000, 8_000, 1, 20_000, 500], [[4], [3], [1, 2], [0]]],
    ['of one where it alone has more', [30_000, 40_000], [[1], [0]]],
  ])('%s', (_, rows, expected) => {
    expect(batchesOf(rows)).toEqual(expected);
  });

  test('of 60 files at most', () => {
    const ends = (months: readonly (readonly number[])[]) => months.map((batch) => [batch.length, batch[0]]);
    expect(ends(batchesOf(Array(130).fill(1)))).toEqual([
      [60, 70],
      [60, 10],
      [10, 0],
    ]);
    const shards = new Map([[3, divisionWith(Array(7).fill(1)).shards.get(0)!]]);
    const months = Array.from({ length: 7 }, (_, i) => i);
    const sharded = (count: number) =>
      ends(
        batchMonths(
          { count, shards, isComplete: false },
          months.map((i) => JANUARY + i),
        ),
      ).map(([length]) => length);
    expect([sharded(16), sharded(30), sharded(1000)]).toEqual([
      [3, 3, 1],
      [2, 2, 2, 1],
      [1, 1, 1, 1, 1, 1, 1],
    ]);
  });

  test('of as many rows as there will be when all shards have come', () => {
    const file = { rows: 5_001, digest: 'a', etag: 'e' };
    const months = { '202601': file, '202602': file };
    const batches = (shards: readonly number[]) =>
      batchMonths({ count: 2, shards: new Map(shards.map((i) => [i, months])), isComplete: false }, [
        FEBRUARY,
        JANUARY,
      ]);
    expect([batches([0]), batches([1]), batches([0, 1])]).toEqual(Array(3).fill([[FEBRUARY], [JANUARY]]));
  });

  test('with those that are no more among them', () => {
    expect(batchMonths(divisionWith([]), [FEBRUARY, JANUARY])).toEqual([[JANUARY, FEBRUARY]]);
  });
});
