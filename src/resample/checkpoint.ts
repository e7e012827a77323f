import { z } from 'zod';
import { BatchLayerError } from '../errors.ts';
import { parseJson } from '../json.ts';
import { digestText } from '../lake/digest.ts';
import { checkpointKey } from '../lake/keys.ts';
import { type Shard, sameShard, WHOLE } from '../lake/shard.ts';
import { type ObjectStore, orNone, type StoreCall } from '../lake/store.ts';
import { isSymbol } from '../symbol.ts';

/** A century of months and 50,000 symbols are less than half of it. */
const MAX_BYTES = 16 * 2 ** 20;
const MAX_ISSUES = 3;
const MAX_DESCRIPTION = 500;
const hex16 = z.string().regex(/^[0-9a-f]{16}$/);
const date = z.iso.date();
const month = z.string().regex(/^\d{6}$/);
const symbol = z.string().refine(isSymbol);

const document = z.strictObject({
  version: z.literal(3),
  interval: z.int().min(1),
  /** Which part of all symbols it is about: everything is shard 0 of 1. */
  shard: z.strictObject({ index: z.int().min(0), count: z.int().min(1) }),
  /** Fencing number: raised by every run that begins. */
  epoch: z.int().min(1),
  /** `running`: begun and not (yet) committed; what follows is that of the last commit, but for `writing`. */
  state: z.enum(['running', 'committed']),
  bars: z.int().min(0),
  groups: z.int().min(0),
  firstDate: date.nullable(),
  lastDate: date.nullable(),
  /** Symbols that could not be read: their groups are those of an earlier run, or none. */
  missing: z.array(symbol),
  /** Months that are behind, because a run was told not to rewrite them: the next one that may does. */
  deferred: z.array(month),
  /** Months that runs which have not committed may be writing. */
  writing: z.array(month),
  /** Month files by month (YYYYMM). */
  files: z.record(month, z.strictObject({ rows: z.int().min(1), digest: hex16, etag: z.string().min(1).max(200) })),
  /** What the groups were made of: bars, first and last session, and digest of each symbol's `data.parquet`. */
  symbols: z.record(symbol, z.string().regex(/^[1-9]\d* \d{4}-\d{2}-\d{2} \d{4}-\d{2}-\d{2} [0-9a-f]{16}$/)),
  /** Of all the rest: {@link digestOf}. */
  digest: hex16,
});

/** State of one interval's silver, or of a shard of it: a readable JSON document. */
export type Checkpoint = Omit<z.infer<typeof document>, 'digest'>;
export type MonthFile = Checkpoint['files'][string];

/** A checkpoint, and the version it was read from or written as. */
export interface StoredCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly etag: string;
}

/**
 * Reads the checkpoint of an interval, or of a shard of it.
 *
 * @returns `undefined` where there is none
 * @throws BatchLayerError `CorruptObject` where it is damaged or of an unknown version
 */
export async function readCheckpoint(
  store: ObjectStore,
  interval: number,
  { shard = WHOLE, ...call }: StoreCall & { readonly shard?: Shard } = {},
): Promise<StoredCheckpoint | undefined> {
  const key = checkpointKey(interval, shard);
  const object = await orNone(store.get(key, call));
  if (object === undefined) return undefined;
  try {
    if (object.body.length > MAX_BYTES) throw new Error(`${object.body.length} bytes: expected ${MAX_BYTES} at most`);
    const text = new TextDecoder('utf-8', { fatal: true }).decode(object.body);
    const { digest, ...checkpoint } = document.parse(parseJson(text));
    if (digest !== digestOf(checkpoint)) throw new Error(`digest ${digest}: expected ${digestOf(checkpoint)}`);
    if (checkpoint.interval !== interval) throw new Error(`of interval ${checkpoint.interval}: expected ${interval}`);
    if (!sameShard(checkpoint.shard, shard)) throw new Error(`of another shard (${checkpoint.shard.index})`);
    return { checkpoint, etag: object.etag };
  } catch (error) {
    throw new BatchLayerError(
      'CorruptObject',
      `${key}: damaged, or of another version of this library: ${describe(error)}; run resample with --force-full to rebuild it`,
      { cause: error },
    );
  }
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
  return store.put(checkpointKey(checkpoint.interval, checkpoint.shard), encodeCheckpoint(checkpoint), call);
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
export function emptyCheckpoint(interval: number, shard: Shard = WHOLE): Checkpoint {
  const figures = { bars: 0, groups: 0, firstDate: null, lastDate: null };
  const lists = { missing: [], deferred: [], writing: [], files: {}, symbols: {} };
  return { version: 3, interval, shard, epoch: 0, state: 'committed', ...figures, ...lists };
}

function describe(error: unknown): string {
  if (!(error instanceof z.ZodError)) return String(error);
  // Of a document of another kind there are as many issues as it has entries.
  const first = new z.ZodError(error.issues.slice(0, MAX_ISSUES));
  return z.prettifyError(first).replaceAll('\n', ' ').slice(0, MAX_DESCRIPTION);
}
