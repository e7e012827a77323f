import { BatchLayerError } from '../../errors.ts';

/** A page of a list, and where the next one begins: nowhere where it is the last. */
export interface Page<T> {
  readonly page: T;
  readonly cursor: string | undefined;
}

export interface PagingOptions {
  /** Pages a list has at most. */
  readonly maxPages?: number | undefined;
}

const MAX_CURSOR = 4096;
/** Any origin will do: the cursor alone is taken. */
const ANY_ORIGIN = 'https://localhost';

/**
 * The cursor of an answer's `next_url`, and nothing else of it: it is input from outside, and may lead anywhere.
 *
 * @throws BatchLayerError `Unavailable` where there is a `next_url` without a cursor
 */
export function cursorOf(answer: unknown, place: string): string | undefined {
  const nextUrl = typeof answer === 'object' && answer !== null && 'next_url' in answer ? answer.next_url : undefined;
  if (nextUrl === undefined || nextUrl === null || nextUrl === '') return undefined;
  const url = typeof nextUrl === 'string' ? URL.parse(nextUrl, ANY_ORIGIN) : undefined;
  const cursor = url?.searchParams.get('cursor') ?? '';
  if (cursor !== '' && cursor.length <= MAX_CURSOR) return cursor;
  throw new BatchLayerError(
    'Unavailable',
    `${place}: next_url has no cursor of 1 to ${MAX_CURSOR} characters; try again later`,
  );
}

/**
 * The pages of a list, one after the other, none of which is asked for before it is wanted.
 *
 * @param fetchPage asks for the page at a cursor, or for the first one
 * @throws BatchLayerError `Unavailable` where a page leads back to an earlier one, `BadInput` where there are too many, and what
 *   `fetchPage` throws: then the pages so far are not the list
 */
export async function* followPages<T>(
  place: string,
  fetchPage: (cursor: string | undefined) => Promise<Page<T>>,
  { maxPages = 2000 }: PagingOptions = {},
): AsyncGenerator<T> {
  const seen = new Set<string>();
  let next: string | undefined;
  do {
    const { page, cursor } = await fetchPage(next);
    if (cursor !== undefined) {
      if (seen.has(cursor)) {
        throw new BatchLayerError(
          'Unavailable',
          `${place}: page ${seen.size + 1} leads back to an earlier one: a loop`,
        );
      }
      seen.add(cursor);
      if (seen.size === maxPages) {
        throw new BatchLayerError('BadInput', `${place}: has more than ${maxPages} pages; ask for less`);
      }
    }
    yield page;
    next = cursor;
  } while (next !== undefined);
}
