import type { ObjectStore, RequestKind, StoreCall, StoreRequest } from './store.ts';

/** What was asked of a store. */
export interface StoreMetrics {
  /** Requests by kind, those sent again included. */
  readonly requests: Readonly<Record<RequestKind, number>>;
  /** Requests that were sent again. */
  readonly retries: number;
  /** Bytes of objects. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** What the requests cost, or would cost, on S3 Standard; storage and traffic come on top. */
  readonly costUsd: number;
}

/** A store that counts. */
export interface MeteredStore extends ObjectStore {
  /** What was asked since the store was wrapped. */
  metrics(): StoreMetrics;
}

// US dollars a request, S3 Standard in us-east-1: https://aws.amazon.com/s3/pricing (November 2026). Deletions are free.
const PRICE = { GET: 0.4e-6, HEAD: 0.4e-6, LIST: 5e-6, PUT: 5e-6, POST: 5e-6, DELETE: 0 } as const;
const LIST_PAGE = 1000;

/**
 * Counts what is asked of `store`: requests, bytes, and what that costs on S3.
 *
 * A store with a wire tells each of its requests; of another (files, memory) a call counts as the request it would be on
 * S3, a listing as one for every 1,000 keys.
 *
 * @example
 * const metered = withMetrics(openStore('s3://bucket/lake'));
 * await readConsolidated(metered, 'AAPL');
 * metered.metrics().requests.GET; // 1
 */
export function withMetrics(store: ObjectStore): MeteredStore {
  const requests = { GET: 0, HEAD: 0, LIST: 0, PUT: 0, POST: 0, DELETE: 0 };
  let [retries, bytesRead, bytesWritten] = [0, 0, 0];
  const add = (request: StoreRequest): void => {
    requests[request.kind]++;
    if (request.isRetry) retries++;
    bytesRead += request.bytesRead;
    bytesWritten += request.bytesWritten;
  };

  async function count<T, C extends StoreCall>(
    kind: RequestKind,
    call: C,
    work: (call: C) => Promise<T>,
    sizes: (result: T | undefined) => Partial<StoreRequest> = () => ({}),
  ): Promise<T> {
    let isTold = false;
    let result: T | undefined;
    const onRequest = (request: StoreRequest): void => {
      isTold = true;
      call.onRequest?.(request);
      add(request);
    };
    try {
      result = await work({ ...call, onRequest });
      return result;
    } finally {
      if (!isTold) add({ kind, bytesRead: 0, bytesWritten: 0, isRetry: false, ...sizes(result) });
    }
  }

  return {
    get: (key, call = {}) =>
      count(
        'GET',
        call,
        (counted) => store.get(key, counted),
        (found) => ({ bytesRead: found?.body.length ?? 0 }),
      ),
    getRange: (key, call) =>
      count(
        'GET',
        call,
        (counted) => store.getRange(key, counted),
        (bytes) => ({ bytesRead: bytes?.length ?? 0 }),
      ),
    head: (key, call = {}) => count('HEAD', call, (counted) => store.head(key, counted)),
    put: (key, body, call = {}) =>
      count(
        'PUT',
        call,
        (counted) => store.put(key, body, counted),
        () => ({ bytesWritten: body.length }),
      ),
    putStream(key, chunks, call = {}) {
      let sent = 0;
      const measured = async function* () {
        for await (const chunk of chunks) {
          sent += chunk.length;
          yield chunk;
        }
      };
      return count(
        'PUT',
        call,
        (counted) => store.putStream(key, measured(), counted),
        () => ({ bytesWritten: sent }),
      );
    },
    delete: (key, call = {}) => count('DELETE', call, (counted) => store.delete(key, counted)),
    deleteAll: (deletions, call = {}) => count('DELETE', call, (counted) => store.deleteAll(deletions, counted)),
    async *list(prefix, call = {}) {
      let [isTold, listed] = [false, 0];
      const onRequest = (request: StoreRequest): void => {
        isTold = true;
        call.onRequest?.(request);
        add(request);
      };
      try {
        for await (const object of store.list(prefix, { ...call, onRequest })) {
          listed++;
          yield object;
        }
      } finally {
        const pages = Math.max(1, Math.ceil(listed / LIST_PAGE));
        for (let page = 0; !isTold && page < pages; page++) {
          add({ kind: 'LIST', bytesRead: 0, bytesWritten: 0, isRetry: false });
        }
      }
    },
    metrics() {
      const costUsd = Object.entries(PRICE).reduce(
        (sum, [kind, price]) => sum + requests[kind as RequestKind] * price,
        0,
      );
      return { requests: { ...requests }, retries, bytesRead, bytesWritten, costUsd: Math.round(costUsd * 1e6) / 1e6 };
    },
  };
}
