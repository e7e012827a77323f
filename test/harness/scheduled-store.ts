import type { BatchLayerError } from '../../src/errors.ts';
import { deleteEach, type ListCall, type ObjectInfo, type ObjectStore } from '../../src/lake/store.ts';
import type { Actor, Scheduler } from './scheduler.ts';

/** A store whose listings are made of requests. */
export interface PagedStore extends ObjectStore {
  readonly pageSize: number;
  /** One page of a listing; one that is not full is the last. */
  page(
    prefix: string,
    call: { readonly startAfter: string; readonly signal?: AbortSignal | undefined },
  ): Promise<ObjectInfo[]>;
}

/**
 * `store` as an actor sees it through a wire: every request waits for its grant, a listing comes in pages, and the
 * deletions of one request happen one after the other.
 */
export function scheduledStore(
  store: ObjectStore,
  { scheduler, actor, pageSize }: { scheduler: Scheduler; actor: Actor; pageSize: number },
): PagedStore {
  return {
    pageSize,
    get: (key, { signal } = {}) => scheduler.step(actor, `GET ${key}`, () => store.get(key), signal),
    getRange: (key, { signal, ...range }) =>
      scheduler.step(
        actor,
        `GET ${key} ${range.start}–${range.end} ${range.ifMatch}`,
        () => store.getRange(key, range),
        signal,
      ),
    head: (key, { signal } = {}) => scheduler.step(actor, `HEAD ${key}`, () => store.head(key), signal),
    put(key, body, { signal, ...call } = {}) {
      const condition = call.ifMatch ?? call.ifNoneMatch ?? '';
      return scheduler.step(actor, `PUT ${key} if ${condition}`, () => store.put(key, body, call), signal);
    },
    async putStream(key, chunks, call) {
      return this.put(key, Buffer.concat(await Array.fromAsync(chunks)), call);
    },
    delete: (key, { signal, ifMatch } = {}) =>
      scheduler.step(actor, `DELETE ${key} if ${ifMatch ?? ''}`, () => store.delete(key, { ifMatch }), signal),
    async deleteAll(deletions, { signal } = {}) {
      const outcomes: (BatchLayerError | undefined)[] = [];
      for (const deletion of deletions) {
        const what = `DELETE ${deletion.key} if ${deletion.ifMatch ?? ''}`;
        const deleteOne = () => deleteEach(store, [deletion]);
        outcomes.push(...(await scheduler.step(actor, what, deleteOne, signal)));
      }
      return outcomes;
    },
    list(prefix, call) {
      return listPages(this, prefix, call);
    },
    page: (prefix, { startAfter, signal }) =>
      scheduler.step(
        actor,
        `LIST ${prefix} after "${startAfter}"`,
        () => takePage(store, prefix, startAfter, pageSize),
        signal,
      ),
  };
}

/** A whole listing, page after page. */
export async function* listPages(
  store: Pick<PagedStore, 'page' | 'pageSize'>,
  prefix: string,
  { startAfter = '', signal }: ListCall = {},
): AsyncGenerator<ObjectInfo> {
  for (let after = startAfter; ; ) {
    const page = await store.page(prefix, { startAfter: after, signal });
    yield* page;
    if (page.length < store.pageSize) return;
    after = page.at(-1)!.key;
  }
}

async function takePage(store: ObjectStore, prefix: string, startAfter: string, size: number): Promise<ObjectInfo[]> {
  const page: ObjectInfo[] = [];
  for await (const object of store.list(prefix, { startAfter })) {
    if (page.push(object) === size) break;
  }
  return page;
}
