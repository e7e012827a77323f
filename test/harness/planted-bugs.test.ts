import { expect, test, vi } from 'vitest';
import { interleave } from './interleaving.ts';
import { PLANTED_BUGS } from './planted-bugs.ts';
import { withoutStacks } from './seeds.ts';

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

const MOST = 20_000;

test.each(Object.entries(PLANTED_BUGS))('the harness catches: %s', async (name, { shows, ...variant }) => {
  await withoutStacks(async () => {
    for (let seed = 1; seed <= MOST; seed++) {
      const { violations } = await interleave(seed, variant);
      if (violations.length === 0) continue;
      expect(violations[0]).toMatch(shows);
      expect((await interleave(seed)).violations).toEqual([]);
      console.info(`${name}: caught after ${seed} interleavings: ${violations[0]}`);
      return;
    }
    expect.fail(`not caught in ${MOST} interleavings`);
  });
});
