import type { Bars } from '../../bars.ts';
import { BatchLayerError, hasCode } from '../../errors.ts';
import { mapAll } from '../../lake/map-all.ts';
import type { Spill } from '../../lake/spill.ts';
import type { ObjectStore, StoreCall } from '../../lake/store.ts';
import { listSymbol } from '../../lake/symbol-files.ts';
import type { Codec } from '../../lake/wasm.ts';
import { type FailedSymbol, failedSymbol, type OnProgress } from '../../progress.ts';
import { type BulkImport, type ImportOutcome, openBulkImport } from '../bulk-import.ts';
import { type RowsProblem, type SymbolRows, unpackRows } from '../packed-rows.ts';
import type { DmsProblemLog } from './dms-problems.ts';
import { proveSymbol, type SymbolProof } from './prove-symbol.ts';

interface LandOptions extends StoreCall {
  readonly spill: Spill;
  readonly symbols: readonly string[];
  /** The keys of the export's files. */
  readonly files: readonly string[];
  readonly problems: DmsProblemLog;
  readonly codec: Codec | undefined;
  readonly now: () => number;
  readonly onProgress?: OnProgress | undefined;
}

/** What became of an export's bars. */
export interface LandedExport {
  readonly proofs: readonly SymbolProof[];
  readonly outcomes: Readonly<Record<ImportOutcome, number>>;
  readonly failed: readonly FailedSymbol[];
  /** Bars of the symbols that failed. */
  readonly barsFailed: number;
  /** Sessions of the bars in bronze; infinite where there are none. */
  readonly firstSession: number;
  readonly lastSession: number;
}

const CONCURRENT_SYMBOLS = 4;
const MAX_ATTEMPTS = 10;

/** Fills bronze with what is in the spill, partition after partition, and reads back each symbol. */
export async function landExport(
  store: ObjectStore,
  { spill, symbols, files, problems, codec, now, onProgress, signal }: LandOptions,
): Promise<LandedExport> {
  const bulk = openBulkImport(store, { codec, now, signal });
  const proofs: SymbolProof[] = [];
  const failed: FailedSymbol[] = [];
  const outcomes = { created: 0, replaced: 0, unchanged: 0 };
  let [firstSession, lastSession] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  let [barsFailed, done] = [0, 0];

  const landOne = async ({ symbolId, bars }: SymbolRows): Promise<void> => {
    const symbol = symbols[symbolId]!;
    try {
      if (bars.session.length > 0) {
        const { outcome, proof } = await landSymbol(store, bulk, symbol, bars, { signal });
        outcomes[outcome]++;
        proofs.push(proof);
        firstSession = Math.min(firstSession, bars.session[0]!);
        lastSession = Math.max(lastSession, bars.session.at(-1)!);
      }
    } catch (error) {
      signal?.throwIfAborted();
      // What is wrong with the store is wrong for every symbol.
      if (hasCode(error, 'BadInput')) throw error;
      failed.push(failedSymbol(symbol, error));
      barsFailed += bars.session.length;
    }
    onProgress?.({ step: 'write', done: ++done, total: symbols.length });
  };
  const addProblem = ({ kind, message, file, line }: RowsProblem): void => {
    // A table has no order that its export could have kept.
    if (kind !== 'unsorted') problems.add({ kind, message, file: files[file]!, row: line });
  };
  for (const partition of spill.partitions()) {
    const parts = unpackRows(await spill.read(partition), files);
    for (const part of parts) part.problems.forEach(addProblem);
    await mapAll(parts, landOne, { concurrency: CONCURRENT_SYMBOLS, signal });
  }
  await bulk.finish();
  return { proofs, outcomes, failed, barsFailed, firstSession, lastSession };
}

/** Fills a symbol's history and proves it, again where another writer came in between. */
async function landSymbol(
  store: ObjectStore,
  bulk: BulkImport,
  symbol: string,
  bars: Bars,
  call: StoreCall,
): Promise<{ readonly outcome: ImportOutcome; readonly proof: SymbolProof }> {
  let outcome: ImportOutcome = 'unchanged';
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
    const filled = await bulk.fill(await listSymbol(store, symbol, call), bars);
    if (outcome === 'unchanged') outcome = filled.outcome;
    const proof = await proveSymbol(store, symbol, bars, filled, call);
    if (proof) return { outcome, proof };
  }
  throw new BatchLayerError(
    'Conflict',
    `${symbol}: other writers changed it ${MAX_ATTEMPTS} times while it was read back; run the import again`,
  );
}
