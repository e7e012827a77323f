import { type AppliedFile, type DailyVersion, encodeConsolidated } from '../../src/lake/consolidated.ts';
import { decodeDaily, encodeDaily } from '../../src/lake/daily-file.ts';
import { dailyKey, dataKey, MANIFEST_KEY } from '../../src/lake/keys.ts';
import { fingerprintDaily, updateManifest } from '../../src/lake/manifest.ts';
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
    const { bytes, digest } = encodeConsolidated(symbol, { bars: barsOf(bars), applied, generation: 0 });
    const etag = await store.put(dataKey(symbol), bytes);
    await plantManifest(store, symbol, { digest, etag, sessions: [...bars.keys()], random });
    for (const session of world.sessions) {
      if (!bars.has(session) && random.chance(0.5)) {
        await putDaily(store, symbol, session, write(symbol, session));
      }
    }
  }
  if (random.chance(0.1)) await store.put(MANIFEST_KEY, new Uint8Array(random.below(200)).fill(random.below(256)));
}

async function putDaily(store: ObjectStore, symbol: string, session: number, value: number): Promise<DailyVersion> {
  const key = dailyKey(symbol, session);
  const { bytes } = encodeDaily(symbol, barsOf(new Map([[session, value]])));
  const etag = await store.put(key, bytes);
  const { digest, writes } = decodeDaily(bytes, symbol, { key, session, etag });
  return { digest, etag, writes };
}

/** A manifest that is right, of an earlier day, or of another lake, or none. */
async function plantManifest(
  store: ObjectStore,
  symbol: string,
  {
    sessions,
    digest,
    etag,
    random,
  }: Pick<DailyVersion, 'digest' | 'etag'> & { readonly sessions: readonly number[]; readonly random: Random },
): Promise<void> {
  const kind = random.pick(['none', 'right', 'right', 'other files', 'other data', 'other']);
  if (kind === 'none') return;
  const { daily } = await listSymbol(store, symbol);
  const others: readonly DailyFile[] = daily.slice(1);
  const entry = {
    symbol,
    firstSession: sessions[0]!,
    lastSession: sessions.at(-1)!,
    rows: sessions.length,
    generation: kind === 'other' ? 7 : 0,
    digest: kind === 'right' ? digest : '0123456789abcdef',
    etag: kind === 'other data' || kind === 'other' ? 'v0' : etag,
    dailyFingerprint: fingerprintDaily(kind === 'other files' || kind === 'other' ? others : daily),
    updatedAt: 0,
  };
  await updateManifest(store, [entry]);
}
