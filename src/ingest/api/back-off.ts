import type { BatchLayerError } from '../../errors.ts';
import { fullJitterMs } from '../../retry.ts';
import { ApiUnavailable } from './api-errors.ts';

const BASE_DELAY_MS = 250;
const MAX_DELAY_MS = 30_000;
/** What is assumed of a refused call that is not told how long to wait: five waits of it come to a minute, or two. */
const BASE_HOLD_MS = 2000;
const MAX_HOLD_MS = 30_000;
/** Who has to wait longer had better be told so. */
const MAX_WAIT_MS = 300_000;

/**
 * Milliseconds from now that `Retry-After` asks for: seconds, or a date
 * (https://www.rfc-editor.org/rfc/rfc9110#field.retry-after). The date is the server's, so it is held against the server's
 * time where the answer tells it.
 */
export function retryAfterMs(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
  now: number,
): number | undefined {
  const { 'retry-after': text, date } = headers;
  if (typeof text !== 'string') return undefined;
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const until = timeOf(text);
  return until === undefined ? undefined : Math.max(0, until - (timeOf(date) ?? now));
}

/** How long nobody at all should call after this failure. */
export function holdMs({ isRateLimit, retryAfterMs }: ApiUnavailable, attempt: number): number {
  if (!isRateLimit) return 0;
  const ms = retryAfterMs ?? Math.min(MAX_HOLD_MS, BASE_HOLD_MS * 2 ** (attempt - 1));
  return ms <= MAX_WAIT_MS ? ms : 0;
}

/** How long to wait before a call is sent again: never less than the API asks for; `undefined` where that is too long. */
export function backOffMs(attempt: number, error: BatchLayerError, random: () => number): number | undefined {
  const jitter = { baseMs: BASE_DELAY_MS, maxMs: MAX_DELAY_MS, random };
  if (!(error instanceof ApiUnavailable)) return fullJitterMs(attempt, jitter);
  const { retryAfterMs: asked, isRateLimit } = error;
  if (asked !== undefined) return asked <= MAX_WAIT_MS ? asked + fullJitterMs(attempt, jitter) : undefined;
  return isRateLimit ? holdMs(error, attempt) * (1 + random()) : fullJitterMs(attempt, jitter);
}

function timeOf(date: string | readonly string[] | undefined): number | undefined {
  // In the two forms without a zone of their own there is nothing that would tell whose time it is.
  if (typeof date !== 'string' || !date.endsWith(' GMT')) return undefined;
  const time = Date.parse(date);
  return Number.isNaN(time) ? undefined : time;
}
