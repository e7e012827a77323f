import { BatchLayerError } from '../../errors.ts';

export type ApiQuery = Readonly<Record<string, string | number | boolean | undefined>>;

/** Segments of a path as they are sent; none may lead to another path. */
const PATH = /^(?:\/(?!\.{1,2}(?:\/|$))[\w.~!$&'()*+,;=:@%-]+)+$/;
const LOCAL = ['127.0.0.1', 'localhost'];

/**
 * The API key, checked.
 *
 * @throws BatchLayerError `BadInput`, which does not repeat it
 */
export function checkKey(key: string): string {
  if (typeof key === 'string' && /^[\x21-\x7e]+$/.test(key)) return key;
  throw new BatchLayerError(
    'BadInput',
    'the API key is missing or has characters other than printable ASCII: set POLYGON_API_KEY',
  );
}

/**
 * The origin of a base URL, which goes to no other: no path, no credentials. Over `http` only to this machine, for the key
 * goes with each request.
 *
 * @throws BatchLayerError `BadInput`, which does not repeat the URL: there may be a key in it
 */
export function checkOrigin(baseUrl: string): string {
  const url = URL.parse(baseUrl);
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && LOCAL.includes(url.hostname));
  if (url && isSafe && url.href === `${url.origin}/`) return url.origin;
  throw new BatchLayerError(
    'BadInput',
    'the base URL of the API: expected https://host or https://host:port, without a path (http://127.0.0.1:port for tests)',
  );
}

/**
 * What is sent for a path and a query. Values that are `undefined` are left out.
 *
 * @throws BatchLayerError `BadInput` where `path` is no path, its segments encoded
 */
export function targetOf(path: string, query: ApiQuery): string {
  if (!PATH.test(path)) {
    // No query is repeated: somebody may have put a key there.
    const shown = JSON.stringify(path.replace(/\?.*/s, '?…').slice(0, 100));
    throw new BatchLayerError('BadInput', `${shown} is no path of the API: expected one such as /v3/reference/tickers`);
  }
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
  return parameters.size === 0 ? path : `${path}?${parameters}`;
}
