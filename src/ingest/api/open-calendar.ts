import { type Calendar, type CalendarOverride, marketCalendar } from '../../calendar.ts';
import { hasCode, messageOf } from '../../errors.ts';
import type { MarketApi } from './market-api.ts';
import { fetchMarketHolidays } from './market-holidays.ts';

/**
 * The calendar by its rules, with what the API announces, and overrides that win over both. Without an answer it goes by the
 * rules, and `warnings` gets to know.
 */
export async function openCalendar(
  api: MarketApi,
  overrides: readonly CalendarOverride[],
  warnings: string[],
  signal: AbortSignal | undefined,
): Promise<Calendar> {
  try {
    const announced = await fetchMarketHolidays(api, { signal });
    return marketCalendar([...announced.filter((override) => isPossible(override, warnings)), ...overrides]);
  } catch (error) {
    signal?.throwIfAborted();
    if (!hasCode(error, 'Unavailable', 'NotEntitled', 'NotFound')) throw error;
    warnings.push(`the calendar goes by its rules, without what the API announces: ${messageOf(error)}`);
    return marketCalendar(overrides);
  }
}

// What is announced comes from outside: a day that cannot be stops no run.
function isPossible(override: CalendarOverride, warnings: string[]): boolean {
  try {
    marketCalendar([override]);
    return true;
  } catch (error) {
    if (!hasCode(error, 'BadInput')) throw error;
    warnings.push(`the API announces what cannot be: ${error.message}`);
    return false;
  }
}
