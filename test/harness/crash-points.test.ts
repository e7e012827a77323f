import { afterAll, describe, expect, test, vi } from 'vitest';
import { CRASH_JOBS, KEEP_ALL } from './crash-jobs.ts';
import { CRASH_MODES, type CrashPoint, crashAt, openCase } from './crash-points.ts';
import { PLANTED_BUGS } from './planted-bugs.ts';
import { IS_SOAK, seconds, withoutStacks } from './seeds.ts';

vi.mock(import('../../src/lake/wasm.ts'), async (original) =>
  (await import('./memoise.ts')).memoiseWasm(await original()),
);
vi.mock(import('../../src/lake/parquet-decode.ts'), async (original) =>
  (await import('./memoise.ts')).memoiseDecoding(await original()),
);
vi.mock(import('../../src/lake/daily-file.ts'), async (original) =>
  (await import('./memoise.ts')).nameWrites(await original()),
);
vi.mock(import('../../src/lake/parquet-encode.ts'), async (original) =>
  (await import('./memoise.ts')).memoiseEncoding(await original()),
);

let total = 0;

afterAll(() => console.info(`${total} crash points`));

describe.each(CRASH_JOBS)('$name', (job) => {
  test('a crash, a failure or a lost answer at any request is made good by the next run', async () => {
    const tested = await openCase(job);
    let points = 0;
    await withoutStacks(async () => {
      for (const point of allPoints(tested.operations)) {
        expect([point, await crashAt(tested, [point])]).toEqual([point, undefined]);
        points++;
      }
    });
    total += points;
    expect(points).toBe(tested.operations * CRASH_MODES.length);
    expect(points).toBeGreaterThan(20);
  });

  if (!IS_SOAK) return;
  test('also two of them, one after the other', async () => {
    const tested = await openCase(job);
    const started = performance.now();
    let points = 0;
    await withoutStacks(async () => {
      for (const first of allPoints(tested.operations)) {
        for (const second of allPoints(tested.operations)) {
          const found = await crashAt(tested, [first, second]);
          if (found === 'none') continue;
          if (found !== undefined) expect([first, second, found]).toEqual([first, second, undefined]);
          points++;
        }
      }
    });
    total += points;
    console.info(`${job.name}: ${points} pairs of crash points, ${seconds(started)} s`);
  });
});

test('the crash points find a manifest that is written before the data, and believed', async () => {
  const { consolidate } = PLANTED_BUGS['watermark before data']!.jobs!;
  const job = CRASH_JOBS.find(({ name }) => name === 'consolidate incremental')!;
  const tested = await openCase({ ...job, run: ({ store, signal }) => consolidate!(store, { ...KEEP_ALL, signal }) });
  const found: string[] = [];
  for (const point of allPoints(tested.operations)) {
    if ((await crashAt(tested, [point])) !== undefined) found.push(point.mode);
  }
  expect(new Set(found)).toEqual(new Set(['crash before', 'crash after']));
});

function allPoints(operations: number): CrashPoint[] {
  return Array.from({ length: operations }, (_, index) => CRASH_MODES.map((mode) => ({ index, mode }))).flat();
}
