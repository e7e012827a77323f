import { z } from 'zod';
import { BatchLayerError, hasCode } from '../errors.ts';
import { parseJson } from '../json.ts';
import { digestText } from '../lake/digest.ts';
import { checkpointKey } from '../lake/keys.ts';
import { type ObjectStore, orNone, type StoreCall } from '../lake/store.ts';
import { isSymbol } from '../symbol.ts';

/** A century of months and every symbol missing are less than half of it. */
const MAX_BYTES = 2 * 2 ** 20;
const MAX_ISSUES = 3;
const MAX_DESCRIPTION = 500;
const hex16 = z.string().regex(/^[0-9a-f]{16}$/);
const date = z.iso.date();

const document = z.strictObject({
  version: z.literal(2),
  interval: z.int().min(1),
  /** Fencing number: raised by every run that begins. */
  epoch: z.int().min(1),
  /** `running`: begun and not (yet) committed; the figures below are those of the last commit. */
  state: z.enum(['running', 'committed']),
  bars: z.int().min(0),
  groups: z.int().min(0),
  firstDate: date.nullable(),
  lastDate: date.nullable(),
  /** Symbols that could not be read: their groups are those of an earlier run, or none. */
  missing: z.array(z.string().refine(isSymbol)),
  /** Month files by month (YYYYMM). */
  files: z.record(
    z.string().regex(/^\d{6}$/),
    z.strictObject({ rows: z.int().min(1), digest: hex16, etag: z.string().min(1).max(200) }),
  ),
  /** Of all the rest: {@link digestOf}. */
  digest: hex16,
});

/** State of one interval's silver: a readable JSON document. */
export type Checkpoint = Omit<z.infer<typeof document>, 'digest'>;
export type MonthFile = Checkpoint['files'][string];

/** A claim on an interval: runs with a lower epoch are fenced off from now on. */
export interface Claim {
  readonly checkpoint: Checkpoint;
  readonly etag: string;
}

/**
 * Reads an interval's checkpoint.
 *
 * @returns `undefined` where there is none
 * @throws BatchLayerError `CorruptObject` where it is damaged or of an unknown version
 */
export async function readCheckpoint(
  store: ObjectStore,
  interval: number,
  call?: StoreCall,
): Promise<Claim | undefined> {
  const key = checkpointKey(interval);
  const object = await orNone(store.get(key, call));
  if (object === undefined) return undefined;
  try {
    if (object.body.length > MAX_BYTES) throw new Error(`${object.body.length} bytes: expected ${MAX_BYTES} at most`);
    const text = new TextDecoder('utf-8', { fatal: true }).decode(object.body);
    const { digest, ...checkpoint } = document.parse(parseJson(text));
    if (digest !== digestOf(checkpoint)) throw new Error(`digest ${digest}: expected ${digestOf(checkpoint)}`);
    if (checkpoint.interval !== interval) throw new Error(`of interval ${checkpoint.interval}: expected ${interval}`);
    return { checkpoint, etag: object.etag };
  } catch (error) {
    throw new BatchLayerError(
      'CorruptObject',
      `${key}: damaged, or of another version of this library: ${describe(error)}; run resample with --force-full to rebuild it`,
      { cause: error },
    );
  }
}

/**
 * Commit point: the checkpoint, over the version this run claimed.
 *
 * @throws BatchLayerError `Fenced` where another run has claimed the interval meanwhile
 */
export async function commitCheckpoint(
  store: ObjectStore,
  claim: Claim,
  figures: Omit<Checkpoint, 'version' | 'interval' | 'epoch' | 'state'>,
  { signal }: StoreCall = {},
): Promise<void> {
  try {
    const checkpoint: Checkpoint = { ...claim.checkpoint, ...figures, state: 'committed' };
    await putCheckpoint(store, checkpoint, { ifMatch: claim.etag, signal });
  } catch (error) {
    if (!hasCode(error, 'Conflict')) throw error;
    throw fenced(checkpointKey(claim.checkpoint.interval), claim.checkpoint.epoch, error);
  }
}

/**
 * Checks that a run's claim still stands.
 *
 * @throws BatchLayerError `Fenced` where another run has claimed the interval
 */
export async function checkClaim(store: ObjectStore, { checkpoint, etag }: Claim, call?: StoreCall): Promise<void> {
  const key = checkpointKey(checkpoint.interval);
  if ((await orNone(store.head(key, call)))?.etag !== etag) throw fenced(key, checkpoint.epoch);
}

/** The error of a run that another one has taken over from. */
export function fenced(key: string, epoch: number, cause?: unknown): BatchLayerError {
  return new BatchLayerError('Fenced', `${key}: a run after epoch ${epoch} took over; this one stops`, { cause });
}

/** Writes a checkpoint under a condition. */
export function putCheckpoint(
  store: ObjectStore,
  checkpoint: Checkpoint,
  call: StoreCall & { readonly ifMatch?: string; readonly ifNoneMatch?: '*' },
): Promise<string> {
  return store.put(checkpointKey(checkpoint.interval), encodeCheckpoint(checkpoint), call);
}

/** A checkpoint as it is stored: JSON, with a digest. */
export function encodeCheckpoint(checkpoint: Checkpoint): Uint8Array {
  const sealed = { ...checkpoint, digest: digestOf(checkpoint) };
  return new TextEncoder().encode(`${JSON.stringify(sealed, undefined, 1)}\n`);
}

/** Digest of what a checkpoint says, in whatever order and layout. */
function digestOf(checkpoint: Checkpoint): string {
  return digestText(JSON.stringify(sortKeys(checkpoint)));
}

function sortKeys(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.entries(value)
    .sort()
    .map(([key, entry]) => [key, sortKeys(entry)]);
}

/** The checkpoint before the first run. */
export function emptyCheckpoint(interval: number): Checkpoint {
  const figures = { bars: 0, groups: 0, firstDate: null, lastDate: null, missing: [], files: {} };
  return { version: 2, interval, epoch: 1, state: 'running', ...figures };
}

function describe(error: unknown): string {
  if (!(error instanceof z.ZodError)) return String(error);
  // Of a document of another kind there are as many issues as it has entries.
  const first = new z.ZodError(error.issues.slice(0, MAX_ISSUES));
  return z.prettifyError(first).replaceAll('\n', ' ').slice(0, MAX_DESCRIPTION);
}
