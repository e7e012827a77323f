import fc from 'fast-check';
import { allocateBars, type Bars, mergeBars, sliceBars } from '../../src/bars.ts';
import { BatchLayerError, hasCode } from '../../src/errors.ts';
import { writeDaily } from '../../src/ingest/daily-writer.ts';
import { decodeBars, encodeBars } from '../../src/lake/bronze.ts';
import { consolidate } from '../../src/lake/consolidate.ts';
import { consolidateSymbol } from '../../src/lake/consolidate-symbol.ts';
import { checkpointKey, dataKey, MANIFEST_KEY, RECENT_BARS_KEY } from '../../src/lake/keys.ts';
import { type ObjectStore, orNone } from '../../src/lake/store.ts';
import { listSymbol } from '../../src/lake/symbol-files.ts';
import type { FailedSymbol } from '../../src/progress.ts';
import { type ResampleOptions, resample } from '../../src/resample/resample.ts';
import { sessionFrom } from '../../src/session.ts';

/** Longer than a month of sessions is the last: its groups are open for long. */
export const EVENT_INTERVALS = [2, 3, 5, 34];
// One is the beginning of another, and keys sort them otherwise than names do.
const SYMBOLS = ['BRK', 'BRK.B', 'aapl'];
const START = sessionFrom('2023-11-20');
const NOW = sessionFrom('2024-06-28') * 86_400_000 + 72_000_000;

/** How bars get into the lake: merged at once, left for the next consolidation, or by a bulk import. */
const WAYS = ['daily', 'daily', 'left', 'import'] as const;
const DAMAGE = ['delete', 'flip', 'truncate', 'older'] as const;

/** Something that happens to a lake; numbers stand for choices among what is there then. */
export type LakeEvent =
  | { readonly kind: 'begin'; readonly symbol: string; readonly at: number; readonly bars: number }
  | { readonly kind: 'append'; readonly way: Way; readonly stays: number; readonly bars: number; readonly gap: number }
  | { readonly kind: 'late' | 'correct'; readonly way: Way; readonly symbol: string; readonly at: number }
  | { readonly kind: 'shuffled'; readonly symbol: string; readonly at: readonly number[] }
  | { readonly kind: 'twice' | 'remove' | 'restore'; readonly symbol: string; readonly at: number }
  | { readonly kind: 'gone'; readonly symbol: string }
  | { readonly kind: 'consolidate'; readonly mode: 'incremental' | 'full'; readonly retentionDays: number }
  | {
      readonly kind: 'damage';
      readonly what: 'index' | 'checkpoint' | 'month';
      readonly how: Damage;
      readonly at: number;
    }
  | {
      readonly kind: 'resample';
      readonly options: ResampleOptions;
      readonly crashAt: number;
      readonly unreadable?: string;
    };
type Way = (typeof WAYS)[number];
type Damage = (typeof DAMAGE)[number];

const symbol = fc.constantFrom(...SYMBOLS);
const way = fc.constantFrom(...WAYS);
const at = fc.nat(999);
const resampleEvent: fc.Arbitrary<LakeEvent> = fc.record(
  {
    kind: fc.constant('resample' as const),
    options: fc.record(
      {
        symbols: fc.subarray(SYMBOLS, { minLength: 1 }),
        lookbackMonths: fc.integer({ min: 1, max: 7 }),
        intervals: fc.shuffledSubarray(EVENT_INTERVALS, { minLength: 1 }),
        threads: fc.constant(1),
        forceFull: fc.constantFrom(true, false, false),
      },
      { requiredKeys: [] },
    ),
    // Most run through.
    crashAt: fc.constantFrom(...new Array(20).fill(1000), 1, 2, 3, 5, 9),
    unreadable: symbol,
  },
  { requiredKeys: ['kind', 'options', 'crashAt'] },
);
const plainResample = fc.constant<LakeEvent>({ kind: 'resample', options: {}, crashAt: 1000 });
const begin = fc.record({ kind: fc.constant('begin' as const), symbol, at, bars: fc.integer({ min: 1, max: 90 }) });

const lakeEvent: fc.Arbitrary<LakeEvent> = fc.oneof(
  { weight: 2, arbitrary: begin },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      way,
      // Bits of the symbols that stop here, or have none today.
      stays: fc.constantFrom(0, 0, 1, 2, 4, 6),
      bars: fc.constantFrom(1, 1, 1, 2, 3, 7, 40, 70),
      gap: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('late' as const, 'correct' as const), way, symbol, at }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('shuffled' as const),
      symbol,
      at: fc.uniqueArray(fc.nat(250), { minLength: 2, maxLength: 6 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('twice' as const, 'remove' as const, 'restore' as const),
      symbol,
      at,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('gone' as const), symbol }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('consolidate' as const),
      mode: fc.constantFrom('incremental' as const, 'full' as const),
      retentionDays: fc.constantFrom(0, 100, 100_000),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('damage' as const),
      what: fc.constantFrom('index' as const, 'checkpoint' as const, 'month' as const),
      how: fc.constantFrom(...DAMAGE),
      at,
    }),
  },
  { weight: 4, arbitrary: resampleEvent },
  { weight: 3, arbitrary: plainResample },
);

/** A history of a lake: it begins with some bars, and silver of them. */
export const arbitraryEvents: fc.Arbitrary<readonly LakeEvent[]> = fc
  .tuple(fc.array(begin, { minLength: 1, maxLength: 3 }), plainResample, fc.array(lakeEvent, { maxLength: 14 }))
  .map(([first, run, events]) => [...first, run, ...events]);

/** A lake that things happen to, and remembers what there was. */
export interface EventfulLake {
  readonly store: ObjectStore;
  play(event: LakeEvent): Promise<void>;
}

export function eventfulLake(inner: ObjectStore): EventfulLake {
  const past = new Map<string, Uint8Array[]>();
  const store: ObjectStore = {
    ...inner,
    put(key, body, call) {
      past.set(key, [...(past.get(key) ?? []), body.slice()]);
      return inner.put(key, body, call);
    },
  };
  let written = 0;
  let isMonthDamaged = false;

  /** Bars as nobody else has; every third without vwap. */
  const newBars = (sessions: readonly number[]): Bars => {
    const bars = allocateBars(sessions.length, { vwap: ++written % 3 > 0 });
    sessions.forEach((session, i) => {
      const low = 1 + ((written * 37 + i * 7) % 1000) / 8;
      [bars.session[i], bars.low[i], bars.open[i], bars.close[i], bars.high[i]] = [
        session,
        low,
        low + 1,
        low + 2,
        low + 3,
      ];
      bars.volume[i] = written * 100 + i;
      if (bars.vwap) bars.vwap[i] = low + 0.5;
    });
    return bars;
  };
  const bodyOf = async (name: string) => (await orNone(inner.get(dataKey(name))))?.body;
  const barsOf = async (name: string): Promise<Bars | undefined> => {
    const body = await bodyOf(name);
    return body && decodeBars(body, name, name).bars;
  };
  const consolidateAll = async (options: {
    readonly mode?: 'full' | 'incremental';
    readonly retentionDays: number;
  }) => {
    const { failed } = await consolidate(store, { ...options, now: () => NOW });
    if (failed.length > 0) throw new Error(JSON.stringify(failed));
  };
  const bring = async (name: string, bars: Bars, by: Way): Promise<void> => {
    if (by === 'import') await consolidateSymbol(store, await listSymbol(store, name), { imported: bars });
    else await writeDaily(store, name, bars);
  };
  const resampleOrCrash = async ({
    options,
    crashAt,
    unreadable,
  }: Extract<LakeEvent, { kind: 'resample' }>): Promise<void> => {
    let puts = 0;
    const crash = new Error('crash');
    const crashing: ObjectStore = {
      ...store,
      get: (key, call) =>
        unreadable !== undefined && key === dataKey(unreadable)
          ? Promise.reject(new BatchLayerError('CorruptObject', `${key}: cannot be read now`))
          : store.get(key, call),
      put: (key, body, call) => (++puts >= crashAt ? Promise.reject(crash) : store.put(key, body, call)),
    };
    try {
      const { failed } = await resample(crashing, { intervals: EVENT_INTERVALS, ...options });
      const isExpected = ({ symbol, code }: FailedSymbol) =>
        symbol === unreadable || (code === 'NotFound' && options.symbols !== undefined);
      if (!failed.every(isExpected)) throw new Error(JSON.stringify(failed));
    } catch (error) {
      // Of a damaged file with groups that it cannot make, a run over some symbols, or where one cannot be read, says so.
      const isPartial = options.symbols !== undefined || unreadable !== undefined;
      const isRefused = hasCode(error, 'CorruptObject') && isPartial && isMonthDamaged;
      if (error !== crash && !isRefused) throw error;
    }
  };
  const damage = async ({ what, how, at }: Extract<LakeEvent, { kind: 'damage' }>): Promise<void> => {
    const keys =
      what === 'index'
        ? [MANIFEST_KEY, RECENT_BARS_KEY]
        : what === 'checkpoint'
          ? EVENT_INTERVALS.map((interval) => checkpointKey(interval))
          : [...past.keys()].filter((key) => key.startsWith('silver/'));
    const key = keys[at % Math.max(keys.length, 1)];
    const found = key === undefined ? undefined : await orNone(inner.get(key));
    if (key === undefined || (found === undefined && how !== 'older')) return;
    if (what === 'month') isMonthDamaged = true;
    const versions = past.get(key) ?? [];
    if (how === 'delete') await inner.delete(key);
    else if (how === 'older') {
      if (versions.length > 0) await inner.put(key, versions[(at >> 4) % versions.length]!);
      // A damaged checkpoint is refused; that is tested elsewhere.
    } else if (what === 'checkpoint') await inner.delete(key);
    // Of a month file that is the committed one by its footer, the bytes are not read: verify does.
    else if (how === 'truncate' || what === 'month')
      await inner.put(key, found!.body.subarray(0, (found!.body.length * at) / 1000));
    else {
      const body = found!.body.slice();
      body[Math.floor((body.length * at) / 1000)]! ^= 1 << (at % 8);
      await inner.put(key, body);
    }
  };

  const play = async (event: LakeEvent): Promise<void> => {
    switch (event.kind) {
      case 'begin': {
        const { symbol: name, at: first, bars: count } = event;
        if (await bodyOf(name)) return;
        const sessions = Array.from({ length: count }, (_, i) => START + (first % 60) + i * (1 + (first % 3)));
        return bring(name, newBars(sessions), 'import');
      }
      case 'append':
        for (const [i, name] of SYMBOLS.entries()) {
          const last = (await barsOf(name))?.session.at(-1);
          if (last === undefined || (event.stays >> i) & 1) continue;
          const sessions = Array.from({ length: event.bars }, (_, k) => last + (k + 1) * event.gap);
          await bring(name, newBars(sessions), event.way);
        }
        return event.way === 'daily' ? consolidateAll({ retentionDays: 100 }) : undefined;
      case 'late':
      case 'correct': {
        const { symbol: name, at: place, way: by, kind } = event;
        const session = (await barsOf(name))?.session;
        if (!session) return;
        const known = session[place % session.length]!;
        // The day before a bar: before the first, in a gap, or another bar's.
        await bring(name, newBars([kind === 'correct' ? known : known - 1]), by);
        return by === 'daily' ? consolidateAll({ retentionDays: 100 }) : undefined;
      }
      case 'shuffled':
        for (const day of event.at) {
          await bring(event.symbol, newBars([START + day]), 'daily');
          if (day % 2 === 0) await consolidateAll({ retentionDays: 100 });
        }
        return consolidateAll({ retentionDays: 100 });
      case 'twice': {
        const bars = await barsOf(event.symbol);
        if (!bars) return;
        const row = event.at % bars.session.length;
        for (let i = 0; i < 2; i++) await writeDaily(store, event.symbol, sliceBars(bars, row, row + 1));
        return consolidateAll({ retentionDays: 100 });
      }
      case 'remove': {
        const bars = await barsOf(event.symbol);
        if (!bars || bars.session.length === 1) return;
        const row = event.at % bars.session.length;
        const rest = mergeBars(sliceBars(bars, 0, row), sliceBars(bars, row + 1, bars.session.length));
        // By whoever knows of Parquet and not of this library's metadata.
        await store.put(dataKey(event.symbol), encodeBars(event.symbol, rest).bytes);
        return;
      }
      case 'restore': {
        const versions = past.get(dataKey(event.symbol)) ?? [];
        if (versions.length === 0) return;
        await store.put(dataKey(event.symbol), versions[event.at % versions.length]!);
        const { session } = (await barsOf(event.symbol))!;
        const sessions = Array.from({ length: event.at % 7 }, (_, i) => session.at(-1)! + i + 1);
        return sessions.length > 0 ? bring(event.symbol, newBars(sessions), 'import') : undefined;
      }
      case 'gone':
        for await (const { key } of inner.list(`bronze/raw_ohlcv/symbol=${event.symbol}/`)) await inner.delete(key);
        return;
      case 'consolidate':
        return consolidateAll(event);
      case 'damage':
        return damage(event);
      case 'resample':
        return resampleOrCrash(event);
    }
  };
  return { store, play };
}
