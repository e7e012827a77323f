import xxhash from 'xxhash-wasm';
import type { ObjectInfo, ObjectStore } from '../../src/lake/store.ts';

const { h64Raw } = await xxhash();

/**
 * A store with etags as S3 has them: of the content, so that an object which is written again as it was before has the
 * etag it had before.
 */
export function contentEtags(store: ObjectStore): ObjectStore {
  /** Of the objects there are: version in `store`, and etag by content. */
  const versions = new Map<string, { readonly version: string; readonly etag: string }>();
  const versionOf = (key: string, etag: string | undefined): { readonly ifMatch?: string } => {
    if (etag === undefined) return {};
    const found = versions.get(key);
    return { ifMatch: found?.etag === etag ? found.version : `other than ${etag}` };
  };
  const seen = <T extends ObjectInfo>(info: T): T => ({ ...info, etag: versions.get(info.key)!.etag });
  const byContent: ObjectStore = {
    async get(key) {
      const { body } = await store.get(key);
      return { body, etag: versions.get(key)!.etag };
    },
    getRange: (key, { start, end, ifMatch }) => store.getRange(key, { start, end, ...versionOf(key, ifMatch) }),
    head: async (key) => seen(await store.head(key)),
    async put(key, body, { ifMatch, ...call } = {}) {
      const etag = h64Raw(body).toString(16);
      const version = await store.put(key, body, { ...call, ...versionOf(key, ifMatch) });
      versions.set(key, { version, etag });
      return etag;
    },
    async putStream(key, chunks, call) {
      return byContent.put(key, Buffer.concat(await Array.fromAsync(chunks)), call);
    },
    async delete(key, { ifMatch } = {}) {
      await store.delete(key, versionOf(key, ifMatch));
      versions.delete(key);
    },
    async deleteAll(deletions) {
      const outcomes = await store.deleteAll(
        deletions.map(({ key, ifMatch }) => ({ key, ...versionOf(key, ifMatch) })),
      );
      deletions.forEach(({ key }, i) => {
        if (outcomes[i] === undefined) versions.delete(key);
      });
      return outcomes;
    },
    async *list(prefix, call) {
      for await (const info of store.list(prefix, call)) yield seen(info);
    },
  };
  return byContent;
}
