import type { ObjectStore, StoreCall, StoreRequest } from '../../src/lake/store.ts';

const MAX_ATTEMPTS = 6;
/** Six tries of a minute, the waits in between, and what granting costs. */
const MAX_MS = 6 * 60_000 + 10_000;

/** Every operation of a run ends by its deadline, and is sent a bounded number of times (I14). */
export function withDeadlines(
  store: ObjectStore,
  { name, now, report }: { name: string; now: () => number; report: (violation: string) => void },
): ObjectStore {
  async function time<T, C extends StoreCall>(
    kind: StoreRequest['kind'],
    key: string,
    call: C,
    work: (call: C) => Promise<T>,
  ): Promise<T> {
    const from = now();
    let sent = 0;
    const onRequest = (request: StoreRequest): void => {
      call.onRequest?.(request);
      if (request.kind === kind && ++sent > MAX_ATTEMPTS) report(`I14 ${name} ${kind} ${key} is sent ${sent} times`);
      if (request.isRetry && sent < 2) report(`${name} ${kind} ${key} is told to be a retry`);
    };
    try {
      return await work({ ...call, onRequest });
    } finally {
      const ms = now() - from;
      if (ms > MAX_MS) report(`I14 ${name} ${kind} ${key} took ${ms} ms`);
    }
  }
  return {
    ...store,
    get: (key, call = {}) => time('GET', key, call, (timed) => store.get(key, timed)),
    getRange: (key, call) => time('GET', key, call, (timed) => store.getRange(key, timed)),
    head: (key, call = {}) => time('HEAD', key, call, (timed) => store.head(key, timed)),
    put: (key, body, call = {}) => time('PUT', key, call, (timed) => store.put(key, body, timed)),
    delete: (key, call = {}) => time('DELETE', key, call, (timed) => store.delete(key, timed)),
    deleteAll: (deletions, call = {}) => time('DELETE', 'many', call, (timed) => store.deleteAll(deletions, timed)),
  };
}
