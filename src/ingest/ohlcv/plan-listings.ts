import type { Calendar } from '../../calendar.ts';
import { isLanded } from '../../lake/session-ledger.ts';
import type { Watermark } from '../../lake/watermarks.ts';
import type { SymbolRange } from './find-truncation.ts';
import { knownSessions } from './session-window.ts';
import type { Survey } from './survey-sessions.ts';

/** Symbols a run asks for by themselves; the others wait for the next one. */
export const MAX_LISTINGS = 500;

/**
 * Symbols that have come into the lake within the window, and whose history before it nobody has asked for: a new ticker may be
 * an old company's. Pure.
 *
 * @param window the sessions of the run, ascending
 * @returns ranges from the first session of the lake that was not fetched as a whole to the last one before the window
 */
export function planListings(
  window: readonly number[],
  { files, manifest, ledger }: Pick<Survey, 'files' | 'manifest' | 'ledger'>,
  { marks, calendar }: { readonly marks: ReadonlyMap<string, Watermark>; readonly calendar: Calendar },
): SymbolRange[] {
  const start = window[0];
  if (start === undefined) return [];
  const firstOf = (symbol: string): number =>
    Math.min(
      manifest.entries.get(symbol)?.firstSession ?? Number.POSITIVE_INFINITY,
      files.get(symbol)?.daily[0]?.session ?? Number.POSITIVE_INFINITY,
    );
  let lakeFirst = start;
  for (const symbol of files.keys()) lakeFirst = Math.min(lakeFirst, firstOf(symbol));
  const from = knownSessions(calendar, lakeFirst, start - 1).find((session) => !isLanded(ledger.get(session)));
  if (from === undefined) return [];
  return [...marks.values()]
    .filter(({ symbol, checkedFrom }) => (checkedFrom === -1 || checkedFrom > from) && firstOf(symbol) >= start)
    .map(({ symbol, checkedFrom }) => ({ symbol, from, to: Math.max(start, checkedFrom) - 1 }));
}
