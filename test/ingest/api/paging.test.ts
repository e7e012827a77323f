import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BatchLayerError, hasCode } from '../../../src/errors.ts';
import { cursorOf, followPages, type Page } from '../../../src/ingest/api/paging.ts';
import { openTestApi, sendJson, startServer } from './test-server.ts';

const PATH = '/v3/reference/tickers';
const QUERY = { market: 'stocks', active: true, limit: 2 };

/** What came before the end, and what the end was. */
async function takeAll<T>(pages: AsyncIterable<T>): Promise<{ readonly taken: T[]; readonly error?: unknown }> {
  const taken: T[] = [];
  try {
    for await (const page of pages) taken.push(page);
    return { taken };
  } catch (error) {
    return { taken, error };
  }
}

function resultsOf(answer: unknown): unknown {
  return (answer as { results: unknown }).results;
}

describe('cursorOf', () => {
  test.each([
    ['an absolute URL', 'https://api.massive.com/v3/reference/tickers?cursor=YWI%3D', 'YWI='],
    ['another origin', 'http://evil.example:8080/elsewhere?limit=9&cursor=abc&apiKey=k#x', 'abc'],
    ['a path', '/v3/reference/tickers?cursor=abc', 'abc'],
    ['what would break a query', 'https://x/?cursor=a%26apiKey%3Db%20%2B%2F..%0A', 'a&apiKey=b +/..\n'],
  ])('takes the cursor alone: %s', (_, next_url, cursor) => {
    expect(cursorOf({ next_url }, PATH)).toBe(cursor);
  });

  test.each([{}, { next_url: undefined }, { next_url: null }, { next_url: '' }, [], null, 'text'])(
    'there is no next page: %j',
    (answer) => {
      expect(cursorOf(answer, PATH)).toBeUndefined();
    },
  );

  test.each([
    'https://api.massive.com/v3/reference/tickers',
    'https://api.massive.com/?cursor=',
    'https://[',
    `https://x/?cursor=${'a'.repeat(4097)}`,
    7,
    {},
    true,
  ])('refuses a next_url without a cursor: %j', (next_url) => {
    expect(() => cursorOf({ next_url }, PATH)).toThrow(expect.objectContaining({ code: 'Unavailable' }));
  });
});

describe('followPages', () => {
  /** A list by the cursors its pages lead to; the first page is at `''`. */
  const fetchFrom = (next: ReadonlyMap<string, string | undefined>, asked: string[]) => async (cursor?: string) => {
    asked.push(cursor ?? '');
    return { page: cursor ?? '', cursor: next.get(cursor ?? '') } satisfies Page<string>;
  };

  test('gives each page once or fails, and asks for no more pages than it may', async () => {
    const cursors = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
    const lists = fc.array(fc.tuple(fc.oneof(fc.constant(''), cursors), cursors));
    await fc.assert(
      fc.asyncProperty(lists, fc.integer({ min: 1, max: 8 }), async (links, maxPages) => {
        const next = new Map<string, string>(links);
        const asked: string[] = [];
        const { taken, error } = await takeAll(followPages(PATH, fetchFrom(next, asked), { maxPages }));
        expect(new Set(asked).size).toBe(asked.length);
        expect(asked.length).toBeLessThanOrEqual(maxPages);
        const isWhole = !next.has(asked.at(-1)!);
        if (isWhole) expect({ taken, error }).toEqual({ taken: asked, error: undefined });
        else expect(hasCode(error, 'Unavailable', 'BadInput')).toBe(true);
      }),
      { seed: 21, numRuns: 500 },
    );
  });

  test.each([
    ['to itself', ['a', 'a']],
    ['to one before', ['a', 'b', 'c', 'b']],
  ])('a loop is named: %s', async (_, [...cursors]) => {
    const rest = cursors[Symbol.iterator]();
    const { error } = await takeAll(followPages(PATH, async () => ({ page: 0, cursor: rest.next().value })));
    expect(error).toMatchObject({ code: 'Unavailable', message: expect.stringMatching(/tickers.* loop/) });
  });

  test('a list has 2,000 pages at most, and may have as many', async () => {
    const endAt = async (last: number) => {
      let count = 0;
      const fetchPage = async () => ({ page: ++count, cursor: count < last ? `c${count}` : undefined });
      const { taken, error } = await takeAll(followPages(PATH, fetchPage));
      return { pages: taken.length, count, error };
    };
    expect(await endAt(2000)).toEqual({ pages: 2000, count: 2000, error: undefined });
    expect(await endAt(2001)).toMatchObject({ count: 2000, error: { code: 'BadInput' } });
  });

  test('the next page is not asked for before it is wanted', async () => {
    const asked: string[] = [];
    for await (const page of followPages(
      PATH,
      fetchFrom(
        new Map([
          ['', 'a'],
          ['a', 'b'],
        ]),
        asked,
      ),
    )) {
      if (page === 'a') break;
    }
    expect(asked).toEqual(['', 'a']);
  });
});

describe('pages', () => {
  test('the cursor and the limit go to the same path of the same origin, wherever next_url leads', async () => {
    const elsewhere = await startServer((response) => sendJson(response, { results: ['stolen'] }));
    const cursor = 'YXA9MSY+/=&apiKey=x y';
    const server = await startServer((response, _, count) => {
      const next_url = `${elsewhere.baseUrl}/evil?cursor=${encodeURIComponent(cursor)}&apiKey=x&market=crypto`;
      sendJson(response, { status: 'OK', results: [count], ...(count === 1 ? { next_url } : {}) });
    });
    const api = openTestApi(server.baseUrl);
    expect(await takeAll(api.pages(PATH, QUERY, resultsOf))).toEqual({ taken: [[1], [2]] });
    expect(server.received[0]!.url).toBe(`${PATH}?market=stocks&active=true&limit=2`);
    const second = new URL(server.received[1]!.url, server.baseUrl);
    expect([second.pathname, [...second.searchParams]]).toEqual([
      PATH,
      [
        ['cursor', cursor],
        ['limit', '2'],
      ],
    ]);
    expect(elsewhere.received).toEqual([]);
  });

  test('a page that fails fails the whole; one that fails once does not', async () => {
    const server = await startServer((response, { url = '' }, count) => {
      const page = Number(/cursor=(\d)/.exec(url)?.[1] ?? 0);
      if (page === 1 && count === 2) return response.writeHead(500).end();
      if (page === 2) return sendJson(response, { status: 'ERROR', error: 'boom' }, 400);
      sendJson(response, { status: 'OK', results: [page], next_url: `https://x/?cursor=${page + 1}` });
    });
    const api = openTestApi(server.baseUrl);
    expect(await takeAll(api.pages(PATH, QUERY, resultsOf))).toMatchObject({
      taken: [[0], [1]],
      error: { code: 'BadInput', message: expect.stringContaining('boom') },
    });
    expect(api.metrics()).toMatchObject({ calls: 4, retries: 1 });
  });

  test('a next_url without a cursor is asked for again', async () => {
    const server = await startServer((response, _, count) =>
      sendJson(response, { results: [count], next_url: count === 1 ? 'https://x/' : undefined }),
    );
    const api = openTestApi(server.baseUrl);
    expect(await takeAll(api.pages(PATH, {}, resultsOf))).toEqual({ taken: [[2]] });
  });

  test('an incomplete page is asked for again', async () => {
    const server = await startServer((response, _, count) => sendJson(response, { results: count === 1 ? null : [1] }));
    const api = openTestApi(server.baseUrl);
    const read = (answer: unknown) => {
      const results = resultsOf(answer);
      if (results === null) throw new BatchLayerError('Unavailable', 'none');
      return results;
    };
    expect(await takeAll(api.pages(PATH, {}, read))).toEqual({ taken: [[1]] });
  });
});
