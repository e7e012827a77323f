/**
 * Maps items in order, the next ones being worked on while the caller looks at one. When the caller stops, what was begun is
 * waited for.
 */
export async function* fetchAhead<T, R>(
  items: Iterable<T>,
  work: (item: T) => Promise<R>,
  { ahead }: { readonly ahead: number },
): AsyncGenerator<R> {
  const begun: Promise<R>[] = [];
  try {
    for (const item of items) {
      const result = work(item);
      // Its failure is told when its turn comes.
      result.catch(() => undefined);
      begun.push(result);
      if (begun.length > ahead) yield await begun.shift()!;
    }
    while (begun.length > 0) yield await begun.shift()!;
  } finally {
    await Promise.allSettled(begun);
  }
}
