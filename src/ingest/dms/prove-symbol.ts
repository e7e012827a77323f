import { type Bars, mergeBars } from '../../bars.ts';
import { BatchLayerError } from '../../errors.ts';
import { readConsolidated } from '../../lake/consolidated.ts';
import { differs } from '../../lake/fill-bars.ts';
import { dataKey } from '../../lake/keys.ts';
import { joinDaily } from '../../lake/merge-symbol.ts';
import { readPending } from '../../lake/read-history.ts';
import { type ObjectStore, orNone, type StoreCall } from '../../lake/store.ts';
import { listSymbol } from '../../lake/symbol-files.ts';
import { lowerBound } from '../../lower-bound.ts';
import { formatSession } from '../../session.ts';
import type { FillOutcome } from '../bulk-import.ts';
import { type ExactSum, exactSum } from './exact-sum.ts';

/** What bronze, read back, has of a symbol's sessions in the export. */
export interface SymbolProof {
  readonly symbol: string;
  readonly rows: number;
  /** Of the export's bars, and of bronze's bars of the same sessions. */
  readonly volume: ExactSum;
  readonly bronzeVolume: ExactSum;
  /** Sessions of which bronze has another bar, from somewhere newer; the two volumes of these alone. */
  readonly kept: number;
  readonly keptVolume: ExactSum;
  readonly keptBronzeVolume: ExactSum;
}

/**
 * Reads a symbol's bars back, as bronze has them now, and compares them with the export.
 *
 * @param filled what filling bronze with these bars came to
 * @returns `undefined` where another writer has been there since: fill again
 * @throws BatchLayerError `CorruptObject` where bronze has not what was written
 */
export async function proveSymbol(
  store: ObjectStore,
  symbol: string,
  bars: Bars,
  filled: Pick<FillOutcome, 'kept' | 'etag'>,
  call: StoreCall = {},
): Promise<SymbolProof | undefined> {
  const files = await listSymbol(store, symbol, call);
  const data = await readConsolidated(store, symbol, call);
  if (data?.etag !== filled.etag) return undefined;
  // A daily file that is gone since it was listed has been applied by another run.
  const pending = await orNone(readPending(store, files, data.applied, call));
  if (pending === undefined) return undefined;
  const bronze = pending.length > 0 ? mergeBars(data.bars, joinDaily(pending)) : data.bars;
  // Daily files that came after the filling are newer than all of it.
  const others = new Set([...filled.kept, ...pending.map(({ session }) => session)]);
  return compareBars(symbol, bars, bronze, others);
}

/**
 * Compares the bars of an export with those of bronze, session by session. Pure.
 *
 * @param mayDiffer sessions of which bronze may have another bar
 * @throws BatchLayerError `CorruptObject`, with counts and volumes, where bronze lacks a session or has another bar of one that
 * may not differ
 */
export function compareBars(symbol: string, bars: Bars, bronze: Bars, mayDiffer: ReadonlySet<number>): SymbolProof {
  const [volume, bronzeVolume, keptVolume, keptBronzeVolume] = [exactSum(), exactSum(), exactSum(), exactSum()];
  let [found, kept] = [0, 0];
  const wrong: number[] = [];
  bars.session.forEach((session, i) => {
    const at = lowerBound(bronze.session, session);
    volume.add(bars.volume[i]!);
    const isThere = bronze.session[at] === session;
    if (isThere) {
      found++;
      bronzeVolume.add(bronze.volume[at]!);
    }
    if (isThere && !differs(bars, i, bronze, at)) return;
    if (!isThere || !mayDiffer.has(session)) {
      wrong.push(session);
      return;
    }
    kept++;
    keptVolume.add(bars.volume[i]!);
    keptBronzeVolume.add(bronze.volume[at]!);
  });
  if (wrong.length > 0) {
    throw new BatchLayerError(
      'CorruptObject',
      `${dataKey(symbol)}: ${found} sessions with volume ${bronzeVolume.value()}, ${wrong.length} of them missing or changed, the first ${formatSession(wrong[0]!)}: expected ${bars.session.length} with volume ${volume.value()}`,
    );
  }
  return { symbol, rows: bars.session.length, volume, bronzeVolume, kept, keptVolume, keptBronzeVolume };
}
