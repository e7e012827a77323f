import { test, vi } from 'vitest';
import { IS_SOAK, runSeeds } from './seeds.ts';

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

const COUNT = IS_SOAK ? 500_000 : 10_000;

// Half of the seeds: test files run at the same time.
test(`${COUNT} interleavings of odd seeds lose nothing`, () => runSeeds(1, COUNT));
