import { sessionFrom } from '../../../src/session.ts';
import { errorAnswer, Refusal } from './answer.ts';

/** @throws Refusal 400, for the caller's mistakes */
export function refuse(error: string): never {
  throw new Refusal(errorAnswer(400, error));
}

/**
 * The vendor passes over a parameter it does not know, and answers something else than was meant; here that is a mistake.
 *
 * @throws Refusal 400
 */
export function checkNames(query: URLSearchParams, known: readonly string[]): void {
  for (const name of query.keys()) {
    if (!known.includes(name)) refuse(`unknown parameter "${name}": expected one of ${known.join(', ')}`);
    if (query.getAll(name).length > 1) refuse(`parameter "${name}" is given more than once`);
  }
}

/** A name and its comparisons. */
export function comparisons(...names: readonly string[]): readonly string[] {
  return names.flatMap((name) => [name, ...Object.keys(COMPARE).map((operator) => `${name}.${operator}`)]);
}

export function flag(query: URLSearchParams, name: string, fallback: boolean): boolean {
  const value = query.get(name) ?? String(fallback);
  if (value !== 'true' && value !== 'false') refuse(`"${name}" must be true or false, not "${value}"`);
  return value === 'true';
}

export function oneOf<T extends string>(query: URLSearchParams, name: string, values: readonly T[], fallback: T): T {
  const value = query.get(name) ?? fallback;
  return values.find((known) => known === value) ?? refuse(`"${name}" must be one of ${values.join(', ')}`);
}

export function limitOf(query: URLSearchParams, fallback: number, most: number): number {
  const limit = Number(query.get('limit') ?? fallback);
  if (!Number.isInteger(limit) || limit < 1 || limit > most) refuse(`"limit" must be a whole number, 1 to ${most}`);
  return limit;
}

export function dateParameter(date: string, name: string): number {
  try {
    return sessionFrom(date);
  } catch {
    return refuse(`Could not parse the time parameter: '${name}'. Use YYYY-MM-DD or Unix MS Timestamps`);
  }
}

/** Rows whose fields are as the query asks: `ticker=A`, `execution_date.gte=2024-01-02`, `ticker.any_of=A,B`. */
export function filterBy<Row extends object>(
  rows: readonly Row[],
  query: URLSearchParams,
  fields: readonly (keyof Row & string)[],
): readonly Row[] {
  const tests = fields.flatMap((field) => {
    const asked = Object.entries({ ...COMPARE, '': EQUALS }).map(([operator, test]) => {
      return { wanted: query.get(operator === '' ? field : `${field}.${operator}`), test };
    });
    return asked.flatMap(({ wanted, test }) => {
      return wanted === null ? [] : [(row: Row) => row[field] !== undefined && test(String(row[field]), wanted)];
    });
  });
  return rows.filter((row) => tests.every((test) => test(row)));
}

// Dates compare as text, and so do tickers: by code unit.
const COMPARE = {
  gt: (value: string, bound: string) => value > bound,
  gte: (value: string, bound: string) => value >= bound,
  lt: (value: string, bound: string) => value < bound,
  lte: (value: string, bound: string) => value <= bound,
  any_of: (value: string, list: string) => list.split(',').includes(value),
} as const;
const EQUALS = (value: string, wanted: string) => value === wanted;
