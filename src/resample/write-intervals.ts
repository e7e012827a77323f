import { encodeUtf8, type Utf8Values } from '../lake/columns.ts';
import type { ObjectStore, StoreCall } from '../lake/store.ts';
import type { Codec } from '../lake/wasm.ts';
import type { OnProgress } from '../progress.ts';
import { compareSymbols } from '../symbol.ts';
import { type Claim, claimInterval } from './claim.ts';
import type { IntervalState } from './interval-state.ts';
import type { MonthRows } from './month-rows.ts';
import type { IntervalPlan } from './plan-interval.ts';
import type { Threads } from './threads.ts';
import { writeInterval } from './write-interval.ts';

/** What became of one interval. */
export interface IntervalResult {
  readonly interval: number;
  readonly epoch: number;
  readonly groups: number;
  readonly filesWritten: number;
  readonly filesUnchanged: number;
  readonly filesDeleted: number;
  /** Month files that are behind, because the run was told not to rewrite them. */
  readonly filesDeferred: number;
}

interface WriteIntervalsOptions extends StoreCall {
  readonly names: readonly string[];
  readonly rows: MonthRows;
  readonly threads: Threads;
  /** Symbols that groups were made of. */
  readonly made: ReadonlySet<string>;
  /** Symbols that could not be read. */
  readonly failed: ReadonlySet<string>;
  /** Not all symbols were asked for. */
  readonly isPartial: boolean;
  readonly codec: Codec | undefined;
  readonly onProgress: OnProgress | undefined;
}

/** Claims all intervals, then writes one after the other. */
export async function writeIntervals(
  store: ObjectStore,
  states: readonly IntervalState[],
  plans: readonly IntervalPlan[],
  { names, rows, threads, made, failed, isPartial, codec, onProgress, signal }: WriteIntervalsOptions,
): Promise<readonly IntervalResult[]> {
  const claims: Claim[] = [];
  // In the order of intervals: of two runs that meet, the one that is first at the first of them goes on.
  for (const [k, state] of states.entries()) {
    claims.push(await claimInterval(store, state, { months: plans[k]!.months.map(({ month }) => month), signal }));
  }
  const encoded = shareUtf8(encodeUtf8(names));
  const results: IntervalResult[] = [];
  for (const [k, state] of states.entries()) {
    await deleteOthers(store, state, signal);
    const stillMissing = isPartial ? state.checkpoint.missing.filter((symbol) => !made.has(symbol)) : [];
    const missing = [...new Set([...stillMissing, ...failed])].sort(compareSymbols);
    const options = { k, rows, names: encoded, threads, missing, codec, signal };
    const written = await writeInterval(store, claims[k]!, state, plans[k]!, options);
    const { interval, epoch } = claims[k]!.checkpoint;
    results.push({ interval, epoch, ...written, filesDeferred: plans[k]!.deferred.length });
    onProgress?.({ step: 'write', done: k + 1, total: states.length });
  }
  return results;
}

// Runs of another number of shards are fenced first, by their checkpoints; then their files go.
async function deleteOthers(
  store: ObjectStore,
  { others }: IntervalState,
  signal: AbortSignal | undefined,
): Promise<void> {
  const checkpoints = others.filter(({ key }) => key.endsWith('.json'));
  const files = others.filter(({ key }) => !key.endsWith('.json'));
  for (const some of [checkpoints, files]) {
    if (some.length === 0) continue;
    const deletions = some.map(({ key, etag }) => ({ key, ifMatch: etag }));
    const failures = await store.deleteAll(deletions, { signal });
    const failure = failures.find((error) => error !== undefined);
    if (failure) throw failure;
  }
}

function shareUtf8({ offsets, bytes }: Utf8Values): Utf8Values {
  const shared = {
    offsets: new Int32Array(new SharedArrayBuffer(offsets.byteLength)),
    bytes: new Uint8Array(new SharedArrayBuffer(bytes.byteLength)),
  };
  shared.offsets.set(offsets);
  shared.bytes.set(bytes);
  return shared;
}
