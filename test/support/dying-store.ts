import { BatchLayerError, type ObjectStore } from '../../src/index.ts';

/** How a write ends that goes wrong: before it is made, when it has been made, or in a failure that passes. */
export type Death = 'before' | 'after' | 'failure';

/**
 * A store that goes wrong at its nth write, counted from 1: the process dies and nothing more is done, unless it is a failure
 * that passes.
 */
export function dyingStore(store: ObjectStore, { at, death }: { readonly at: number; readonly death: Death }) {
  let writes = 0;
  let isDead = false;
  const ask = <T>(work: () => T): T => {
    if (isDead) throw new Error('nothing is done after death');
    return work();
  };
  const write = async <T>(work: () => Promise<T>): Promise<T> => {
    if (isDead) throw new Error('nothing is done after death');
    if (++writes !== at) return work();
    if (death === 'failure') throw new BatchLayerError('Unavailable', `write ${at} fails`);
    isDead = true;
    if (death === 'after') await work();
    throw new Error(`died at write ${at}`);
  };
  const dying: ObjectStore = {
    get: async (key, call) => ask(() => store.get(key, call)),
    getRange: async (key, call) => ask(() => store.getRange(key, call)),
    head: async (key, call) => ask(() => store.head(key, call)),
    list: (prefix, call) => ask(() => store.list(prefix, call)),
    put: (key, body, call) => write(() => store.put(key, body, call)),
    putStream: (key, chunks, call) => write(() => store.putStream(key, chunks, call)),
    delete: (key, call) => write(() => store.delete(key, call)),
    deleteAll: (deletions, call) => write(() => store.deleteAll(deletions, call)),
  };
  return { store: dying, writes: () => writes };
}

/** A store in which the first write that is meant waits until something else is over. */
export function waitingStore(store: ObjectStore, isMeant: (key: string) => boolean) {
  const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let isOver = false;
  const waiting: ObjectStore = {
    ...store,
    async put(key, body, call) {
      if (!isOver && isMeant(key)) {
        isOver = true;
        reached.resolve();
        await released.promise;
      }
      return store.put(key, body, call);
    },
  };
  return { store: waiting, reached: reached.promise, release: () => released.resolve() };
}
