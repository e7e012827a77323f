import { expect, test, vi } from 'vitest';
import { listSessionFiles } from '../../src/lake/session-file.ts';
import { claimSessions, commitSessions, readSessionLedger } from '../../src/lake/session-ledger.ts';
import { lakeWatermarks } from '../../src/lake/watermarks.ts';
import { type FetchVariant, stormOfFetchers } from './fetch-storm.ts';
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

const COUNT = Number(process.env.STORM_RUNS ?? (IS_SOAK ? 200_000 : 1000));
const { STORM_SEED: chosen } = process.env;
const REPLAY = 'npx vitest run --config test/vitest.config.ts --project unit test/harness/fetch-storm.test.ts';

if (chosen !== undefined) {
  test(`seed ${chosen}`, async () => {
    const { violations, trace } = await stormOfFetchers(Number(chosen));
    console.info(trace.join('\n'));
    expect(violations).toEqual([]);
  });
}

test(`after ${COUNT} storms of fetchers one clean run has the lake as the source says, and later ones have nothing to do`, async () => {
  await withoutStacks(async () => {
    for (let seed = 1; seed <= COUNT; seed++) {
      const { violations } = await stormOfFetchers(seed);
      if (violations.length > 0) expect.fail(`seed ${seed}: ${violations.join('; ')}\nSTORM_SEED=${seed} ${REPLAY}`);
    }
  });
});

const BUGS: Readonly<Record<string, FetchVariant & { readonly shows: RegExp }>> = {
  'a session that met another run is told complete': {
    shows: /^I3|^I7/,
    async afterFetch(store, call) {
      const files = await listSessionFiles(store, { from: 0, to: 30_000, ...call });
      for (const entry of (await readSessionLedger(store, call)).values()) {
        if (entry.digest !== '') continue;
        const digest = files.get(entry.session)?.at(-1) ?? '';
        await claimSessions(store, 'bug', [entry.session], { now: () => 0, ...call });
        const claimed = new Map([[entry.session, entry]]);
        const options = { claimed, settled: () => true, now: () => 0, ...call };
        await commitSessions(store, 'bug', [{ ...entry, digest }], options);
      }
    },
  },
  'watermark before data': {
    shows: /^I7/,
    async beforeFetch(store, lastSession, call) {
      const marks = ['BRK', 'BRK.B'].map((symbol) => ({ symbol, lastSession, checkedFrom: -1, checkedThrough: -1 }));
      await lakeWatermarks(store).advance(marks, call);
    },
  },
};

test.each(Object.entries(BUGS))('the storm catches the planted bug: %s', async (_, { shows, ...variant }) => {
  await withoutStacks(async () => {
    for (let seed = 1; seed <= 2000; seed++) {
      const { violations } = await stormOfFetchers(seed, variant);
      if (violations.length === 0) continue;
      expect(violations[0]).toMatch(shows);
      return;
    }
    expect.fail('not caught');
  });
});
