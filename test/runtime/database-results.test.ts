import { expect, test } from 'vitest';
import type { MirrorResult } from '../../src/database/mirror-silver.ts';
import { memoryStore, withMetrics } from '../../src/lake/index.ts';
import { describeMirror } from '../../src/runtime/database-results.ts';

const COUNTS = { filesWritten: 1, filesUnchanged: 2, filesDeleted: 0, filesPending: 0 };
const RESULT: MirrorResult = {
  intervals: [{ interval: 3, ...COUNTS, rowsWritten: 1_200, rowsUnchanged: 0, rowsDeleted: 4 }],
  failed: [],
  metrics: withMetrics(memoryStore()).metrics(),
};

test('a mirror is told as a table, and what it could not do after it', () => {
  const text = describeMirror(RESULT);
  expect(text.split('\n')).toEqual([
    'table      files written  unchanged  deleted  rows written  unchanged  deleted',
    'silver_3d              1          2        0         1,200          0        4',
    expect.stringMatching(/^requests: none/),
  ]);
  const [row] = RESULT.intervals;
  const worse = describeMirror({
    ...RESULT,
    intervals: [{ ...row!, filesPending: 2 }],
    failed: [{ key: 'silver/x', message: 'silver/x: is gone; run resample again' }],
    failure: 'db:5432/market: no answer',
  });
  expect(worse.split('\n').slice(2)).toEqual([
    '2 month files pending, as a run of resample is at them: the next run brings them',
    expect.stringMatching(/^requests: none/),
    '1 could not be mirrored, the others went on:',
    '  silver/x: is gone; run resample again',
    'stopped before the end: db:5432/market: no answer',
  ]);
});
