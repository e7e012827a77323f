import { expect, test, vi } from 'vitest';
import { PLANTED_BUGS } from './planted-bugs.ts';
import { stormOfResamplers } from './resample-storm.ts';
import { IS_SOAK, withoutStacks } from './seeds.ts';

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

const COUNT = Number(process.env.STORM_RUNS ?? (IS_SOAK ? 200_000 : 1500));
const { STORM_SEED: chosen } = process.env;
const REPLAY = 'npx vitest run --config test/vitest.config.ts --project unit test/harness/resample-storm.test.ts';

if (chosen !== undefined) {
  test(`seed ${chosen}`, async () => {
    const { violations, trace } = await stormOfResamplers(Number(chosen));
    console.info(trace.join('\n'));
    expect(violations).toEqual([]);
  });
}

test(`after ${COUNT} storms of resamplers a clean run equals a full rebuild, and no fenced run has committed`, async () => {
  await withoutStacks(async () => {
    for (let seed = 1; seed <= COUNT; seed++) {
      const { violations } = await stormOfResamplers(seed);
      if (violations.length > 0) expect.fail(`seed ${seed}: ${violations.join('; ')}\nSTORM_SEED=${seed} ${REPLAY}`);
    }
  });
});

test('the storm catches the planted bug: epoch skipped', async () => {
  const { shows, ...variant } = PLANTED_BUGS['epoch skipped']!;
  await withoutStacks(async () => {
    for (let seed = 1; seed <= 2000; seed++) {
      const { violations } = await stormOfResamplers(seed, variant);
      if (violations.length === 0) continue;
      expect(violations[0]).toMatch(shows);
      return;
    }
    expect.fail('not caught');
  });
});
