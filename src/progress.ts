import { BatchLayerError, messageOf } from './errors.ts';

/** Told now and then how far a job is. */
export type OnProgress = (progress: Progress) => void;

export interface Progress {
  /** What is being done, such as `consolidate`. */
  readonly step: string;
  readonly done: number;
  /** Left out as long as it is not known. */
  readonly total?: number;
}

/** A symbol that a job could not finish; the others went on. */
export interface FailedSymbol {
  readonly symbol: string;
  readonly code: string;
  readonly message: string;
}

/** How a symbol's failure is reported. */
export function failedSymbol(symbol: string, error: unknown): FailedSymbol {
  return { symbol, code: error instanceof BatchLayerError ? error.code : 'Unexpected', message: messageOf(error) };
}
