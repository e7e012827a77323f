import { type Answer, errorAnswer, json, requestId } from './answer.ts';
import { countUp } from './call.ts';
import { chance, hashText, mix } from './hash.ts';
import { stringify } from './row-faults.ts';
import type { FailureKind, Traps } from './traps.ts';

/** Decides which calls fail. */
export interface FailurePlan {
  /** How the call of an address fails, if it does. */
  next(path: string, traps: Traps): FailureKind | undefined;
}

/** The nth call of an address has the same fate, whatever is asked for in between: calls at the same time do not matter. */
export function createFailurePlan(): FailurePlan {
  const calls = new Map<string, number>();
  const inARow = new Map<string, number>();
  return {
    next(path, { seed, failureRate, failureKinds, failurePaths, failuresInARow }) {
      if (failureRate === 0 || !failurePaths.test(path)) return undefined;
      const hash = mix(mix(hashText(path), seed), countUp(calls, path));
      if (chance(hash, 1) >= failureRate || (inARow.get(path) ?? 0) >= failuresInARow) {
        inARow.delete(path);
        return undefined;
      }
      countUp(inARow, path);
      return failureKinds[Math.floor(chance(hash, 2) * failureKinds.length)];
    },
  };
}

/** What is sent in the place of a good answer. */
export function failAnswer(kind: FailureKind, answer: Answer, { retryAfter }: Traps): Answer {
  const whole = { status: answer.status, headers: answer.headers ?? {} };
  switch (kind) {
    case 'error-500':
      return errorAnswer(500, 'Internal server error');
    case 'unavailable-503': {
      const page = '<html><head><title>503</title></head><body><h1>503 Service Unavailable</h1></body></html>';
      return { status: 503, headers: { 'content-type': 'text/html' }, body: () => page };
    }
    case 'limit-429':
      return errorAnswer(429, LIMIT_EXCEEDED, { 'retry-after': retryAfter });
    case 'empty-429':
      return { status: 429, body: () => '' };
    case 'hang-up':
      return { ...answer, hangUp: 'before' };
    case 'hang-up-in-body':
      return { ...answer, hangUp: 'in-body' };
    case 'truncated-json':
      return { ...whole, body: () => halfOf(stringify(answer.body())) };
    case 'null-results':
      return { ...whole, body: () => withoutResults(answer.body()) };
    case 'error-status':
      return json(200, { status: 'ERROR', request_id: requestId(), error: 'Something went wrong' });
  }
}

export const LIMIT_EXCEEDED =
  "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue.";

function halfOf(text: string): string {
  return text.slice(0, Math.floor(text.length / 2));
}

function withoutResults(body: unknown): unknown {
  if (Array.isArray(body) || typeof body !== 'object' || body === null) return null;
  const { next_url: _, ...rest } = body as Record<string, unknown>;
  return { ...rest, ...('resultsCount' in rest ? { queryCount: 0, resultsCount: 0 } : {}), results: null };
}
