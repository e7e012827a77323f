import type { Bars } from '../../src/bars.ts';
import { type AppliedFile, type DailyVersion, encodeConsolidated } from '../../src/lake/consolidated.ts';
import { decodeDaily, encodeDaily } from '../../src/lake/daily-file.ts';
import { dailyKey, dataKey, MANIFEST_KEY, RECENT_BARS_KEY } from '../../src/lake/keys.ts';
import { fingerprintDaily, updateManifest } from '../../src/lake/manifest.ts';
import { updateRecentBars } from '../../src/lake/recent-bars.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { type DailyFile, listSymbol } from '../../src/lake/symbol-files.ts';
import { barsOf } from './bar-values.ts';
import type { History } from './history.ts';
import type { Random } from './random.ts';

/** A small market, so that runs meet. */
export interface World {
  /** When the schedule begins. */
  readonly now: number;
  readonly symbols: readonly string[];
  /** Ascending, in days since 1970-01-01; some are older than the retention. */
  readonly sessions: readonly number[];
  /** A value that this symbol and session has not had. */
  newValue(symbol: string, session: number): number;
}

export const RETENTION_DAYS = 30;

const HOUR_MS = 3_600_000;
/** Midnights in UTC: after one change of the clocks, with one within the retention, and with none. */
const DAYS = ['2024-03-11', '2024-04-09', '2024-12-02', '2025-06-28'].map((date) => Date.parse(date));
/** In UTC: the evening before in New York, midnight there in summer, and noon. */
const HOURS = [2, 4, 17];
/** Days before the date in UTC; those over 30, or 31, are beyond the retention. Most worlds are small: they meet sooner, and again. */
const FEW_AGES = [45, 31, 30, 1];
const MANY_AGES = [45, 33, 32, 31, 30, 29, 2, 1, 0];
// One is the beginning of another, and keys sort them otherwise than names do.
const SYMBOLS = ['BRK', 'BRK.B', 'aapl'];

/** A world with between one and three symbols and two to eight sessions. */
export function randomWorld(random: Random): World {
  const midnight = random.pick(DAYS);
  const today = midnight / (24 * HOUR_MS);
  const ages = random.chance(0.9) ? random.some(FEW_AGES, 3) : random.some(MANY_AGES, 8);
  if (ages.length < 2) ages.push(ages[0] === 31 ? 45 : 31);
  const values = new Map<string, number>();
  return {
    now: midnight + random.pick(HOURS) * HOUR_MS,
    symbols: random.chance(0.85) ? ['BRK'] : random.some(SYMBOLS),
    sessions: ages.map((age) => today - age).sort((a, b) => a - b),
    newValue(symbol, session) {
      const id = `${symbol} ${session}`;
      const value = (values.get(id) ?? 0) + 1;
      values.set(id, value);
      return value;
    },
  };
}

/** Puts what was there before the schedule begins; all of it counts as acknowledged. */
export async function fillLake(store: ObjectStore, world: World, random: Random, history: History): Promise<void> {
  const write = (symbol: string, session: number): number => {
    const value = world.newValue(symbol, session);
    history.acknowledge(history.begin(symbol, session, value));
    return value;
  };
  for (const symbol of world.symbols) {
    if (random.chance(0.4)) continue;
    const bars = new Map<number, number>();
    const applied = new Map<number, AppliedFile>();
    for (const session of world.sessions) {
      const state = random.pick(['none', 'none', 'applied', 'cleaned', 'cleaned', 'imported over']);
      if (state === 'none') continue;
      const value = write(symbol, session);
      bars.set(session, state === 'imported over' ? write(symbol, session) : value);
      if (state === 'applied' || state === 'imported over') {
        applied.set(session, { ...(await putDaily(store, symbol, session, value)), on: session });
      }
    }
    if (bars.size === 0) continue;
    const consolidated = barsOf(bars);
    const { bytes, digest } = encodeConsolidated(symbol, { bars: consolidated, applied, changes: [] });
    const etag = await store.put(dataKey(symbol), bytes);
    await plantIndexes(store, symbol, { digest, etag, bars: consolidated, random });
    for (const session of world.sessions) {
      if (!bars.has(session) && random.chance(0.5)) {
        await putDaily(store, symbol, session, write(symbol, session));
      }
    }
  }
  if (!random.chance(0.1)) return;
  const damaged = new Uint8Array(random.below(200)).fill(random.below(256));
  await store.put(MANIFEST_KEY, damaged);
  if (damaged.length % 2 === 0) await store.put(RECENT_BARS_KEY, damaged);
}

async function putDaily(store: ObjectStore, symbol: string, session: number, value: number): Promise<DailyVersion> {
  const key = dailyKey(symbol, session);
  const { bytes } = encodeDaily(symbol, barsOf(new Map([[session, value]])));
  const etag = await store.put(key, bytes);
  const { digest, writes } = decodeDaily(bytes, symbol, { key, session, etag });
  return { digest, etag, writes };
}

/** A manifest, and recent bars, that are right, of an earlier day, or of another lake, or none. */
async function plantIndexes(
  store: ObjectStore,
  symbol: string,
  {
    bars,
    digest,
    etag,
    random,
  }: Pick<DailyVersion, 'digest' | 'etag'> & {
    readonly bars: Bars;
    readonly random: Random;
  },
): Promise<void> {
  const kind = random.pick(['none', 'right', 'right', 'other files', 'other data', 'other']);
  if (kind === 'none') return;
  const { daily } = await listSymbol(store, symbol);
  const others: readonly DailyFile[] = daily.slice(1);
  const entry = {
    symbol,
    firstSession: bars.session[0]!,
    lastSession: bars.session.at(-1)!,
    rows: bars.session.length,
    digest: kind === 'right' ? digest : '0123456789abcdef',
    appendedTo: kind === 'other' ? ['fedcba9876543210'] : [],
    etag: kind === 'other data' || kind === 'other' ? 'v0' : etag,
    dailyFingerprint: fingerprintDaily(kind === 'other files' || kind === 'other' ? others : daily),
    updatedAt: 0,
  };
  // Bars that nobody wrote, where they are of another version: whoever takes them makes wrong groups.
  const recent = kind === 'right' ? bars : barsOf(new Map([...bars.session].map((session) => [session, -1])));
  if (kind !== 'other files') await updateRecentBars(store, [{ symbol, digest: entry.digest, bars: recent }]);
  await updateManifest(store, [entry]);
}
