import { BatchLayerError, type ErrorCode, messageOf } from '../../errors.ts';

/** An `Unavailable` that tells when to ask again. */
export class ApiUnavailable extends BatchLayerError {
  /** How long to wait, in milliseconds, where the API tells; `Infinity` where there is no use in waiting. */
  readonly retryAfterMs: number | undefined;
  /** Whether there were too many calls, so that the next of anybody would be refused as well. */
  readonly isRateLimit: boolean;

  constructor(
    message: string,
    {
      retryAfterMs,
      isRateLimit = false,
    }: { readonly retryAfterMs?: number | undefined; readonly isRateLimit?: boolean },
  ) {
    super('Unavailable', message);
    this.retryAfterMs = retryAfterMs;
    this.isRateLimit = isRateLimit;
  }
}

/** An answer that is not the one that was asked for. */
export interface Refusal {
  /** The HTTP status it came with, or {@link statusInside}. */
  readonly status: number;
  /** The HTTP status it came with, and what it says. */
  readonly said: string;
  readonly retryAfterMs?: number | undefined;
}

const MAX_TEXT = 300;
const NOT_YET = /before (the )?end of (the )?day/i;
const CERTIFICATE = /CERT|SELF_SIGNED|^UNABLE_TO_/;
const NETWORK =
  /^(E(?!RR_)[A-Z0-9_]+|HPE_[A-Z_]+|HTTPParserError|UND_ERR_(?!INVALID_|NOT_SUPPORTED)[A-Z_]+|ERR_(STREAM|SOCKET|SSL|TLS)_[A-Z0-9_]+)$/;

/** Statuses inside an answer, by the HTTP status they should have come with. */
const HTTP_STATUS: ReadonlyMap<string, number> = new Map([
  ['OK', 200],
  ['DELAYED', 200],
  ['NOT_AUTHORIZED', 403],
  ['NOT_FOUND', 404],
]);

/**
 * The HTTP status that an answer with HTTP status 200 should have had: there may be an error inside. 500 stands for a failure
 * that is not known.
 */
export function statusInside(answer: unknown): number {
  const { status } = fieldsOf(answer);
  return typeof status === 'string' ? (HTTP_STATUS.get(status) ?? 500) : 200;
}

/**
 * What an answer says of what is wrong with it, in one line.
 *
 * @param secret is not repeated, whatever the answer says
 */
export function refusalText(answer: unknown, secret: string): string {
  const { status, message, error } = fieldsOf(answer);
  const texts = [status, message, error].filter((text) => typeof text === 'string');
  return oneLine([...new Set(texts)].join(': '), secret);
}

/** The failure that a refusal is. */
export function refusalError(place: string, { status, said, retryAfterMs }: Refusal): BatchLayerError {
  if (status === 403 && NOT_YET.test(said)) {
    const message = `${place}: not there before the day is over; try again later (${said})`;
    return new ApiUnavailable(message, { retryAfterMs: Number.POSITIVE_INFINITY });
  }
  const [code, advice] = byStatus(status);
  const message = `${place}: ${advice} (${said})`;
  if (code === 'Unavailable') return new ApiUnavailable(message, { retryAfterMs, isRateLimit: status === 429 });
  return new BatchLayerError(code, message);
}

/**
 * A failure of the HTTP client in the library's terms, or as it is where it is none of the network's.
 *
 * It has no `cause`: the client keeps with some of its errors what came over the wire.
 */
export function networkError(place: string, error: unknown): unknown {
  if (error instanceof BatchLayerError || !(error instanceof Error)) return error;
  // The parser's have a code in some cases only.
  const { code = error.name } = error as NodeJS.ErrnoException;
  const found = oneLine(`${code} ${messageOf(error)}`.trim(), '');
  if (CERTIFICATE.test(code)) {
    return new BatchLayerError(
      'BadInput',
      `${place}: the server's certificate is not trusted; check the base URL, or name its authority in NODE_EXTRA_CA_CERTS (${found})`,
    );
  }
  if (!NETWORK.test(code)) return error;
  return new BatchLayerError('Unavailable', `${place}: the connection failed; try again later (${found})`);
}

function byStatus(status: number): readonly [ErrorCode, string] {
  switch (status) {
    case 401:
      return ['BadInput', 'the API key is wrong: set POLYGON_API_KEY'];
    case 403:
      return ['NotEntitled', "the API key's plan does not include it"];
    case 404:
      return ['NotFound', 'the API has no such thing'];
    case 408:
      return ['Unavailable', 'the API gave up waiting; try again later'];
    case 429:
      return ['Unavailable', 'too many calls; try again later'];
    default:
      if (status >= 500) return ['Unavailable', 'the API failed; try again later'];
      if (status >= 400) return ['BadInput', 'the API refuses the request'];
      if (status >= 300)
        return ['BadInput', 'the API answers with a redirect, which is not followed; check the base URL'];
      return ['Unavailable', 'the API answers with a status that is not expected; try again later'];
  }
}

function fieldsOf(answer: unknown): Readonly<Record<string, unknown>> {
  return typeof answer === 'object' && answer !== null ? (answer as Record<string, unknown>) : {};
}

function oneLine(text: string, secret: string): string {
  const hidden = secret === '' ? text : text.replaceAll(secret, '[API key]');
  const line = hidden
    .slice(0, 10 * MAX_TEXT)
    .replaceAll(/[\p{C}\p{Z}]+/gu, ' ')
    .trim();
  // A character may have been cut in two.
  return line.slice(0, MAX_TEXT).replace(/\p{Surrogate}$/u, '');
}
