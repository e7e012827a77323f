/**
 * What went wrong, and so what to do about it:
 *
 * - `BadInput`: the caller's data or options are wrong; fix them.
 * - `NotFound`: no object at that key.
 * - `Conflict`: another writer was faster; read again and plan again.
 * - `Fenced`: a newer run took over; stop.
 * - `Unavailable`: the store or the API does not answer; try later.
 * - `NotEntitled`: the API key's plan does not include what was asked for; ask for less, or change the plan.
 * - `CorruptObject`: an object's content is damaged; quarantine it, its key is in the message.
 */
export type ErrorCode =
  | 'BadInput'
  | 'NotFound'
  | 'Conflict'
  | 'Fenced'
  | 'Unavailable'
  | 'NotEntitled'
  | 'CorruptObject';

/**
 * Every failure this library raises on purpose.
 *
 * The message names the key or symbol, what was expected and what was found; `cause` keeps the original error.
 *
 * @example
 * try { await readConsolidated(store, 'AAPL') } catch (error) {
 *   if (hasCode(error, 'CorruptObject')) quarantine(error.message);
 * }
 */
export class BatchLayerError extends Error {
  override readonly name = 'BatchLayerError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Whether `error` is a {@link BatchLayerError} with one of the given codes. */
export function hasCode(error: unknown, ...codes: readonly ErrorCode[]): error is BatchLayerError {
  return error instanceof BatchLayerError && codes.includes(error.code);
}

/** The message of anything that can be thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
