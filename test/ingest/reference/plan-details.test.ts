import { describe, expect, test } from 'vitest';
import { NO_DETAILS } from '../../../src/ingest/api/ticker-details.ts';
import { applyDetails, planDetails } from '../../../src/ingest/reference/plan-details.ts';
import { planMetadata } from '../../../src/ingest/reference/plan-metadata.ts';
import type { SymbolMetadata } from '../../../src/ingest/reference/symbol-metadata.ts';
import { listedTicker } from '../../support/stub-tickers.ts';

const TODAY = 20_500;
const gone = { delistedDate: TODAY - 100, name: 'Earlier', cik: '1' };
const lists = {
  active: ['A', 'B', 'C', 'D', 'E'].map((symbol) => listedTicker(symbol, { cik: '2' })),
  inactive: [listedTicker('E', gone), listedTicker('OLD', gone)],
};

/** The rows of the lists, with details of some days ago. */
function rowsWith(ages: Readonly<Record<string, number>> = {}): readonly SymbolMetadata[] {
  return planMetadata([], lists, TODAY).rows.map((row) => {
    const age = ages[row.symbol];
    return age === undefined ? row : { ...row, detailsAsOf: TODAY - age, marketCap: age };
  });
}

describe('planDetails', () => {
  test('those that were never asked for come first, then the oldest, and none that is not old', () => {
    const rows = rowsWith({ A: 7, B: 6, C: 30 });
    const { due, unknown } = planDetails(rows, { maxAgeDays: 7, today: TODAY });
    expect(due.map(({ symbol }) => symbol)).toEqual(['D', 'E', 'C', 'A']);
    expect(due.every(({ session }) => session === undefined)).toBe(true);
    expect(unknown).toEqual([]);
  });

  test('symbols that are named are asked for in any case, inactive ones as of their last session', () => {
    const rows = rowsWith({ A: 0, C: 30 });
    const symbols = ['X', 'OLD', 'A', 'C', 'A'];
    expect(planDetails(rows, { symbols, maxAgeDays: 7, today: TODAY })).toEqual({
      due: [
        { symbol: 'OLD', session: TODAY - 100 },
        { symbol: 'C', session: undefined },
        { symbol: 'A', session: undefined },
      ],
      unknown: ['X'],
    });
  });
});

describe('applyDetails', () => {
  const details = { ...NO_DETAILS, sicCode: '3571', marketCap: 9 };

  test('puts them into the last row of the symbol, with the sector and the day', () => {
    const rows = applyDetails(rowsWith(), new Map([['E', details]]), TODAY);
    expect(rows.filter(({ symbol }) => symbol === 'E')).toMatchObject([
      { name: 'Earlier', marketCap: undefined, detailsAsOf: undefined },
      { marketCap: 9, sicCode: '3571', sector: 'Manufacturing', detailsAsOf: TODAY },
    ]);
    expect(rows.filter(({ symbol }) => symbol !== 'E')).toEqual(rowsWith().filter(({ symbol }) => symbol !== 'E'));
  });

  test('that there are none is remembered, and older values are not taken for new ones', () => {
    const [row] = applyDetails(rowsWith({ A: 9 }), new Map([['A', undefined]]), TODAY);
    expect(row).toMatchObject({ symbol: 'A', marketCap: undefined, sector: '', detailsAsOf: TODAY });
  });

  test('newer ones stay', () => {
    const rows = rowsWith({ A: -1 });
    expect(applyDetails(rows, new Map([['A', details]]), TODAY)).toEqual(rows);
  });
});
