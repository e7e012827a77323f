import { monthOf, sessionAt } from '../session.ts';

/** Three years and one month. */
const KEPT_MONTHS = 37;

/** The first month ({@link monthOf}) whose bars the database keeps: three years and one month ago, the whole of that month. */
export function firstKeptMonth(now: number): number {
  return monthOf(sessionAt(now)) - KEPT_MONTHS;
}
