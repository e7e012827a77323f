import { allocateBars, type Bars, copyBar, mergeBars } from '../bars.ts';
import {
  type AppliedFile,
  type Consolidated,
  type DailyVersion,
  decodeConsolidated,
  encodeConsolidated,
  isApplied,
} from './consolidated.ts';
import { decodeDaily, MAX_WRITES, type ReadDaily } from './daily-file.ts';
import { fillBars } from './fill-bars.ts';
import { appendedTo, recordChange, sameBars } from './history.ts';
import { copyRecent } from './recent-bars.ts';
import type { Codec } from './wasm.ts';

/** Days that what was applied is remembered after its file is gone. */
const KEEP_APPLIED_DAYS = 3;

/** A daily file as it was read from the store. */
export interface DailyBytes {
  readonly key: string;
  readonly session: number;
  readonly etag: string;
  readonly body: Uint8Array;
}

/** All that a consolidation of one symbol is made of: plain data. */
export interface MergeInput {
  readonly symbol: string;
  /** `data.parquet`; `undefined` = none. */
  readonly data: Uint8Array | undefined;
  /** The daily files whose version is not recorded as applied. */
  readonly daily: readonly DailyBytes[];
  /** Sessions of all daily files there are. */
  readonly listed: readonly number[];
  /** Bars to take over after all daily files, winning over them: a bulk import. */
  readonly imported?: Bars | undefined;
  /** Bars to take over for sessions that have none: history that is older than all the rest. */
  readonly filled?: Bars | undefined;
  /** First session within retention. */
  readonly retainFrom?: number | undefined;
  /** The current date, in days since 1970-01-01. */
  readonly today: number;
  readonly codec?: Codec | undefined;
}

/** What a symbol's history is, in figures. */
export interface History {
  readonly rows: number;
  readonly firstSession: number;
  readonly lastSession: number;
  /** Digest of `data.parquet`. */
  readonly digest: string;
  /** Digests of earlier versions that this one only appends to, newest first. */
  readonly appendedTo: readonly string[];
}

export interface MergeOutput {
  /** `undefined` where the symbol has no bars at all. */
  readonly history: History | undefined;
  /** The end of the history, as a copy: the whole of it is not kept alive. */
  readonly recent: Bars;
  /** What `data.parquet` becomes; `undefined` where it stays as it is. */
  readonly bytes: Uint8Array | undefined;
  /** Versions of the daily files that were read. */
  readonly read: readonly (DailyVersion & { readonly session: number })[];
  /** How many of them brought something new. */
  readonly applied: number;
  /** Sessions of `filled` of which there was another bar, which stayed. */
  readonly kept: Int32Array;
}

/**
 * Merges a symbol's daily files, and bars in hand, into the bytes of its `data.parquet`. Pure.
 *
 * @throws BatchLayerError `CorruptObject` for a damaged file
 */
export function mergeSymbol({ symbol, data, daily, codec, ...rest }: MergeInput): MergeOutput {
  const current = data && decodeConsolidated(data, symbol);
  const read = daily.map(({ body, ...file }) => decodeDaily(body, symbol, file));
  const fresh = read.filter((file) => !isApplied(current?.applied.get(file.session), file));
  const { next, kept } = planConsolidation(current, { ...rest, read, fresh });
  const encoded = next && encodeConsolidated(symbol, next, codec);
  const history = next ?? current;
  return {
    history: history && describe(history, encoded?.digest ?? current!.digest),
    recent: copyRecent(history?.bars ?? allocateBars(0)),
    bytes: encoded?.bytes,
    read: read.map(({ bars: _, ...version }) => version),
    applied: fresh.length,
    kept,
  };
}

function describe({ bars: { session }, changes }: Consolidated, digest: string): History {
  const [firstSession, lastSession] = [session[0]!, session.at(-1)!];
  return { rows: session.length, firstSession, lastSession, digest, appendedTo: appendedTo(changes, session) };
}

interface PlanInput extends Pick<MergeInput, 'listed' | 'imported' | 'filled' | 'retainFrom' | 'today'> {
  readonly read: readonly ReadDaily[];
  /** Those that have not been applied indeed. */
  readonly fresh: readonly ReadDaily[];
}

interface Plan extends Pick<MergeOutput, 'kept'> {
  /** What `data.parquet` becomes; `undefined` where it stays as it is. */
  readonly next: Consolidated | undefined;
}

function planConsolidation(
  current: ReturnType<typeof decodeConsolidated> | undefined,
  { listed, read, fresh, imported, filled, retainFrom = Number.NEGATIVE_INFINITY, today }: PlanInput,
): Plan {
  const before = current?.bars ?? allocateBars(0);
  let bars = fresh.length > 0 ? mergeBars(before, joinDaily(fresh)) : before;
  let kept: Int32Array = new Int32Array();
  if (imported) bars = mergeBars(bars, imported);
  // Last, and over what daily files brought too: nothing that is there gives way.
  if (filled) ({ bars, kept } = fillBars(bars, filled));
  if (fresh.length === 0 && (bars === before || sameBars(before, bars))) return { next: undefined, kept };
  if (bars.session.length === 0) return { next: undefined, kept };
  const there = new Set(listed);
  // Listings, and writes that come again late, are younger than that.
  const isNeeded = ([session, { on }]: readonly [number, AppliedFile]): boolean =>
    there.has(session) || session >= retainFrom || on > today - KEEP_APPLIED_DAYS;
  const applied = new Map([...(current?.applied ?? [])].filter(isNeeded));
  for (const file of read) {
    const before = applied.get(file.session);
    if (fresh.includes(file)) applied.set(file.session, appliedFile(file, before, today));
    // The same write in another store: of a copied lake the etags are others.
    else if (before && isLast(before, file)) applied.set(file.session, { ...before, etag: file.etag });
  }
  return { next: { bars, applied, changes: recordChange(current, bars) }, kept };
}

function appliedFile(file: ReadDaily, before: AppliedFile | undefined, today: number): AppliedFile {
  const writes = [...new Set([...file.writes, ...(before?.writes ?? [])])].slice(0, MAX_WRITES);
  return { digest: file.digest, etag: file.etag, on: today, writes };
}

function isLast({ digest, writes }: AppliedFile, file: ReadDaily): boolean {
  return file.writes.length === 0 ? digest === file.digest : writes[0] === file.writes[0];
}

/** The bars of daily files, which must be in order of session (as they are listed, and so read). */
export function joinDaily(files: readonly ReadDaily[]): Bars {
  const joined = allocateBars(files.length, {
    vwap: files.some(({ bars }) => bars.vwap),
    trades: files.some(({ bars }) => bars.trades),
  });
  files.forEach(({ bars }, i) => {
    copyBar(bars, 0, joined, i);
  });
  return joined;
}
