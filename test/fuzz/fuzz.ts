import { createRandom, type Random } from './random.ts';

/** Cases of each test; `npm run test:soak` sets it. */
export const RUNS = Number(process.env.FUZZ_RUNS ?? 1000);
const FIRST_SEED = Number(process.env.FUZZ_SEED ?? 1);
const MAX_CASE_MS = 5000;

/** How often each outcome was. */
export type Outcomes = Readonly<Record<string, number>>;

/**
 * Runs cases one after the other, each from a seed of its own.
 *
 * @param check throws where an invariant does not hold; gives the outcome, to be counted
 * @throws Error naming the seed of the first case that fails: `FUZZ_SEED=… FUZZ_RUNS=1` replays it
 */
export async function fuzz(name: string, check: (random: Random) => string | Promise<string>): Promise<Outcomes> {
  const outcomes: Record<string, number> = {};
  const begun = performance.now();
  for (let seed = FIRST_SEED; seed < FIRST_SEED + RUNS; seed++) {
    const start = performance.now();
    let outcome: string;
    try {
      outcome = await check(createRandom(seed));
      const took = performance.now() - start;
      if (took > MAX_CASE_MS) throw new Error(`took ${Math.round(took)} ms`);
    } catch (error) {
      throw new Error(`${name}, FUZZ_SEED=${seed} FUZZ_RUNS=1: ${String(error)}`, { cause: error });
    }
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  }
  const rate = Math.round(RUNS / ((performance.now() - begun) / 1000));
  if (process.env.FUZZ_RUNS) console.info(`${name}: ${RUNS} cases, ${rate} a second, ${JSON.stringify(outcomes)}`);
  return outcomes;
}
