import { BatchLayerError } from '../../src/errors.ts';
import type { Deletion, ObjectStore, RequestKind, StoreCall } from '../../src/lake/store.ts';
import type { Fault, FaultPlan, OperationKind } from './fault.ts';
import { listPages, type PagedStore } from './scheduled-store.ts';
import type { Actor, Scheduler } from './scheduler.ts';

export interface FaultOptions {
  readonly plan: FaultPlan;
  readonly scheduler: Scheduler;
  readonly actor: Actor;
  /** The storage itself, where late requests land. */
  readonly target: ObjectStore;
  readonly terminate: () => void;
  /** Told of each fault that happens. */
  readonly onFault?: (fault: Fault) => void;
}

/** How a request is sent, and how it lands when nobody waits for it any more. */
interface Request<T> {
  readonly send: (fault: Fault | undefined) => Promise<T>;
  readonly land?: () => Promise<unknown>;
}

const WIRE: Readonly<Record<OperationKind, RequestKind>> = {
  get: 'GET',
  head: 'HEAD',
  put: 'PUT',
  delete: 'DELETE',
  deleteAll: 'DELETE',
  list: 'LIST',
};

/** `store` with things that go wrong, as a plan has it. */
export function withFaults(store: PagedStore, options: FaultOptions): ObjectStore {
  const { plan, scheduler, actor, target, terminate, onFault } = options;
  let index = 0;

  async function request<T>(
    kind: OperationKind,
    key: string,
    { signal, onRequest }: StoreCall,
    { send, land }: Request<T>,
  ): Promise<T> {
    onRequest?.({ kind: WIRE[kind], bytesRead: 0, bytesWritten: 0, isRetry: false });
    const fault = plan({ index: index++, kind, key });
    if (fault) {
      scheduler.note(`${actor.name} ${kind} ${key}: ${fault.kind}`);
      onFault?.(fault);
    }
    switch (fault?.kind) {
      case 'crash before':
        scheduler.kill(actor);
        return new Promise(() => undefined);
      case 'crash after':
        await send(fault).catch(() => undefined);
        scheduler.kill(actor);
        return new Promise(() => undefined);
      case 'delayed':
        if (land) scheduler.later(fault.grants, actor, `${kind} ${key}`, land);
        return fail(key, signal);
      case 'fail before':
        return fail(key, signal);
      case 'fail after':
        await send(fault);
        throw unavailable(key);
      case 'lost answer':
        await send(fault).catch(() => undefined);
        return scheduler.hang(actor, `${kind} ${key}`, signal);
      case 'hang':
        return scheduler.hang(actor, `${kind} ${key}`, signal);
      case 'duplicated':
        if (land) scheduler.later(fault.grants, actor, `${kind} ${key} again`, land);
        return send(fault);
      case 'terminate':
        terminate();
        return send(fault);
      default:
        return send(fault);
    }
  }
  const fail = (key: string, signal: AbortSignal | undefined): Promise<never> =>
    scheduler.step(actor, `fails ${key}`, () => Promise.reject(unavailable(key)), signal);

  const faulty: PagedStore = {
    pageSize: store.pageSize,
    get(key, call = {}) {
      const send = async (fault: Fault | undefined) => {
        const { body, etag } = await store.get(key, call);
        return { body: damage(body, fault), etag };
      };
      return request('get', key, call, { send });
    },
    getRange: (key, call) =>
      request('get', key, call, { send: async (fault) => damage(await store.getRange(key, call), fault) }),
    head: (key, call = {}) => request('head', key, call, { send: () => store.head(key, call) }),
    put(key, body, call = {}) {
      const { signal: _, ...condition } = call;
      const land = () => target.put(key, body, condition);
      return request('put', key, call, { land, send: () => store.put(key, body, call) });
    },
    async putStream(key, chunks, call) {
      return faulty.put(key, Buffer.concat(await Array.fromAsync(chunks)), call);
    },
    delete(key, call = {}) {
      const land = () => target.delete(key, { ifMatch: call.ifMatch });
      return request('delete', key, call, { land, send: () => store.delete(key, call) });
    },
    deleteAll(deletions, call = {}) {
      const send = async (fault: Fault | undefined) => {
        const isDone = (i: number) => fault?.kind !== 'partial' || fault.isDone(i);
        const done = deletions.filter((_, i) => isDone(i));
        const outcomes = await store.deleteAll(done, call);
        const found = new Map<Deletion, BatchLayerError | undefined>(done.map((one, i) => [one, outcomes[i]]));
        return deletions.map((one) => (found.has(one) ? found.get(one) : unavailable(one.key)));
      };
      return request('deleteAll', deletions[0]?.key ?? '', call, { send, land: () => target.deleteAll(deletions) });
    },
    list: (prefix, call) => listPages(faulty, prefix, call),
    page: (prefix, call) => request('list', prefix, call, { send: () => store.page(prefix, call) }),
  };
  return faulty;
}

function unavailable(key: string): BatchLayerError {
  return new BatchLayerError('Unavailable', `${key}: planned to fail (409, 503, or 200 with an error body)`);
}

function damage(body: Uint8Array, fault: Fault | undefined): Uint8Array {
  if (fault?.kind === 'truncated') return body.subarray(0, Math.floor(body.length * fault.at));
  if (fault?.kind === 'flipped' && body.length > 0) {
    const bit = Math.floor(body.length * 8 * fault.at);
    body[bit >> 3]! ^= 1 << (bit & 7);
  }
  return body;
}
