import { errorAnswer, Refusal } from './answer.ts';
import type { Call } from './call.ts';
import { limitOf, refuse } from './query.ts';
import type { PagingTrap, Traps } from './traps.ts';

/** Parameters a cursor holds, as the vendor writes them: base64 without padding. */
export function encodeCursor(parameters: URLSearchParams): string {
  return Buffer.from(parameters.toString()).toString('base64url');
}

/** @throws Refusal 400 where it is none */
export function decodeCursor(cursor: string): URLSearchParams {
  const text = Buffer.from(cursor, 'base64url').toString();
  if (!/^[a-z_]+=/.test(text)) refuse(`cursor "${cursor}" is not one of this server`);
  return new URLSearchParams(text);
}

/** What a list is asked for: the cursor's own parameters where there is one, for it holds all of them. */
export function listParameters(query: URLSearchParams): URLSearchParams {
  const cursor = query.get('cursor');
  return cursor === null ? query : decodeCursor(cursor);
}

/** The trap for an address, if one is set. */
export function pagingTrapOf(url: URL, { paging }: Traps): PagingTrap | undefined {
  return paging?.match?.test(url.pathname + url.search) === false ? undefined : paging;
}

/** One page of a list that is cut by `limit`, and the address of the next: the vendor's origin, a cursor, no key. */
export function pageOf<Row>(
  { url, traps }: Call,
  rows: readonly Row[],
  { parameters, limit: limits }: { parameters: URLSearchParams; limit: { fallback: number; most: number } },
): { readonly results: readonly Row[]; readonly next?: { readonly next_url: string } } {
  const limit = Math.min(limitOf(parameters, limits.fallback, limits.most), traps.pageRows);
  const offset = Number(parameters.get('offset') ?? 0);
  const page = Math.floor(offset / limit) + 1;
  const trap = pagingTrapOf(url, traps);
  if (trap?.kind === 'failing' && trap.page === page) throw new Refusal(errorAnswer(500, 'Internal server error'));
  const cursorAt = (at: number) => {
    const next = new URLSearchParams(parameters);
    next.set('limit', String(limit));
    next.set('offset', String(at));
    return { next_url: `${traps.nextUrlOrigin}${url.pathname}?cursor=${encodeCursor(next)}` };
  };
  if (trap?.kind === 'endless') {
    const results = rows.slice(offset % Math.max(rows.length, 1)).slice(0, limit);
    return { results, next: cursorAt(offset + limit) };
  }
  const results = rows.slice(offset, offset + limit);
  if (trap?.kind === 'loop' && page > 1) return { results, next: cursorAt(offset) };
  return offset + limit < rows.length ? { results, next: cursorAt(offset + limit) } : { results };
}
