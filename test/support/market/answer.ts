/** What the server says to one call. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Text and bytes are sent as they are, all else as JSON. */
  readonly body: () => unknown;
  /** The body is large and need not be made again for another call with the same name. */
  readonly cacheAs?: string;
  readonly hangUp?: 'before' | 'in-body' | undefined;
}

/** Thrown where a call gets no more than this answer. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly answer: Answer;

  constructor(answer: Answer) {
    super(`answered ${answer.status}`);
    this.answer = answer;
  }
}

export function json(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, headers, body: () => value };
}

/** As most errors are told. */
export function errorAnswer(status: number, error: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return json(status, { status: 'ERROR', request_id: requestId(), error }, headers);
}

/** As the vendor tells that something is there, but not for this key. */
export function notAuthorized(message: string): Answer {
  const upgrade = 'Please upgrade your plan at https://polygon.io/pricing';
  return json(403, { status: 'NOT_AUTHORIZED', request_id: requestId(), message: `${message} ${upgrade}` });
}

export function notFound(message: string): Answer {
  return json(404, { status: 'NOT_FOUND', request_id: requestId(), message });
}

let requests = 0;

/** As long as the vendor's. */
export function requestId(): string {
  return (++requests).toString(16).padStart(32, '0');
}
