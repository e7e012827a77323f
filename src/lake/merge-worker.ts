import { BatchLayerError, type ErrorCode } from '../errors.ts';
import { type MergeInput, type MergeOutput, mergeSymbol } from './merge-symbol.ts';

/** What comes back from another thread: errors lose their class on the way. */
export type Answer =
  | { readonly output: MergeOutput }
  | { readonly failure: { readonly code: ErrorCode; readonly message: string } };

/** {@link mergeSymbol} on the thread this file is loaded in. */
export function merge(input: MergeInput): Answer {
  try {
    return { output: mergeSymbol(input) };
  } catch (error) {
    if (error instanceof BatchLayerError) return { failure: { code: error.code, message: error.message } };
    throw error;
  }
}
