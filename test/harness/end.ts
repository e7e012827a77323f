import { messageOf } from '../../src/errors.ts';
import { readConsolidated } from '../../src/lake/consolidated.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { listSymbols } from '../../src/lake/symbol-files.ts';
import { silverDigests } from '../support/lake-reader.ts';
import { valuesOf } from './bar-values.ts';
import { checkGroups } from './groups.ts';
import { HARNESS_INTERVALS, type JobContext } from './jobs.ts';
import type { Witness } from './witness.ts';
import { RETENTION_DAYS } from './world.ts';

export interface EndContext extends JobContext {
  readonly witness: Witness;
  readonly isSilver: boolean;
  readonly now: number;
}

/**
 * What must hold once everybody has ended: after one undisturbed consolidation every session has a bar that no later
 * write was acknowledged for (I3), another one in the other mode finds nothing to do (I2), and silver is what it would be
 * if it were made from nothing (I1), each bar in one group (I5, I6).
 */
export async function checkEnd(storage: ObjectStore, context: EndContext): Promise<void> {
  try {
    await checkBronze(storage, context);
    if (context.isSilver) await checkSilver(storage, context);
  } catch (error) {
    context.report(`the last run ended with ${messageOf(error)}`);
  }
}

async function checkBronze(storage: ObjectStore, context: EndContext): Promise<void> {
  const { witness, history, jobs, random, report, now } = context;
  const store = witness.as({ name: 'last', isDead: false, now: () => now });
  const options = { retentionDays: RETENTION_DAYS, now: () => now };
  const mode = random.chance(0.8) ? 'incremental' : 'full';
  const { failed } = await jobs.consolidate(store, { ...options, mode });
  if (failed.length > 0) report(`the last consolidation fails: ${JSON.stringify(failed)}`);
  for (const symbol of history.symbols()) {
    const found = await readConsolidated(storage, symbol);
    const wrong = history.check(symbol, found ? valuesOf(found.bars) : new Map());
    if (wrong !== undefined) report(`I3 ${wrong}`);
  }
  if (!random.chance(0.1)) return;
  const other = mode === 'full' ? 'incremental' : 'full';
  const again = await jobs.consolidate(store, { ...options, mode: other });
  if (again.written > 0 || again.dailyFilesDeleted > 0) report(`I2 ${other} after ${mode} has something to do`);
}

async function checkSilver(storage: ObjectStore, { witness, jobs, report, now }: EndContext): Promise<void> {
  const store = witness.as({ name: 'last', isDead: false, now: () => now });
  const { failed } = await jobs.resample(store, { intervals: HARNESS_INTERVALS });
  if (failed.length > 0) report(`the last resampling fails: ${JSON.stringify(failed)}`);
  const fresh = memoryStore();
  for await (const { symbol, data } of listSymbols(storage)) {
    if (data) await fresh.put(data.key, (await storage.get(data.key)).body);
    const bars = (await readConsolidated(storage, symbol))?.bars;
    if (bars) await checkGroups(storage, symbol, bars, HARNESS_INTERVALS, report);
  }
  await jobs.resample(fresh, { intervals: HARNESS_INTERVALS, forceFull: true });
  const [found, expected] = [await silverDigests(storage), await silverDigests(fresh)];
  if (JSON.stringify(found) !== JSON.stringify(expected)) {
    report(`I1 silver is ${JSON.stringify(found)}, made from nothing ${JSON.stringify(expected)}`);
  }
}
