import pMap, { pMapSkip } from 'p-map';

/**
 * Maps with bounded concurrency. After an error or an abort nothing more is begun, and the promise is rejected only when
 * everything that was begun has ended: no write happens behind the caller's back.
 *
 * @param items may be a listing that is still going on
 */
export async function mapAll<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  map: (item: T, index: number) => Promise<R>,
  { concurrency, signal }: { readonly concurrency: number; readonly signal?: AbortSignal | undefined },
): Promise<R[]> {
  let failure: { readonly error: unknown } | undefined;
  const source = async function* (): AsyncGenerator<T> {
    try {
      for await (const item of items) {
        if (failure) return;
        yield item;
      }
    } catch (error) {
      failure ??= { error };
    }
  };
  const mapOne = async (item: T, index: number): Promise<R | typeof pMapSkip> => {
    try {
      signal?.throwIfAborted();
      return await map(item, index);
    } catch (error) {
      failure ??= { error };
      return pMapSkip;
    }
  };
  const results = await pMap(source(), mapOne, { concurrency });
  if (failure) throw failure.error;
  return results;
}

/** As `Promise.all`, but rejected only when all of them have ended. */
export async function settleAll<T extends readonly unknown[]>(
  promises: {
    readonly [K in keyof T]: Promise<T[K]>;
  },
): Promise<T> {
  await Promise.allSettled(promises);
  return (await Promise.all(promises)) as unknown as T;
}
