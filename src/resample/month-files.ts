import { hasCode } from '../errors.ts';
import {
  type Columns,
  columnOf,
  concatColumns,
  emptyColumns,
  runsOfUtf8,
  sliceColumns,
  type Utf8Values,
} from '../lake/columns.ts';
import { silverKey } from '../lake/keys.ts';
import { SILVER_SCHEMA } from '../lake/silver.ts';
import { conditionOf, type ObjectStore, type StoreCall } from '../lake/store.ts';
import { fenced } from './checkpoint.ts';
import { type Claim, checkClaim } from './claim.ts';
import { readFileState } from './file-state.ts';

const MAX_ATTEMPTS = 10;

export interface MonthCall extends StoreCall {
  readonly claim: Claim;
  /** The version listed; `undefined` = none. */
  readonly listed: string | undefined;
  /** Whether that is the version that was committed last: of any other the file itself must tell its epoch. */
  readonly isCommitted: boolean;
}

/**
 * Writes a month file over the version listed.
 *
 * Commit point 4: the write is conditional, and the file carries the epoch of this run.
 *
 * @returns its version
 * @throws BatchLayerError `Fenced` where the file is of a later epoch
 */
export async function writeMonth(
  store: ObjectStore,
  month: number,
  bytes: Uint8Array,
  call: MonthCall,
): Promise<string> {
  const key = keyOf(call.claim, month);
  return replaceUnlessFenced(store, key, call, (condition) =>
    // Derived, and checked by whoever reads it: what a crash of the machine takes is made again.
    store.put(key, bytes, { ...condition, isDerived: true, signal: call.signal }),
  );
}

/** Deletes a month file that has no groups any more. */
export async function deleteMonth(store: ObjectStore, month: number, call: MonthCall): Promise<void> {
  const key = keyOf(call.claim, month);
  await replaceUnlessFenced(store, key, call, ({ ifMatch }) =>
    ifMatch === undefined ? Promise.resolve() : store.delete(key, { ifMatch, signal: call.signal }),
  );
}

/** The groups of some symbols of a month file. */
export function onlySymbols(columns: Columns, isChosen: (symbol: string) => boolean): Columns {
  const { values, starts } = runsOfUtf8(columnOf<Utf8Values>(SILVER_SCHEMA, columns, 'symbol'));
  const chosen = values.flatMap((symbol, r) => {
    return isChosen(symbol) ? [sliceColumns(SILVER_SCHEMA, columns, starts[r]!, starts[r + 1]!)] : [];
  });
  return chosen.length === 0 ? emptyColumns(SILVER_SCHEMA) : concatColumns(SILVER_SCHEMA, chosen);
}

function keyOf({ checkpoint: { interval, shard } }: Claim, month: number): string {
  return silverKey(interval, month, shard);
}

type Condition = { readonly ifMatch?: string; readonly ifNoneMatch?: '*' };

async function replaceUnlessFenced<T>(
  store: ObjectStore,
  key: string,
  { claim, listed, isCommitted, signal }: MonthCall,
  replace: (condition: Condition) => Promise<T>,
): Promise<T> {
  let etag = listed;
  // A file that is not there tells of no later run, nor does a damaged one, be it on its way: the checkpoint does.
  if (etag === undefined) await checkClaim(store, claim, { signal });
  else if (!isCommitted) etag = await readUnlessFenced(store, key, claim, signal);
  for (let attempt = 1; ; attempt++) {
    try {
      return await replace(conditionOf(etag));
    } catch (error) {
      if (!hasCode(error, 'Conflict') || attempt === MAX_ATTEMPTS) throw error;
      // Lost to a run that is itself fenced: its file is older than what this run writes.
      etag = await readUnlessFenced(store, key, claim, signal);
    }
  }
}

async function readUnlessFenced(
  store: ObjectStore,
  key: string,
  claim: Claim,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const { epoch } = claim.checkpoint;
  const found = await readFileState(store, key, { signal });
  if (found.epoch > epoch) throw fenced(key, epoch);
  if (found.epoch === 0) await checkClaim(store, claim, { signal });
  return found.etag;
}
