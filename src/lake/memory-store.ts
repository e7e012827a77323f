import { abortable } from './abortable.ts';
import {
  checkConditions,
  checkKey,
  checkPrefix,
  deleteEach,
  notFound,
  type ObjectStore,
  type StoredObject,
} from './store.ts';

interface Version extends StoredObject {
  readonly writeId: string | undefined;
}

/**
 * A store in memory: for tests, and for jobs whose result is read back at once.
 *
 * @example
 * const store = memoryStore();
 * await store.put('a', body, { ifNoneMatch: '*' });
 */
export function memoryStore(): ObjectStore {
  const objects = new Map<string, Version>();
  let versions = 0;

  const find = (key: string): Version => {
    const found = objects.get(key);
    if (found === undefined) throw notFound(key);
    return found;
  };

  const store: ObjectStore = {
    async get(key, { signal } = {}) {
      signal?.throwIfAborted();
      const { body, etag } = find(checkKey(key));
      return { body: new Uint8Array(body), etag };
    },
    async getRange(key, { start, end, ifMatch, signal }) {
      signal?.throwIfAborted();
      const { body, etag } = find(checkKey(key));
      checkConditions(key, etag, { ifMatch });
      return body.slice(start, Math.max(start, end));
    },
    async head(key, { signal } = {}) {
      signal?.throwIfAborted();
      const { body, etag, writeId } = find(checkKey(key));
      return { key, size: body.length, etag, ...(writeId === undefined ? {} : { writeId }) };
    },
    async put(key, body, call = {}) {
      call.signal?.throwIfAborted();
      checkConditions(checkKey(key), objects.get(key)?.etag, call);
      const etag = `v${++versions}`;
      objects.set(key, { body: new Uint8Array(body), etag, writeId: call.writeId });
      return etag;
    },
    async putStream(key, chunks, call = {}) {
      const parts: Uint8Array[] = [];
      for await (const chunk of abortable(chunks, call.signal)) parts.push(chunk);
      return store.put(key, Buffer.concat(parts), call);
    },
    async delete(key, { ifMatch, signal } = {}) {
      signal?.throwIfAborted();
      const found = objects.get(checkKey(key));
      if (found) checkConditions(key, found.etag, { ifMatch });
      objects.delete(key);
    },
    deleteAll: (deletions, call) => deleteEach(store, deletions, call),
    async *list(prefix, { startAfter = '', signal } = {}) {
      checkPrefix(prefix);
      const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && key > startAfter).sort();
      for (const key of keys) {
        signal?.throwIfAborted();
        const found = objects.get(key);
        if (found) yield { key, size: found.body.length, etag: found.etag };
      }
    },
  };
  return store;
}
