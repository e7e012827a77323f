// Chance that needs no memory: the same numbers in, the same number out, in whatever order they are asked for.

/** Mixes two whole numbers into one of 32 bits. */
export function mix(a: number, b: number): number {
  let mixed = a ^ Math.imul(b + 0x9e3779b9, 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x7feb352d);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846ca68b);
  return mixed ^ (mixed >>> 16);
}

/** From 0 (inclusive) to 1 (exclusive). */
export function chance(a: number, b: number): number {
  return (mix(a, b) >>> 0) / 2 ** 32;
}

/** A text as a whole number of 32 bits (FNV-1a). */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}
