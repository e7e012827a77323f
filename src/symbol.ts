import { BatchLayerError } from './errors.ts';

// Letters of both cases, digits and dots, as exchanges use them: BRK.B, BAC.WS.A, CFGpE. Case matters: AAPW and AAPw
// are two securities. The form leaves no room for a path (`/`, `..`) or a wildcard.
const SYMBOL = /^[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)*$/;
const MAX_LENGTH = 24;

/** Whether a string may be a symbol: letters, digits and inner dots, 24 characters at most. */
export function isSymbol(value: string): boolean {
  return value.length <= MAX_LENGTH && SYMBOL.test(value);
}

/**
 * The symbol itself, checked.
 *
 * @throws BatchLayerError `BadInput` where it is none.
 */
export function checkSymbol(value: string): string {
  if (!isSymbol(value)) {
    throw new BatchLayerError(
      'BadInput',
      `"${value}" is not a symbol: expected letters, digits and inner dots, at most ${MAX_LENGTH} characters`,
    );
  }
  return value;
}

/** Orders symbols by code unit, as every sorted file in the lake is (never by locale). */
export function compareSymbols(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
