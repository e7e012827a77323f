import { hasCode } from '../../src/errors.ts';
import { BRONZE_SCHEMA, columnsToBars, encodeBars } from '../../src/lake/bronze.ts';
import { consolidate } from '../../src/lake/consolidate.ts';
import { splitFooter } from '../../src/lake/footer.ts';
import { parseBronzeKey } from '../../src/lake/keys.ts';
import { fingerprintDaily, readManifest, updateManifest } from '../../src/lake/manifest.ts';
import { decodeRowGroup, decodeTable, metadataOf } from '../../src/lake/parquet-decode.ts';
import type { ObjectStore, StoredObject } from '../../src/lake/store.ts';
import { type Deletion, orNone } from '../../src/lake/store.ts';
import { listSymbol, listSymbols, type SymbolFiles } from '../../src/lake/symbol-files.ts';
import { resample } from '../../src/resample/resample.ts';
import { sessionAt } from '../../src/session.ts';
import type { Variant } from './interleaving.ts';
import { JOBS } from './jobs.ts';

type ConsolidateOptions = NonNullable<Parameters<typeof consolidate>[1]>;

const DAY_MS = 86_400_000;

/** A variant of the jobs that is wrong, and how that shows. */
export interface PlantedBug extends Variant {
  readonly shows: RegExp;
}

/** Bugs that each would lose or spoil something; the harness has to find every one of them. */
export const PLANTED_BUGS: Readonly<Record<string, PlantedBug>> = {
  'no If-Match': {
    shows: /^I3|^I8/,
    bug: (store) => ({
      ...store,
      put: (key, body, { ifMatch: _, ...call } = {}) => store.put(key, body, call),
    }),
  },
  'blind overwrite': {
    shows: /^I3/,
    jobs: {
      writeDaily: (store, symbol, bars, call) => JOBS.writeDaily(withoutConditions(store), symbol, bars, call),
    },
  },
  'delete before verify': {
    shows: /^I4 .* not applied/,
    jobs: { consolidate: (store, options = {}) => consolidate(deletesFirst(store, options), options) },
  },
  'unconditional delete': {
    shows: /^I4 .* not applied/,
    bug: (store) => ({
      ...store,
      deleteAll: async (deletions, call) =>
        store.deleteAll(await Promise.all(deletions.map((one) => versionOfNow(store, one))), call),
    }),
  },
  'watermark before data': {
    shows: /^I3/,
    jobs: {
      async consolidate(store, options = {}) {
        const { entries } = await readManifest(store, options);
        const behind = await choose(
          store,
          options,
          ({ symbol, daily }) => entries.get(symbol)?.dailyFingerprint !== fingerprintDaily(daily),
        );
        for (const { symbol, daily } of behind) {
          const entry = { symbol, firstSession: 0, lastSession: 0, rows: 0, appendedTo: [] };
          const version = { digest: '', etag: '', dailyFingerprint: fingerprintDaily(daily), updatedAt: 0 };
          await updateManifest(store, [{ ...entry, ...version }], options);
        }
        return consolidate(store, { ...options, mode: 'full', symbols: behind.map(({ symbol }) => symbol) });
      },
    },
  },
  'manifest trusted over objects': {
    shows: /^I3/,
    jobs: {
      async consolidate(store, options = {}) {
        const { entries } = await readManifest(store, options);
        const behind = await choose(
          store,
          options,
          ({ symbol, daily }) => !((entries.get(symbol)?.lastSession ?? 0) >= (daily.at(-1)?.session ?? 1)),
        );
        return consolidate(store, { ...options, symbols: behind.map(({ symbol }) => symbol) });
      },
    },
  },
  'last file wins': {
    shows: /^I3/,
    jobs: { consolidate: (store, options) => consolidate(withChangedData(store, forgetApplied), options) },
  },
  'digest ignored': { shows: /^I3|nobody wrote/, bug: (store) => withChangedData(store, ignoreDigest) },
  '412 taken as lost though own': {
    shows: /told to be unchanged|took over/,
    wireBug: (store) => ({
      ...store,
      async head(key, call) {
        const { writeId: _, ...info } = await store.head(key, call);
        return info;
      },
    }),
  },
  'epoch skipped': {
    shows: /^I8|took over/,
    jobs: { resample: (store, options) => resample(claimsNothing(store), options) },
  },
  'retry without cap': { shows: /^I14 .* is sent 7 times/, retry: { maxAttempts: Number.POSITIVE_INFINITY } },
  'no time-out': { shows: /^I14 .* took/, retry: { attemptTimeoutMs: 30 * DAY_MS } },
  'abort ignored': {
    shows: /^I14 .* after SIGTERM/,
    bug: (store) => ({
      ...store,
      put: (key, body, { signal: _, ...call } = {}) => store.put(key, body, call),
      deleteAll: (deletions, { signal: _, ...call } = {}) => store.deleteAll(deletions, call),
    }),
  },
  'UTC schedule': {
    shows: /^I4 .* deletes .* on /,
    jobs: {
      consolidate: (store, { now = Date.now, ...options } = {}) =>
        consolidate(store, { ...options, now: () => noonOfUtcDate(now()) }),
    },
  },
};

function withoutConditions(store: ObjectStore): ObjectStore {
  return {
    ...store,
    put: (key, body, { ifMatch: _, ifNoneMatch: __, ...call } = {}) => store.put(key, body, call),
  };
}

function deletesFirst(store: ObjectStore, { now = Date.now, retentionDays = 30 }: ConsolidateOptions): ObjectStore {
  return {
    ...store,
    async put(key, body, call) {
      const { symbol, session } = parseBronzeKey(key) ?? {};
      if (symbol !== undefined && session === undefined) {
        const { daily } = await listSymbol(store, symbol);
        const old = daily.filter((file) => file.session < sessionAt(now()) - retentionDays);
        await store.deleteAll(old.map((file) => ({ key: file.key, ifMatch: file.etag })));
      }
      return store.put(key, body, call);
    },
  };
}

// The condition holds whatever there is.
async function versionOfNow(store: ObjectStore, deletion: Deletion): Promise<Deletion> {
  const found = await orNone(store.head(deletion.key));
  return found ? { key: deletion.key, ifMatch: found.etag } : deletion;
}

async function choose(
  store: ObjectStore,
  { signal }: ConsolidateOptions,
  isBehind: (files: SymbolFiles) => boolean,
): Promise<SymbolFiles[]> {
  const chosen: SymbolFiles[] = [];
  for await (const files of listSymbols(store, { signal })) if (isBehind(files)) chosen.push(files);
  return chosen;
}

type Change = (found: StoredObject, symbol: string, key: string) => Promise<StoredObject>;

function withChangedData(store: ObjectStore, change: Change): ObjectStore {
  return {
    ...store,
    async get(key, call) {
      const found = await store.get(key, call);
      const symbol = parseBronzeKey(key)?.symbol;
      return symbol === undefined ? found : change(found, symbol, key);
    },
  };
}

const forgetApplied: Change = async ({ body, etag }, symbol, key) => {
  const { columns, metadata } = decodeTable(BRONZE_SCHEMA, body, key);
  const { changes = '[]', write } = metadata;
  const known = write === undefined ? { changes, applied: '{}' } : { write };
  return { etag, body: encodeBars(symbol, columnsToBars(columns), { metadata: known }).bytes.slice() };
};

// As if nobody had looked at the digest: what was decoded is passed on as if it were right.
const ignoreDigest: Change = async ({ body, etag }, symbol, key) => {
  try {
    const footer = splitFooter(body, key);
    const read = async (start: number, end: number) => body.subarray(start, end);
    const columns = await decodeRowGroup(BRONZE_SCHEMA, footer.rowGroups[0]!, read, key);
    const { rows: _, digest: __, column_digests: ___, metadata_digest: ____, ...metadata } = metadataOf(footer);
    return { etag, body: encodeBars(symbol, columnsToBars(columns), { metadata }).bytes.slice() };
  } catch (error) {
    if (!hasCode(error, 'CorruptObject')) throw error;
    return { etag, body };
  }
};

function claimsNothing(store: ObjectStore): ObjectStore {
  return {
    ...store,
    async put(key, body, call) {
      const isClaim = key.endsWith('checkpoint.json') && new TextDecoder().decode(body).includes('"running"');
      return isClaim && call?.ifMatch !== undefined ? call.ifMatch : store.put(key, body, call);
    },
  };
}

function noonOfUtcDate(now: number): number {
  return now - (now % DAY_MS) + 17 * 3_600_000;
}
