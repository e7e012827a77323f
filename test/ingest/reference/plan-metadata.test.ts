import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ListedTicker } from '../../../src/ingest/api/tickers.ts';
import { checkList, type MetadataPlan, planMetadata } from '../../../src/ingest/reference/plan-metadata.ts';
import { metadataAt, type SymbolMetadata } from '../../../src/ingest/reference/symbol-metadata.ts';
import { isSameSecurity } from '../../../src/ingest/reference/ticker-identity.ts';
import { formatSession, sessionFrom } from '../../../src/session.ts';
import { compareSymbols } from '../../../src/symbol.ts';
import { listedTicker as ticker } from '../../support/stub-tickers.ts';

interface Lists {
  readonly active: readonly ListedTicker[];
  readonly inactive: readonly ListedTicker[];
}

const DAY = sessionFrom('2026-03-02');
const only = (...active: readonly ListedTicker[]): Lists => ({ active, inactive: [] });

/** Plans one list after the other, each a day later. */
function planAll(...lists: readonly Lists[]): MetadataPlan {
  return lists.reduce((plan, list, i) => planMetadata(plan.rows, list, DAY + i), planMetadata([], only(), DAY));
}

/** Rows as they read well: symbol, range, name. */
const ranges = ({ rows }: Pick<MetadataPlan, 'rows'>) =>
  rows.map(({ symbol, validFrom, validTo, name }) => `${symbol} ${date(validFrom)}..${date(validTo)} ${name}`);

const date = (session: number | undefined) => (session === undefined ? '' : formatSession(session).slice(5));

const changesOf = ({ rows: _, ...changes }: MetadataPlan) =>
  Object.fromEntries(Object.entries(changes).filter(([, names]) => names.length > 0));

const figi = (shareClassFigi: string, fields: Partial<ListedTicker> = {}) => ({ shareClassFigi, ...fields });
const delisted = (text: string) => ({ delistedDate: sessionFrom(text) });

describe('planMetadata', () => {
  test('at first look the beginning of what is active is not known, nor that of what was', () => {
    const inactive = [ticker('OLD', delisted('2019-10-07')), ticker('NONE')];
    const plan = planAll({ active: [ticker('B'), ticker('A')], inactive });
    expect(ranges(plan)).toEqual(['A .. A Inc.', 'B .. B Inc.', 'NONE ..03-02 NONE Inc.', 'OLD ..10-08 OLD Inc.']);
    expect(plan.rows.map(({ active, delistedDate }) => [active, delistedDate])).toEqual([
      [true, undefined],
      [true, undefined],
      [false, undefined],
      [false, sessionFrom('2019-10-07')],
    ]);
    expect(changesOf(plan)).toEqual({ added: ['A', 'B'], addedInactive: ['NONE', 'OLD'] });
  });

  test('earlier holders of a ticker have it one after the other', () => {
    const first = ticker('ZZZ', { name: 'Old Zzz', cik: '0000000111', ...delisted('2005-01-03') });
    const second = ticker('ZZZ', { name: 'New Zzz', cik: '0000000222', ...delisted('2021-06-01') });
    const again = { ...second, ...delisted('2020-02-02') };
    const now = ticker('ZZZ', { name: 'Zzz Fund', cik: '0000000333' });
    expect(ranges(planAll({ active: [], inactive: [second, first, again, first] }))).toEqual([
      'ZZZ ..01-04 Old Zzz',
      'ZZZ 01-04..06-02 New Zzz',
    ]);
    expect(ranges(planAll({ active: [now], inactive: [second, first] }))).toEqual([
      'ZZZ ..01-04 Old Zzz',
      'ZZZ 01-04..06-02 New Zzz',
      'ZZZ 06-02.. Zzz Fund',
    ]);
    // The same security in both lists is active.
    expect(ranges(planAll({ active: [now], inactive: [{ ...now, ...delisted('2020-01-02') }] }))).toEqual([
      'ZZZ .. Zzz Fund',
    ]);
    // Of one without a date nothing tells when it had the ticker.
    expect(ranges(planAll({ active: [now], inactive: [{ ...first, delistedDate: undefined }] }))).toEqual([
      'ZZZ .. Zzz Fund',
    ]);
  });

  test('a ticker that is new begins today', () => {
    const plan = planAll(only(ticker('A')), only(ticker('A'), ticker('B')));
    expect(ranges(plan)).toEqual(['A .. A Inc.', 'B 03-03.. B Inc.']);
    expect(changesOf(plan)).toEqual({ added: ['B'] });
  });

  test('what the list tells otherwise is taken over, what it no longer tells is kept', () => {
    const before = ticker('A', { ...figi('X'), cik: '0000000001', exchange: 'XNAS' });
    const plan = planAll(only(before), only(ticker('A', { ...figi('X'), name: 'Aleph', exchange: '' })));
    expect(plan.rows).toMatchObject([{ name: 'Aleph', exchange: 'XNAS', cik: '0000000001', validFrom: undefined }]);
    expect(changesOf(plan)).toEqual({ updated: ['A'] });
  });

  test.each([
    ['by a date', delisted('2026-02-27'), '02-28'],
    ['without one', {}, '03-03'],
    [
      'under a name that is longer, without any number',
      { name: 'A Inc. (delisted)', ...delisted('2026-02-27') },
      '02-28',
    ],
  ])('a delisting %s closes the range', (_, fields, end) => {
    const plan = planAll(only(ticker('A'), ticker('B')), { active: [ticker('B')], inactive: [ticker('A', fields)] });
    expect(ranges(plan)).toEqual([`A ..${end} A Inc.`, 'B .. B Inc.']);
    expect(plan.rows[0]).toMatchObject({ active: false, renamedTo: '' });
    expect(changesOf(plan)).toEqual({ delisted: ['A'] });
  });

  test('a range that was seen has a session, whatever the date of its delisting', () => {
    const inactive = [ticker('B', { ...figi('X'), ...delisted('2020-01-01') })];
    const plan = planAll(only(ticker('A')), only(ticker('A'), ticker('B', figi('X'))), {
      active: [ticker('A')],
      inactive,
    });
    expect(ranges(plan)).toEqual(['A .. A Inc.', 'B 03-03..03-04 B Inc.']);
  });

  test('who is in neither list stays, and so where only an earlier holder is inactive', () => {
    const earlier = ticker('A', { ...figi('OLD'), name: 'Old', ...delisted('2010-01-01') });
    const first = { active: [ticker('A', figi('X')), ticker('B')], inactive: [earlier] };
    const plan = planAll(first, { active: [ticker('B')], inactive: [earlier] });
    expect(ranges(plan)).toEqual(['A ..01-02 Old', 'A 01-02.. A Inc.', 'B .. B Inc.']);
    expect(changesOf(plan)).toEqual({ missing: ['A'] });
    const nameless = { ...earlier, shareClassFigi: '' };
    expect(
      changesOf(planAll({ ...first, inactive: [nameless] }, { active: [ticker('B')], inactive: [nameless] })),
    ).toEqual({
      missing: ['A'],
    });
  });

  test('an inactive ticker of another security, or of an earlier range, is not the end of this one', () => {
    const [a, b] = [ticker('A', figi('X')), ticker('B')];
    const other = ticker('A', { ...figi('Y'), ...delisted('2026-03-02') });
    expect(changesOf(planAll(only(a, b), { active: [b], inactive: [other] }))).toEqual({ missing: ['A'] });
    const gone = { active: [b], inactive: [{ ...a, ...delisted('2026-03-02') }] };
    const plan = planAll(only(a, b), gone, only(a, b), gone);
    expect(ranges(plan)).toEqual(['A ..03-03 A Inc.', 'A 03-04.. A Inc.', 'B .. B Inc.']);
    expect(changesOf(plan)).toEqual({ missing: ['A'] });
  });

  test('FB becomes META, which was a fund before', () => {
    const fund = ticker('META', { ...figi('FUND'), name: 'Ball Metaverse ETF', type: 'ETF' });
    const company = { ...figi('SOCIAL'), name: 'Meta Platforms', cik: '0001326801' };
    const plan = planAll(only(fund, ticker('FB', company)), {
      active: [ticker('META', company), { ...fund, symbol: 'METV' }],
      inactive: [],
    });
    expect(ranges(plan)).toEqual([
      'FB ..03-03 Meta Platforms',
      'META ..03-03 Ball Metaverse ETF',
      'META 03-03.. Meta Platforms',
      'METV 03-03.. Ball Metaverse ETF',
    ]);
    expect(plan.rows.map(({ renamedFrom, renamedTo }) => [renamedFrom, renamedTo])).toEqual([
      ['', 'META'],
      ['', 'METV'],
      ['FB', ''],
      ['META', ''],
    ]);
    const renamed = [
      { from: 'FB', to: 'META' },
      { from: 'META', to: 'METV' },
    ];
    expect(changesOf(plan)).toEqual({ renamed, recycled: ['META'] });
    expect(metadataAt(plan.rows, 'META', DAY)?.type).toBe('ETF');
    expect(metadataAt(plan.rows, 'META', DAY + 1)?.type).toBe('CS');
  });

  test('the new name begins where the old one ended, and not before its earlier holder did', () => {
    const [a, b] = [ticker('A', figi('X')), ticker('B', figi('Y'))];
    const goneA = { ...a, ...delisted('2026-02-26') };
    expect(ranges(planAll(only(a, b), { active: [ticker('C', figi('X')), b], inactive: [goneA] }))).toEqual([
      'A ..02-27 A Inc.',
      'B .. B Inc.',
      'C 02-27.. C Inc.',
    ]);
    const gone = [goneA, { ...b, ...delisted('2026-02-27') }];
    expect(ranges(planAll(only(a, b), { active: [ticker('B', figi('X'))], inactive: gone }))).toEqual([
      'A ..02-27 A Inc.',
      'B ..02-28 B Inc.',
      'B 02-28.. B Inc.',
    ]);
    // Of the earlier holder nothing is told: it had the name until then.
    expect(ranges(planAll(only(a, b), { active: [ticker('B', figi('X'))], inactive: [goneA] }))).toEqual([
      'A ..02-27 A Inc.',
      'B ..02-27 B Inc.',
      'B 02-27.. B Inc.',
    ]);
  });

  test('two securities may change their names', () => {
    const plan = planAll(
      only(ticker('A', figi('X')), ticker('B', figi('Y'))),
      only(ticker('A', figi('Y')), ticker('B', figi('X'))),
    );
    expect(plan.rows.map((row) => [row.symbol, row.shareClassFigi, row.renamedFrom, row.renamedTo])).toEqual([
      ['A', 'X', '', 'B'],
      ['A', 'Y', 'B', ''],
      ['B', 'Y', '', 'A'],
      ['B', 'X', 'A', ''],
    ]);
  });

  test('a renamed security keeps its details', () => {
    const details = { marketCap: 5, sicCode: '3571', sector: 'Manufacturing', detailsAsOf: DAY - 3 };
    const known = planAll(only(ticker('A', figi('X')))).rows.map((row) => ({ ...row, ...details }));
    const { rows } = planMetadata(known, only(ticker('B', figi('X'))), DAY + 1);
    expect(rows.map((row) => row.symbol)).toEqual(['A', 'B']);
    expect(rows[1]).toMatchObject({ ...details, name: 'B Inc.', active: true, delistedDate: undefined });
  });

  test('another security under the same ticker is not the same', () => {
    const plan = planAll(only(ticker('A', figi('X'))), only(ticker('A', figi('Y', { name: 'Other' }))));
    expect(ranges(plan)).toEqual(['A ..03-03 A Inc.', 'A 03-03.. Other']);
    expect(changesOf(plan)).toEqual({ recycled: ['A'] });
  });

  test.each<[string, Partial<ListedTicker>, Partial<ListedTicker>]>([
    ['a share class FIGI appears', { compositeFigi: 'C' }, { compositeFigi: 'C', shareClassFigi: 'X' }],
    ['FIGIs appear', { cik: '1' }, { cik: '1', compositeFigi: 'C', shareClassFigi: 'X', name: 'New Name' }],
    ['all numbers appear', {}, { cik: '1', shareClassFigi: 'X' }],
    ['FIGIs are no longer told', { cik: '1', shareClassFigi: 'X' }, { cik: '1', name: 'New Name' }],
    ['a type appears', { cik: '1', type: '' }, { cik: '1', name: 'New Name' }],
    ['the issuer changes', { cik: '1', shareClassFigi: 'X' }, { cik: '2', shareClassFigi: 'X' }],
    [
      'the name is written in another way',
      { name: "CASEY'S GENERAL STORES, INC" },
      { name: 'Caseys General Stores Inc.' },
    ],
  ])('it is the same security where %s', (_, before, after) => {
    const plan = planAll(only(ticker('A', before)), only(ticker('A', after)));
    expect(plan.rows).toHaveLength(1);
    expect(plan.updated).toEqual(['A']);
  });

  test.each<[string, Partial<ListedTicker>, Partial<ListedTicker>]>([
    ['composite FIGI', { compositeFigi: 'C' }, { compositeFigi: 'D' }],
    ['issuer', { cik: '1' }, { cik: '2' }],
    ['type', { cik: '1' }, { cik: '1', type: 'ETF' }],
    ['name', { name: 'One' }, { name: 'Two' }],
  ])('it is another where the %s differs and there is nothing better', (_, before, after) => {
    expect(planAll(only(ticker('A', before)), only(ticker('A', after))).recycled).toEqual(['A']);
  });

  test('an issuer with several securities of a type proves no rename', () => {
    const preferred = (symbol: string) => ticker(symbol, { cik: '0000000007', type: 'PFD', name: 'Bank Preferred' });
    const plan = planAll(only(preferred('BpA'), preferred('BpB')), only(preferred('BpB'), preferred('BpC')));
    expect(changesOf(plan)).toEqual({ added: ['BpC'], missing: ['BpA'] });
    const alone = planAll(only(preferred('BpA')), only(preferred('BpC')));
    expect(changesOf(alone)).toEqual({ renamed: [{ from: 'BpA', to: 'BpC' }] });
  });

  test('nor does an issuer whose security has another FIGI, or that had another security', () => {
    const issuer = { cik: '0000000007', type: 'PFD' };
    const other = planAll(only(ticker('A', figi('X', issuer))), only(ticker('B', figi('Y', issuer))));
    expect(changesOf(other)).toEqual({ added: ['B'], missing: ['A'] });
    const kept = ticker('A', figi('X', issuer));
    const plan = planAll(only(kept, ticker('B', issuer)), only({ ...kept, cik: '' }, ticker('C', issuer)));
    expect(changesOf(plan)).toEqual({ added: ['C'], missing: ['B'] });
  });

  test('the share class tells more than the security, and two that have it prove nothing', () => {
    const both = { shareClassFigi: 'X', compositeFigi: 'C' };
    const tickers = only(
      ticker('B', { compositeFigi: 'C', name: 'B' }),
      ticker('C', { shareClassFigi: 'X', name: 'C' }),
    );
    expect(changesOf(planAll(only(ticker('A', both)), tickers))).toEqual({
      renamed: [{ from: 'A', to: 'C' }],
      added: ['B'],
    });
    const whenIssued = planAll(only(ticker('A', both), ticker('Aw', both)), only(ticker('B', both)));
    expect(changesOf(whenIssued)).toEqual({ added: ['B'], missing: ['A', 'Aw'] });
  });

  test('of two rows about one ticker the one learned last counts', () => {
    const old = ticker('THC', { ...figi('X'), cik: '0000034956', updatedAt: '2024-07-24T00:00:00Z' });
    const right = { ...old, cik: '0000070318', updatedAt: '2024-08-02T00:00:00Z' };
    for (const active of [
      [old, right],
      [right, old],
    ]) {
      expect(planAll({ active, inactive: [] }).rows).toMatchObject([{ cik: '0000070318' }]);
    }
  });

  test('a security that comes back has a gap, and no range without a session stays', () => {
    const [a, b] = [ticker('A', figi('X')), ticker('B')];
    const gone = { active: [b], inactive: [{ ...a, ...delisted('2026-03-02') }] };
    const back = planAll(only(a, b), gone, gone, only(a, b));
    expect(ranges(back)).toEqual(['A ..03-03 A Inc.', 'A 03-05.. A Inc.', 'B .. B Inc.']);
    const named = (symbol: string) => only(ticker(symbol, figi('X')), b);
    const once = planAll(named('A'), named('C'));
    const twice = planMetadata(once.rows, named('D'), DAY + 1);
    expect(ranges(twice)).toEqual(['A ..03-03 A Inc.', 'B .. B Inc.', 'D 03-03.. D Inc.']);
  });

  test('plans 12,000 active and 25,000 inactive tickers in well under a second', () => {
    const list = (count: number, prefix: string, fields: Partial<ListedTicker> = {}) =>
      Array.from({ length: count }, (_, i) => {
        const numbers = i % 3 === 0 ? {} : { cik: String(i).padStart(10, '0'), ...figi(`${prefix}${i}`) };
        return ticker(`${prefix}${i}`, { ...numbers, ...fields });
      });
    const inactive = list(25_000, 'OLD', delisted('2019-10-07'));
    const first = planMetadata([], { active: list(12_000, 'A'), inactive }, DAY);
    const changed = list(12_000, 'A').map((one, i) => (i % 50 === 0 ? { ...one, symbol: `${one.symbol}N` } : one));
    const start = performance.now();
    const plan = planMetadata(first.rows, { active: changed, inactive }, DAY + 1);
    expect(performance.now() - start).toBeLessThan(1_000);
    expect(plan.renamed.length + plan.added.length).toBe(240);
  });
});

describe('checkList', () => {
  const many = Array.from({ length: 200 }, (_, i) => ticker(`S${i}`));
  const { rows } = planAll(only(...many));

  test('takes a list that lost a tenth, or a few', () => {
    checkList(rows, only(...many.slice(20)), 0.1);
    checkList(planAll(only(...many.slice(0, 11))).rows, only(many[0]!), 0.1);
    checkList(rows, only(ticker('OTHER')), 1);
    checkList([], only(ticker('A')), 0.1);
  });

  test.each([
    ['is empty', rows, only(), '0 symbols, and lacks 200 of the 200'],
    ['is empty at first look', [], only(), '0 symbols, and lacks 0 of the 0'],
    ['lost more than a tenth', rows, only(...many.slice(21)), '179 symbols, and lacks 21 of the 200'],
  ])('a list that %s is not whole', (_, known, list, message) => {
    const code = 'Unavailable';
    expect(() => checkList(known, list, 0.1)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) }),
    );
  });
});

/** Ranges are in order, have sessions, do not overlap, and only the last of a symbol is active. */
function checkHistory(rows: readonly SymbolMetadata[]): void {
  for (const [i, row] of rows.entries()) {
    const next = rows[i + 1];
    expect(row.active).toBe(row.validTo === undefined);
    expect(row.validFrom ?? Number.NEGATIVE_INFINITY).toBeLessThan(row.validTo ?? Number.POSITIVE_INFINITY);
    if (next && next.symbol !== row.symbol) expect(compareSymbols(row.symbol, next.symbol)).toBe(-1);
    else if (next) expect(row.validTo).toBeLessThanOrEqual(next.validFrom!);
  }
}

/** What holds of any plan of any list over anything known. */
function checkPlan(plan: MetadataPlan, list: Lists, today: number): void {
  checkHistory(plan.rows);
  for (const symbol of new Set(list.active.map((listed) => listed.symbol))) {
    const row = metadataAt(plan.rows, symbol, today);
    const same = list.active.filter((other) => other.symbol === symbol);
    expect(row && same.some((other) => isSameSecurity(row, other)), symbol).toBe(true);
    expect(row?.active).toBe(true);
  }
  for (const later of [0, 5]) {
    const again = planMetadata(plan.rows, list, today + later);
    expect(again.rows).toEqual(plan.rows);
    expect(changesOf({ ...again, missing: [] })).toEqual({});
  }
}

const shuffle = <T>(items: readonly T[], keys: readonly number[]): readonly T[] =>
  items
    .map((item, i) => [keys[i % keys.length]! * (i + 1), item] as const)
    .sort(([a], [b]) => (a % 101) - (b % 101))
    .map(([, item]) => item);

const arbitraryTicker = fc.record({
  symbol: fc.constantFrom('A', 'B', 'C', 'D'),
  name: fc.constantFrom('One', 'Two', 'Three', ''),
  type: fc.constantFrom('CS', 'ETF', ''),
  exchange: fc.constantFrom('XNYS', ''),
  currency: fc.constant('usd'),
  cik: fc.constantFrom('', '', '1', '2'),
  compositeFigi: fc.constantFrom('', '', 'C1', 'C2'),
  shareClassFigi: fc.constantFrom('', 'F1', 'F2', 'F3'),
  updatedAt: fc.constantFrom('', '2026-01-01'),
  delistedDate: fc.option(fc.integer({ min: DAY - 3, max: DAY + 8 }), { nil: undefined }),
});

const arbitraryStep = fc.record({
  active: fc.array(arbitraryTicker, { maxLength: 5 }),
  inactive: fc.array(arbitraryTicker, { maxLength: 5 }),
  days: fc.nat(2),
  order: fc.array(fc.integer({ min: 1, max: 1_000 }), { minLength: 1, maxLength: 7 }),
});

test('after any lists at all, ranges are one history in order, the same list changes nothing, and order is of no importance', () => {
  fc.assert(
    fc.property(fc.array(arbitraryStep, { minLength: 1, maxLength: 6 }), (steps) => {
      let [known, today]: [readonly SymbolMetadata[], number] = [[], DAY];
      for (const { days, order, ...list } of steps) {
        today += days;
        const plan = planMetadata(known, list, today);
        checkPlan(plan, list, today);
        const shuffled = { active: shuffle(list.active, order), inactive: shuffle(list.inactive, order) };
        expect(planMetadata(known, shuffled, today)).toEqual(plan);
        known = plan.rows;
      }
    }),
    { numRuns: 1_500, seed: 20_260_302 },
  );
});

/** A security of the market below: its true number, and what the list tells of it. */
interface Security {
  readonly id: number;
  symbol: string;
  hasFigi: boolean;
}

const SYMBOLS = ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H'];

const arbitraryEvent = fc.record({
  kind: fc.constantFrom('list', 'delist', 'vanish', 'rename', 'swap', 'figi', 'nothing'),
  which: fc.nat(100),
  symbol: fc.constantFrom(...SYMBOLS),
});

test('whatever happens in a market, the history tells who had a symbol on every day it was looked at', () => {
  const day = fc.record({ events: fc.array(arbitraryEvent, { maxLength: 4 }), days: fc.integer({ min: 1, max: 3 }) });
  fc.assert(
    fc.property(fc.array(day, { minLength: 2, maxLength: 12 }), (days) => {
      const market = createMarket();
      let [known, today]: [readonly SymbolMetadata[], number] = [[], DAY];
      const seen: (readonly [number, string, number])[] = [];
      for (const { events, days: passed } of days) {
        today += passed;
        for (const event of events) market.happen(event, today);
        const { rows, missing } = planMetadata(known, market.list(), today);
        for (const row of known.filter((row) => !row.active)) expect(rows).toContainEqual(row);
        for (const { symbol, id } of market.active) seen.push([today, symbol, id]);
        expect([...missing].sort()).toEqual(market.untold(rows));
        known = rows;
      }
      checkHistory(known);
      for (const [session, symbol, id] of seen) {
        expect(metadataAt(known, symbol, session)?.cik, `${symbol} on ${formatSession(session)}`).toBe(cikOf(id));
      }
    }),
    { numRuns: 500, seed: 20_260_303 },
  );
});

const cikOf = (id: number) => String(id).padStart(10, '0');

function createMarket() {
  const active: Security[] = [];
  const inactive: ListedTicker[] = [];
  let ids = 0;
  const toTicker = ({ id, symbol, hasFigi }: Security) =>
    ticker(symbol, { name: `Company ${id}`, cik: cikOf(id), ...figi(hasFigi ? `FIGI${id}` : '') });
  const isFree = (symbol: string) => active.every((other) => other.symbol !== symbol);
  const list = (symbol: string) => active.push({ id: ++ids, symbol, hasFigi: ids % 3 !== 0 });
  for (const symbol of ['A', 'B', 'C']) list(symbol);
  return {
    active,
    list: (): Lists => ({ active: active.map(toTicker), inactive }),
    /** Symbols that are open in `rows` though nobody tells of their security under this name. */
    untold: (rows: readonly SymbolMetadata[]) =>
      rows
        .filter((row) => row.active)
        .filter(({ cik }) => active.every(({ id }) => cikOf(id) !== cik))
        .filter(({ cik, symbol }) => inactive.every((entry) => entry.cik !== cik || entry.symbol !== symbol))
        .map((row) => row.symbol),
    happen({ kind, which, symbol }: { kind: string; which: number; symbol: string }, today: number): void {
      const one = active[which % Math.max(active.length, 1)];
      const other = active[(which + 1) % Math.max(active.length, 1)];
      if (kind === 'list' && isFree(symbol)) list(symbol);
      if (!one || !other) return;
      // A run sees a market at the end of a day: who left did so after its last session, the day before.
      if (kind === 'delist') inactive.push({ ...toTicker(one), delistedDate: today - 1 });
      if (kind === 'delist' || kind === 'vanish') active.splice(active.indexOf(one), 1);
      if (kind === 'rename' && isFree(symbol)) one.symbol = symbol;
      if (kind === 'swap') [one.symbol, other.symbol] = [other.symbol, one.symbol];
      if (kind === 'figi') one.hasFigi = true;
    },
  };
}
