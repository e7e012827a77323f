import { BatchLayerError, hasCode } from '../errors.ts';
import {
  type Columns,
  columnOf,
  concatColumns,
  emptyColumns,
  runsOfUtf8,
  sliceColumns,
  type Utf8Values,
} from '../lake/columns.ts';
import { digestColumns } from '../lake/digest.ts';
import { parseSilverKey, silverKey, silverPrefix } from '../lake/keys.ts';
import {
  checkFooter,
  type DecodedTable,
  decodeTable,
  metadataOf,
  openFooter,
  wholeNumberOf,
} from '../lake/parquet-decode.ts';
import { encodeTable } from '../lake/parquet-encode.ts';
import { SILVER_SCHEMA } from '../lake/silver.ts';
import { conditionOf, type ObjectStore, type StoreCall } from '../lake/store.ts';
import type { Codec } from '../lake/wasm.ts';
import { formatMonth } from '../session.ts';
import { compareSymbols } from '../symbol.ts';
import { type Claim, checkClaim, fenced, type MonthFile } from './checkpoint.ts';

const MAX_ATTEMPTS = 10;

/** The month files of an interval as listed: version by month. */
export async function listMonths(store: ObjectStore, interval: number, call?: StoreCall): Promise<Map<number, string>> {
  const months = new Map<number, string>();
  for await (const { key, etag } of store.list(silverPrefix(interval), call)) {
    const month = parseSilverKey(interval, key);
    if (month !== undefined) months.set(month, etag);
  }
  return months;
}

/** The highest epoch any month file of the interval carries; 0 without files. */
export async function highestEpoch(store: ObjectStore, interval: number, call?: StoreCall): Promise<number> {
  let highest = 0;
  for (const month of (await listMonths(store, interval, call)).keys()) {
    highest = Math.max(highest, (await readEpoch(store, silverKey(interval, month), call)).epoch);
  }
  return highest;
}

export interface WriteMonthOptions extends StoreCall {
  readonly claim: Claim;
  /** The version listed after the claim; `undefined` = none. */
  readonly listed: string | undefined;
  /** Write also where the file is known to hold these very groups. */
  readonly force: boolean;
  readonly codec?: Codec | undefined;
}

/**
 * Writes one month's groups over the version listed, unless they are there already.
 *
 * Commit point 4: the write is conditional, and the file carries the epoch of this run.
 *
 * @throws BatchLayerError `Fenced` where the file is of a later epoch
 */
export async function writeMonth(
  store: ObjectStore,
  month: number,
  groups: Columns,
  { claim, listed, force, codec, signal }: WriteMonthOptions,
): Promise<MonthFile & { readonly written: boolean }> {
  const { digest } = digestColumns(SILVER_SCHEMA, groups);
  const known = knownFile(claim, month, listed);
  if (!force && known?.digest === digest) return { ...known, written: false };
  const metadata = { epoch: String(claim.checkpoint.epoch) };
  const { bytes } = encodeTable(SILVER_SCHEMA, groups, { codec, metadata });
  const key = silverKey(claim.checkpoint.interval, month);
  const etag = await replaceUnlessFenced(
    store,
    key,
    { claim, listed, isKnown: known !== undefined, signal },
    (condition) => store.put(key, bytes, { ...condition, signal }),
  );
  return { rows: groups.length, digest, etag, written: true };
}

/** Deletes a month file that has no groups any more. */
export async function deleteMonth(
  store: ObjectStore,
  month: number,
  { claim, listed, signal }: Omit<WriteMonthOptions, 'force' | 'codec'>,
): Promise<void> {
  const key = silverKey(claim.checkpoint.interval, month);
  const isKnown = knownFile(claim, month, listed) !== undefined;
  await replaceUnlessFenced(store, key, { claim, listed, isKnown, signal }, ({ ifMatch }) =>
    ifMatch === undefined ? Promise.resolve() : store.delete(key, { ifMatch, signal }),
  );
}

/**
 * Adds the groups of other symbols that a month file has to those made now.
 *
 * @param isKept whether a symbol's groups are taken from the file
 * @throws BatchLayerError `CorruptObject` where the file is damaged
 */
export async function keepOthers(
  store: ObjectStore,
  key: string,
  made: Columns,
  isKept: (symbol: string) => boolean,
  call?: StoreCall,
): Promise<Columns> {
  const { body } = await store.get(key, call);
  const { columns } = decodeOrAdvise(body, key);
  const kept = symbolRuns(columns).filter(({ symbol }) => isKept(symbol));
  return concatRuns([...kept, ...symbolRuns(made)].sort((a, b) => compareSymbols(a.symbol, b.symbol)));
}

/** The groups of some symbols of a month file. */
export function onlySymbols(columns: Columns, isChosen: (symbol: string) => boolean): Columns {
  return concatRuns(symbolRuns(columns).filter(({ symbol }) => isChosen(symbol)));
}

function concatRuns(runs: ReturnType<typeof symbolRuns>): Columns {
  if (runs.length === 0) return emptyColumns(SILVER_SCHEMA);
  return concatColumns(
    SILVER_SCHEMA,
    runs.map(({ source, from, to }) => sliceColumns(SILVER_SCHEMA, source, from, to)),
  );
}

function decodeOrAdvise(body: Uint8Array, key: string): DecodedTable {
  try {
    return decodeTable(SILVER_SCHEMA, body, key);
  } catch (error) {
    if (!hasCode(error, 'CorruptObject')) throw error;
    const advice = 'it has groups of symbols that are not resampled now; delete it, and resample those symbols too';
    throw new BatchLayerError('CorruptObject', `${error.message}; ${advice}`, { cause: error });
  }
}

function symbolRuns(source: Columns) {
  const { values, starts } = runsOfUtf8(columnOf<Utf8Values>(SILVER_SCHEMA, source, 'symbol'));
  return values.map((symbol, r) => ({ symbol, source, from: starts[r]!, to: starts[r + 1]! }));
}

// The version that the last commit recorded is no later than this run's claim; of any other the file itself must tell.
function knownFile({ checkpoint }: Claim, month: number, listed: string | undefined): MonthFile | undefined {
  const file = checkpoint.files[formatMonth(month)];
  return listed !== undefined && file?.etag === listed ? file : undefined;
}

type Condition = { readonly ifMatch?: string; readonly ifNoneMatch?: '*' };

async function replaceUnlessFenced<T>(
  store: ObjectStore,
  key: string,
  { claim, listed, isKnown, signal }: StoreCall & { claim: Claim; listed: string | undefined; isKnown: boolean },
  replace: (condition: Condition) => Promise<T>,
): Promise<T> {
  const { epoch } = claim.checkpoint;
  let etag = listed;
  if (etag !== undefined && !isKnown) etag = await readUnlessFenced(store, key, epoch, signal);
  for (let attempt = 1; ; attempt++) {
    try {
      // The file alone does not tell of a later run that leaves it as it is.
      await checkClaim(store, claim, { signal });
      return await replace(conditionOf(etag));
    } catch (error) {
      if (!hasCode(error, 'Conflict') || attempt === MAX_ATTEMPTS) throw error;
      // Lost to a run that is itself fenced: its file is older than what this run writes.
      etag = await readUnlessFenced(store, key, epoch, signal);
    }
  }
}

async function readUnlessFenced(
  store: ObjectStore,
  key: string,
  epoch: number,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const found = await readEpoch(store, key, { signal });
  if (found.epoch > epoch) throw fenced(key, epoch);
  return found.etag;
}

/** The epoch a month file carries; 0 where it is missing or damaged, so that it is replaced. */
async function readEpoch(
  store: ObjectStore,
  key: string,
  call?: StoreCall,
): Promise<{ readonly epoch: number; readonly etag: string | undefined }> {
  let etag: string | undefined;
  try {
    const info = await store.head(key, call);
    etag = info.etag;
    const read = (start: number, end: number) => store.getRange(key, { ...call, start, end, ifMatch: info.etag });
    const footer = await openFooter(read, info.size, key);
    checkFooter(SILVER_SCHEMA, footer, key);
    return { epoch: wholeNumberOf(metadataOf(footer), 'epoch', key), etag };
  } catch (error) {
    if (hasCode(error, 'Conflict')) return readEpoch(store, key, call);
    if (hasCode(error, 'NotFound', 'CorruptObject')) return { epoch: 0, etag };
    throw error;
  }
}
