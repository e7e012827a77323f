import { z } from 'zod';
import { parseSession } from '../../session.ts';

// What has no UTF-8, or no place in a database's text: written and read back it would be another text.
const UNFIT = /[\p{Cc}\p{Surrogate}]+/gu;

/** Text, or '' where it is anything else: a field that need not be there spoils no answer. */
export const lenientText = z
  .unknown()
  .optional()
  .transform((value) => {
    return typeof value === 'string' ? value.replace(UNFIT, ' ').trim() : '';
  });

/** A number ≥ 0, or `undefined`. */
export const lenientAmount = z
  .unknown()
  .optional()
  .transform((value) => {
    return typeof value === 'number' && value >= 0 && value < Number.POSITIVE_INFINITY ? value + 0 : undefined;
  });

/** A whole number from 0 to 2³¹ − 1, or `undefined`. */
export const lenientCount = lenientAmount.transform((value) => (value === (Number(value) | 0) ? value : undefined));

/**
 * The day that a date or a time begins with (days since 1970-01-01), or `undefined`.
 *
 * Delistings are told as midnight in New York or in UTC; the day as written is right for both. 1969-12-31 counts as absent,
 * as it does in every table of the lake.
 */
export const lenientDay = z
  .unknown()
  .optional()
  .transform((value) => {
    const day = typeof value === 'string' ? parseSession(value.slice(0, 10)) : undefined;
    return day === -1 ? undefined : day;
  });
