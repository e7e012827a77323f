import { checkSymbol } from '../symbol.ts';
import { BRONZE_PREFIX, parseBronzeKey, symbolPrefix } from './keys.ts';
import type { ObjectInfo, ObjectStore, StoreCall } from './store.ts';

/** A daily file as listed. */
export interface DailyFile extends ObjectInfo {
  readonly session: number;
}

/** What bronze has of one symbol. */
export interface SymbolFiles {
  readonly symbol: string;
  readonly data: ObjectInfo | undefined;
  /** In ascending order of session. */
  readonly daily: readonly DailyFile[];
}

/** Lists what bronze has of one symbol. */
export async function listSymbol(store: ObjectStore, symbol: string, call?: StoreCall): Promise<SymbolFiles> {
  for await (const files of groupBySymbol(store.list(symbolPrefix(symbol), call))) return files;
  return { symbol, data: undefined, daily: [] };
}

/** Lists bronze once, symbol after symbol; keys of another layout are passed over, and told to `onStray`. */
export function listSymbols(
  store: ObjectStore,
  { onStray, ...call }: StoreCall & { readonly onStray?: (key: string) => void } = {},
): AsyncGenerator<SymbolFiles> {
  return groupBySymbol(store.list(BRONZE_PREFIX, call), onStray);
}

/** All of bronze in one listing, by symbol. */
export async function listFiles(store: ObjectStore, call?: StoreCall): Promise<Map<string, SymbolFiles>> {
  const files = new Map<string, SymbolFiles>();
  for await (const one of listSymbols(store, call)) files.set(one.symbol, one);
  return files;
}

/** Lists some symbols, each by itself, or all of bronze at once. */
export async function* listChosen(
  store: ObjectStore,
  symbols: readonly string[] | undefined,
  call?: StoreCall,
): AsyncGenerator<SymbolFiles> {
  if (!symbols) return yield* listSymbols(store, call);
  for (const symbol of new Set(symbols.map(checkSymbol))) yield listSymbol(store, symbol, call);
}

// A store lists keys in order, so a symbol's keys come together.
async function* groupBySymbol(
  objects: AsyncIterable<ObjectInfo>,
  onStray?: (key: string) => void,
): AsyncGenerator<SymbolFiles> {
  let files: { symbol: string; data: ObjectInfo | undefined; daily: DailyFile[] } | undefined;
  for await (const object of objects) {
    const parsed = parseBronzeKey(object.key);
    if (parsed === undefined) {
      onStray?.(object.key);
      continue;
    }
    if (files?.symbol !== parsed.symbol) {
      if (files) yield files;
      files = { symbol: parsed.symbol, data: undefined, daily: [] };
    }
    if (parsed.session === undefined) files.data = object;
    else files.daily.push({ ...object, session: parsed.session });
  }
  if (files) yield files;
}
