import type { CorrectedRows } from './replay-market.ts';
import type { RowFault } from './row-faults.ts';

/** What may go wrong with any call. */
export const FAILURE_KINDS = [
  'error-500',
  /** With a page of HTML. */
  'unavailable-503',
  /** With `Retry-After`. */
  'limit-429',
  /** Without `Retry-After`, and with an empty body. */
  'empty-429',
  'hang-up',
  /** In the middle of the body. */
  'hang-up-in-body',
  /** JSON that ends in the middle, in an answer that is complete as far as HTTP goes. */
  'truncated-json',
  'null-results',
  /** `{status: "ERROR"}` with 200. */
  'error-status',
] as const;
export type FailureKind = (typeof FAILURE_KINDS)[number];

/** At most so many calls in any `perMs`; those above are answered 429, counted as violations, and take no place. */
export interface RateLimit {
  readonly calls: number;
  readonly perMs: number;
  /** The header `Retry-After`; none by default. */
  readonly retryAfter?: string;
}

/** Rows that change from the `fromCall`th call on that asks for them; the first call is 1. */
export interface Correction extends CorrectedRows {
  readonly fromCall: number;
}

/** What goes wrong where answers have pages; where `match` is given, only with addresses it matches. */
export type PagingTrap = { readonly match?: RegExp } & (
  | { /** From page 2 on, `next_url` names the page it is in. */ readonly kind: 'loop' }
  | { /** Always another page, the same rows over and over. */ readonly kind: 'endless' }
  | { /** This page answers 500, every time it is asked for. */ readonly kind: 'failing'; readonly page: number }
);

/** An answer to give in the place of the real one, so many times. */
export interface ScriptedAnswer {
  /** Tested against path and query. */
  readonly match: RegExp;
  readonly times: number;
  readonly respond: {
    readonly status: number;
    readonly headers?: Readonly<Record<string, string>>;
    /** Text and bytes are sent as they are, all else as JSON; nothing by default. */
    readonly body?: unknown;
    readonly hangUp?: 'before' | 'in-body';
  };
}

export interface Traps {
  /** Which calls fail, and how: the nth call of an address has the same fate under the same seed. */
  readonly seed: number;
  /** Share of calls that fail, 0 to 1. */
  readonly failureRate: number;
  readonly failureKinds: readonly FailureKind[];
  /** Path and query of the calls that may fail. */
  readonly failurePaths: RegExp;
  /** An address is answered after so many failures in a row. */
  readonly failuresInARow: number;
  /** The header `Retry-After` of `limit-429`: seconds, a date, anything. */
  readonly retryAfter: string;
  readonly latencyMs: number;
  /** Up to so many more, at random. */
  readonly jitterMs: number;
  /** How long a body takes, sent bit by bit. */
  readonly slowBodyMs: number;
  readonly rateLimit: RateLimit | undefined;

  /** First session of the plan: a grouped call before it is answered 403, a ranged one 200 with fewer rows. */
  readonly historyFrom: number | undefined;
  /** Path and query of what the plan does not include: 403. */
  readonly notEntitled: readonly RegExp[];
  /** Sessions whose day has not ended: grouped calls are answered 403, ranged ones without them. */
  readonly beforeEndOfDay: readonly number[];

  /** Sessions whose grouped answer has `results: null`, each so many times. */
  readonly nullResults: ReadonlyMap<number, number>;
  /** Sessions whose grouped answer has half of the rows that its `resultsCount` tells of, each so many times. */
  readonly halfResults: ReadonlyMap<number, number>;
  /** Bars come with status DELAYED. */
  readonly delayed: boolean;
  /** Split-adjusted prices even where `adjusted=false` was asked for. */
  readonly adjustedAlways: boolean;
  /** Ranged answers begin with the ticker's first bar. */
  readonly ignoreFrom: boolean;
  readonly rowFaults: readonly RowFault[];
  readonly corrections: readonly Correction[];
  readonly paging: PagingTrap | undefined;
  /** A page has no more rows than this, whatever its `limit`. */
  readonly pageRows: number;
  /** The origin of `next_url`: the vendor's own, as there, whatever host was asked. */
  readonly nextUrlOrigin: string;
  /** 302 to the same path at another origin. */
  readonly redirect: { readonly match: RegExp; readonly to: string } | undefined;
  readonly script: readonly ScriptedAnswer[];
}

export const NO_TRAPS: Traps = {
  seed: 1,
  failureRate: 0,
  failureKinds: FAILURE_KINDS,
  failurePaths: /^/,
  failuresInARow: Number.POSITIVE_INFINITY,
  retryAfter: '1',
  latencyMs: 0,
  jitterMs: 0,
  slowBodyMs: 0,
  rateLimit: undefined,
  historyFrom: undefined,
  notEntitled: [],
  beforeEndOfDay: [],
  nullResults: new Map(),
  halfResults: new Map(),
  delayed: false,
  adjustedAlways: false,
  ignoreFrom: false,
  rowFaults: [],
  corrections: [],
  paging: undefined,
  pageRows: Number.POSITIVE_INFINITY,
  nextUrlOrigin: 'https://api.polygon.io',
  redirect: undefined,
  script: [],
};
