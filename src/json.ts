/**
 * JSON from storage: as `JSON.parse`, but strings with lone surrogates (which have no UTF-8, so that writing them changes
 * them) and keys named `__proto__` (which checks by schema pass over) are refused.
 */
export function parseJson(text: string): unknown {
  return JSON.parse(text, (key, value: unknown) => {
    if (key === '__proto__') throw new SyntaxError('key __proto__');
    if (isBroken(key) || (typeof value === 'string' && isBroken(value))) throw new SyntaxError('lone surrogate');
    return value;
  });
}

function isBroken(text: string): boolean {
  return /\p{Surrogate}/u.test(text);
}
