/** A sum of doubles without a rounding error on the way, so that the order they come in makes no difference. */
export interface ExactSum {
  add(value: number): void;
  /** Adds what another one has come to. */
  addSum(other: ExactSum): void;
  /** The double next to the sum. */
  value(): number;
  /** Doubles that come to the sum exactly, none overlapping another, in ascending order. */
  readonly parts: readonly number[];
}

/**
 * Opens a sum, of 0 (J. R. Shewchuk, Adaptive Precision Floating-Point Arithmetic, 1997: grow-expansion; as Python's
 * `math.fsum`).
 */
export function exactSum(): ExactSum {
  const parts: number[] = [];
  const add = (value: number): void => {
    let [carry, kept] = [value, 0];
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i]!;
      const [large, small] = Math.abs(carry) < Math.abs(part) ? [part, carry] : [carry, part];
      carry = large + small;
      const rest = small - (carry - large);
      if (rest !== 0) parts[kept++] = rest;
    }
    parts.length = kept;
    parts.push(carry);
  };
  return {
    parts,
    add,
    addSum: (other) => other.parts.forEach(add),
    value() {
      let i = parts.length - 1;
      let sum = parts[i] ?? 0;
      let rest = 0;
      while (i > 0 && rest === 0) {
        const [large, small] = [sum, parts[--i]!];
        sum = large + small;
        rest = small - (sum - large);
      }
      // Half way between two doubles: what is below says to which of them.
      const below = parts[i - 1] ?? 0;
      if ((rest < 0 && below < 0) || (rest > 0 && below > 0)) {
        const twice = rest * 2;
        const rounded = sum + twice;
        if (twice === rounded - sum) return rounded;
      }
      return sum;
    },
  };
}
