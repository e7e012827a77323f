/**
 * What a promise comes to, or the signal's reason where it is aborted before: also of work that takes no notice of the signal.
 */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  // Of the two, the one that comes second has nobody who waits for it.
  work.catch(() => undefined);
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** The items of a source, until the signal is aborted: then it fails, also where the source gives nothing and never would. */
export async function* abortable<T>(items: AsyncIterable<T>, signal: AbortSignal | undefined): AsyncGenerator<T> {
  const source = items[Symbol.asyncIterator]();
  try {
    for (;;) {
      signal?.throwIfAborted();
      const next = await untilAborted(source.next(), signal);
      if (next.done) return;
      yield next.value;
    }
  } finally {
    // Not waited for: a generator that gives nothing does not end either.
    source.return?.()?.catch(() => undefined);
  }
}
