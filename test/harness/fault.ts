import type { Random } from './random.ts';

/** What can go wrong with one request. */
export type Fault =
  /** The process is gone, before the request was applied or after it. */
  | { readonly kind: 'crash before' | 'crash after' }
  /** The store says it is unavailable: not applied, or applied. 409, 503, and 200 with an error body look the same. */
  | { readonly kind: 'fail before' | 'fail after' }
  /** Applied, and no answer comes. */
  | { readonly kind: 'lost answer' }
  /** Not applied, and no answer comes. */
  | { readonly kind: 'hang' }
  /** The caller is told it failed; it is applied some grants later. */
  | { readonly kind: 'delayed'; readonly grants: number }
  /** Applied, and again some grants later. */
  | { readonly kind: 'duplicated'; readonly grants: number }
  /** The body is cut off, or has a bit turned over, at this part of its length. */
  | { readonly kind: 'truncated' | 'flipped'; readonly at: number }
  /** Of the deletions of one request only some are done. */
  | { readonly kind: 'partial'; readonly isDone: (i: number) => boolean }
  /** The process is asked to end. */
  | { readonly kind: 'terminate' };

export type OperationKind = 'get' | 'head' | 'put' | 'delete' | 'deleteAll' | 'list';

/** One request of an actor. */
export interface Operation {
  /** How many came before. */
  readonly index: number;
  readonly kind: OperationKind;
  readonly key: string;
}

/** Says what goes wrong with an operation. */
export type FaultPlan = (operation: Operation) => Fault | undefined;

const ANY = ['fail before', 'fail after', 'lost answer', 'hang', 'burst', 'crash before', 'crash after', 'terminate'];
const KINDS: Readonly<Record<OperationKind, readonly string[]>> = {
  get: ['truncated', 'flipped', ...ANY],
  head: ANY,
  put: ['delayed', 'duplicated', 'delayed', 'duplicated', 'fail after', 'lost answer', ...ANY],
  delete: ['delayed', 'duplicated', ...ANY],
  deleteAll: ['delayed', 'duplicated', 'partial', 'partial', ...ANY],
  list: ANY,
};
const LATEST = 60;
const LONGEST_BURST = 7;

/** Faults by chance: each operation has one with a probability of `rate`. */
export function randomFaults(random: Random, rate: number): FaultPlan {
  let burst = 0;
  return ({ kind }) => {
    if (burst > 0) {
      burst--;
      return { kind: 'fail before' };
    }
    if (!random.chance(rate)) return undefined;
    const fault = random.pick(KINDS[kind]) as Fault['kind'] | 'burst';
    switch (fault) {
      case 'burst':
        burst = random.below(LONGEST_BURST);
        return { kind: 'fail before' };
      case 'delayed':
      case 'duplicated':
        return { kind: fault, grants: 1 + random.below(LATEST) };
      case 'truncated':
        return { kind: fault, at: random.next() };
      case 'flipped':
        // Values come first in a file, and are a small part of it.
        return { kind: fault, at: random.next() ** 3 };
      case 'partial': {
        const bits = random.below(256);
        return { kind: fault, isDone: (i) => ((bits >> (i % 8)) & 1) === 1 };
      }
      default:
        return { kind: fault };
    }
  };
}

/** One fault, at one operation. */
export function faultAt(index: number, fault: Fault): FaultPlan {
  return (operation) => (operation.index === index ? fault : undefined);
}
