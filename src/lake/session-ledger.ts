import { hasCode } from '../errors.ts';
import { type Columns, columnOf, decodeUtf8, encodeUtf8, type TableSchema, type Utf8Values } from './columns.ts';
import { SESSION_LEDGER_KEY } from './keys.ts';
import { encodeTable } from './parquet-encode.ts';
import { readIndex } from './read-index.ts';
import { conditionOf, type ObjectStore, type StoreCall } from './store.ts';

/** Columns of the session ledger. */
export const SESSION_LEDGER_SCHEMA: TableSchema = [
  { name: 'date', type: 'date' },
  { name: 'source', type: 'utf8' },
  { name: 'digest', type: 'utf8' },
  { name: 'rows', type: 'int32' },
  { name: 'missing', type: 'utf8' },
  { name: 'landing', type: 'utf8' },
  { name: 'commits', type: 'int32' },
  { name: 'asked_at', type: 'timestamp' },
  { name: 'last_updated', type: 'timestamp' },
];

/** What is known of a session: an index of what bronze has, never the truth itself. */
export interface LedgerEntry {
  readonly session: number;
  /** Where its bars came from. */
  readonly source: string;
  /** Of the session file whose bars are all in bronze but for those that are missing; '' where that is not known. */
  readonly digest: string;
  readonly rows: number;
  /** Symbols whose bar could not be stored, or was none. */
  readonly missing: readonly string[];
  /** Runs that are bringing bars of the session into bronze, or died over it, and since when: `name@milliseconds`. */
  readonly landing: readonly string[];
  /** When the source was asked for the answer, in milliseconds since 1970-01-01. */
  readonly askedAt: number;
  /** How often a run has told that its bars are there. */
  readonly commits: number;
  /** Milliseconds since 1970-01-01. */
  readonly updatedAt: number;
}

export type SessionLedger = ReadonlyMap<number, LedgerEntry>;

/** What a run has brought into bronze. */
export type Landed = Omit<LedgerEntry, 'landing' | 'commits' | 'updatedAt'>;

const UNKNOWN: Omit<LedgerEntry, 'session' | 'updatedAt'> = {
  source: '',
  digest: '',
  rows: 0,
  missing: [],
  landing: [],
  commits: 0,
  askedAt: 0,
};
const MAX_ATTEMPTS = 20;
/** No run takes longer from a claim to its last write. */
const CLAIM_MS = 3_600_000;

/** Reads the ledger; one that is missing or damaged is empty: what it does not tell of is compared bar by bar. */
export async function readSessionLedger(store: ObjectStore, call?: StoreCall): Promise<SessionLedger> {
  return (await readVersion(store, call)).entries;
}

/**
 * Tells that a run is about to bring bars of these sessions into bronze: until it has told that they are there, nobody takes
 * the sessions for complete.
 *
 * @param run a name that no other run has
 * @returns the sessions as they were
 */
export function claimSessions(
  store: ObjectStore,
  run: string,
  sessions: readonly number[],
  { now, ...call }: StoreCall & { readonly now: () => number },
): Promise<SessionLedger> {
  return updateLedger(store, call, (entries) => {
    for (const session of sessions) {
      const entry = entries.get(session) ?? { session, ...UNKNOWN };
      entries.set(session, { ...entry, landing: [...entry.landing, claimOf(run, now())], updatedAt: now() });
    }
  });
}

/**
 * Tells that bars are in bronze. Where another run has begun with a session since this one claimed it, or has ended, nothing
 * tells whose bars are there. One that began before may have died, or be about to write an older answer: its claim stays for
 * an hour, and the session is compared again, unless no other answer is to be expected.
 *
 * @param claimed the sessions as {@link claimSessions} found them
 * @param settled sessions whose bars are no longer corrected: all runs bring the same
 * @returns the sessions that met another run
 */
export async function commitSessions(
  store: ObjectStore,
  run: string,
  landed: readonly Landed[],
  {
    claimed,
    settled,
    now,
    ...call
  }: StoreCall & {
    readonly claimed: SessionLedger;
    readonly settled: (session: number) => boolean;
    readonly now: () => number;
  },
): Promise<number[]> {
  let contested: number[] = [];
  await updateLedger(store, call, (entries) => {
    contested = [];
    for (const entry of landed) {
      const { landing, commits } = entries.get(entry.session) ?? UNKNOWN;
      const before = claimed.get(entry.session) ?? UNKNOWN;
      const others = landing.filter((claim) => !isClaimOf(claim, run));
      const isAlone = commits === before.commits && others.every((claim) => before.landing.includes(claim));
      const isContested = others.length === landing.length || !isAlone;
      if (isContested) contested.push(entry.session);
      entries.set(entry.session, {
        ...entry,
        ...(isContested ? { digest: '' } : {}),
        landing: others.filter((claim) => !settled(entry.session) && now() - timeOf(claim) < CLAIM_MS),
        commits: commits + 1,
        updatedAt: now(),
      });
    }
  });
  return contested;
}

function claimOf(run: string, epochMs: number): string {
  return `${run}@${epochMs}`;
}

function isClaimOf(claim: string, run: string): boolean {
  return claim.startsWith(`${run}@`);
}

function timeOf(claim: string): number {
  return Number(claim.slice(claim.lastIndexOf('@') + 1));
}

/** Whether everything of the session that can be in bronze is there, as far as the ledger knows. */
export function isLanded(entry: LedgerEntry | undefined): entry is LedgerEntry {
  return entry !== undefined && entry.digest !== '' && entry.landing.length === 0;
}

async function updateLedger(
  store: ObjectStore,
  { signal }: StoreCall,
  change: (entries: Map<number, LedgerEntry>) => void,
): Promise<SessionLedger> {
  for (let attempt = 1; ; attempt++) {
    const { entries: before, etag } = await readVersion(store, { signal });
    const entries = new Map(before);
    change(entries);
    const sorted = [...entries.values()].sort((a, b) => a.session - b.session);
    const { bytes } = encodeTable(SESSION_LEDGER_SCHEMA, encodeEntries(sorted));
    try {
      await store.put(SESSION_LEDGER_KEY, bytes, { ...conditionOf(etag), signal });
      return before;
    } catch (error) {
      if (!hasCode(error, 'Conflict') || attempt === MAX_ATTEMPTS) throw error;
    }
  }
}

async function readVersion(
  store: ObjectStore,
  call?: StoreCall,
): Promise<{ readonly entries: SessionLedger; readonly etag: string | undefined }> {
  const { columns, etag } = await readIndex(store, SESSION_LEDGER_KEY, SESSION_LEDGER_SCHEMA, call);
  return { entries: columns ? decodeEntries(columns) : new Map(), etag };
}

function encodeEntries(entries: readonly LedgerEntry[]): Columns {
  return {
    length: entries.length,
    values: [
      Int32Array.from(entries, (entry) => entry.session),
      encodeUtf8(entries.map((entry) => entry.source)),
      encodeUtf8(entries.map((entry) => entry.digest)),
      Int32Array.from(entries, (entry) => entry.rows),
      encodeUtf8(entries.map((entry) => entry.missing.join())),
      encodeUtf8(entries.map((entry) => entry.landing.join())),
      Int32Array.from(entries, (entry) => entry.commits),
      Float64Array.from(entries, (entry) => entry.askedAt),
      Float64Array.from(entries, (entry) => entry.updatedAt),
    ],
  };
}

function decodeEntries(columns: Columns): Map<number, LedgerEntry> {
  const strings = (name: string) => decodeUtf8(columnOf<Utf8Values>(SESSION_LEDGER_SCHEMA, columns, name));
  const numbers = (name: string) => columnOf<Int32Array | Float64Array>(SESSION_LEDGER_SCHEMA, columns, name);
  const [sources, digests, missing, landing] = ['source', 'digest', 'missing', 'landing'].map(strings) as [
    ...[string[], string[], string[], string[]],
  ];
  const list = (joined: string) => (joined === '' ? [] : joined.split(','));
  return new Map(
    Array.from(numbers('date'), (session, i) => [
      session,
      {
        session,
        source: sources[i]!,
        digest: digests[i]!,
        rows: numbers('rows')[i]!,
        missing: list(missing[i]!),
        landing: list(landing[i]!),
        commits: numbers('commits')[i]!,
        askedAt: numbers('asked_at')[i]!,
        updatedAt: numbers('last_updated')[i]!,
      },
    ]),
  );
}
