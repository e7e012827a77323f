import { z } from 'zod';
import type { CalendarOverride } from '../../calendar.ts';
import { parseSession } from '../../session.ts';
import { parseAnswer } from './answer.ts';
import type { ApiCall, MarketApi } from './market-api.ts';

const PATH = '/v1/marketstatus/upcoming';
const HOLIDAYS = z.array(
  z.object({
    date: z.string(),
    exchange: z.string(),
    status: z.string(),
    close: z.string().optional(),
  }),
);

const newYork = new Intl.DateTimeFormat('en-US', {
  timeZone: 'America/New_York',
  hourCycle: 'h23',
  hour: '2-digit',
  minute: '2-digit',
});

/** Holidays and early closes of the New York Stock Exchange that the API announces: overrides of the calendar's rules. */
export async function fetchMarketHolidays(api: MarketApi, call: ApiCall = {}): Promise<CalendarOverride[]> {
  const holidays = await api.get(PATH, {}, (answer) => parseAnswer(HOLIDAYS, answer, PATH), call);
  return holidays.flatMap(({ date, exchange, status, close }): CalendarOverride[] => {
    const session = parseSession(date);
    if (exchange !== 'NYSE' || session === undefined) return [];
    if (status === 'closed') return [{ session, status }];
    if (status !== 'early-close') return [];
    const closes = Date.parse(close ?? '');
    return [{ session, status, ...(Number.isNaN(closes) ? {} : { closeMinutes: minutesOf(closes) }) }];
  });
}

function minutesOf(epochMs: number): number {
  const [hour, minute] = newYork.format(epochMs).split(':').map(Number);
  return hour! * 60 + minute!;
}
