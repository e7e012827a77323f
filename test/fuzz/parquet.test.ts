import type { RecordBatch } from 'apache-arrow';
import { describe, expect, test, vi } from 'vitest';
import { hasCode } from '../../src/errors.ts';
import { fromRecordBatch } from '../../src/lake/arrow.ts';
import { BRONZE_SCHEMA } from '../../src/lake/bronze.ts';
import { type Columns, concatColumns, type TableSchema } from '../../src/lake/columns.ts';
import type * as Digest from '../../src/lake/digest.ts';
import type * as FileDigest from '../../src/lake/file-digest.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { decodeTable, decodeViews } from '../../src/lake/parquet-decode.ts';
import { readBars } from '../../src/lake/read-bars.ts';
import { SILVER_SCHEMA } from '../../src/lake/silver.ts';
import { MAX_WASM_BYTES, wasmBytes } from '../../src/lake/wasm.ts';
import { fuzz, RUNS } from './fuzz.ts';
import { mutateParquet } from './mutate-parquet.ts';
import type { Random } from './random.ts';
import { validFiles } from './valid-files.ts';

// Invariant I12: a damaged object gives CorruptObject or the rows that were written, never others.

const KEY = 'fuzz/file.parquet';
const MAX_RSS_BYTES = MAX_WASM_BYTES + 2 ** 30;

/** Bugs to plant: digests are computed, and compared with nothing. */
const planted = vi.hoisted(() => ({ isDigestIgnored: false, isFileDigestIgnored: false }));
vi.mock('../../src/lake/digest.ts', async (original) => {
  const digest = await original<typeof Digest>();
  const createDigester = (schema: TableSchema) => {
    const digester = digest.createDigester(schema);
    const finish = () => ({ ...digester.finish(), ...(planted.isDigestIgnored ? { columns: {} } : {}) });
    return { ...digester, finish };
  };
  return { ...digest, createDigester };
});

vi.mock('../../src/lake/file-digest.ts', async (original) => {
  const digest = await original<typeof FileDigest>();
  const checkFileDigest: typeof digest.checkFileDigest = (file, footer, place) =>
    planted.isFileDigestIgnored ? footer.metadata.has(digest.FILE_DIGEST) : digest.checkFileDigest(file, footer, place);
  return { ...digest, checkFileDigest };
});

const files = validFiles();
/** Columns of bars and groups both: a splice can make a whole file of the other kind. */
const SHARED = BRONZE_SCHEMA.map(({ name }) => name).filter((name) =>
  SILVER_SCHEMA.some((column) => column.name === name),
);

type Reader = (
  file: Uint8Array,
  schema: TableSchema,
  random: Random,
) => Promise<{ schema: TableSchema; columns: Columns }>;

const readWhole: Reader = async (file, schema) => ({ schema, columns: decodeTable(schema, file, KEY).columns });

const readViews: Reader = async (file, schema) =>
  decodeViews(schema, file, KEY, (columns) => ({ schema, columns: copyOf(columns) }));

function copyOf({ length, values }: Columns): Columns {
  const copies = values.map((column) =>
    'offsets' in column ? { offsets: column.offsets.slice(), bytes: column.bytes.slice() } : column.slice(),
  );
  return { length, values: copies };
}

const readStream: Reader = async (file, schema, random) => {
  const store = memoryStore();
  await store.put(KEY, file);
  const columns = random.oneIn(2) ? SHARED.filter(() => random.oneIn(3)) : undefined;
  const batches = (await readBars(store, KEY, { columns }).toArray()) as RecordBatch[];
  const read = schemaOfBatches(batches, schema);
  return {
    schema: read,
    columns: concatColumns(
      read,
      batches.map((batch) => fromRecordBatch(read, batch, KEY)),
    ),
  };
};

// Of a file that became another kind of file by a splice, the columns are that kind's.
function schemaOfBatches(batches: readonly RecordBatch[], schema: TableSchema): TableSchema {
  const names = batches[0]?.schema.names ?? [];
  const kinds = [schema, ...files.map((file) => file.schema)];
  const kind = kinds.find((columns) => names.every((name) => columns.some((column) => column.name === name)));
  return (kind ?? schema).filter(({ name }) => names.includes(name));
}

function sameValues(a: Columns['values'][number], b: Columns['values'][number]): boolean {
  if ('offsets' in a) return 'offsets' in b && sameValues(a.offsets, b.offsets) && sameValues(a.bytes, b.bytes);
  return !('offsets' in b) && a.length === b.length && a.every((value, i) => Object.is(value, b[i]));
}

function isWritten(schema: TableSchema, columns: Columns): boolean {
  return files.some((file) => {
    const of = schema.map(({ name }) => file.schema.findIndex((column) => column.name === name));
    return (
      file.columns.length === columns.length &&
      of.every((c, i) => c !== -1 && sameValues(file.columns.values[c]!, columns.values[i]!))
    );
  });
}

async function checkDamaged(read: Reader, random: Random): Promise<string> {
  const { codec, schema, bytes } = random.pick(files);
  const damaged = mutateParquet(bytes, random.pick(files).bytes, random);
  try {
    const { schema: found, columns } = await read(damaged, schema, random);
    if (!isWritten(found, columns)) throw new Error(`${codec}: other rows than were written`);
    return `${codec.toLowerCase()} as written`;
  } catch (error) {
    if (!hasCode(error, 'CorruptObject')) throw error;
    if (!error.message.includes(KEY)) throw new Error(`does not name the object: ${error.message}`);
    return `${codec.toLowerCase()} CorruptObject`;
  }
}

describe('damaged Parquet files give CorruptObject or the rows that were written, never others,', () => {
  test.each([
    ['decoded whole', readWhole],
    ['as views', readViews],
    ['as streams, of all columns and some', readStream],
  ])('%s', async (name, read) => {
    const outcomes = await fuzz(`parquet ${name}`, (random) => checkDamaged(read, random));
    // Both outcomes in all six codecs: what never happens proves nothing.
    if (RUNS >= 1000) expect(Object.keys(outcomes)).toHaveLength(12);
    expect(wasmBytes()).toBeLessThanOrEqual(MAX_WASM_BYTES);
    expect(process.memoryUsage().rss).toBeLessThan(MAX_RSS_BYTES);
  });

  test('undamaged they are as written', async () => {
    for (const { schema, bytes, columns } of files) {
      expect((await readWhole(bytes, schema, undefined as never)).columns).toEqual(columns);
      expect((await readViews(bytes, schema, undefined as never)).columns).toEqual(columns);
    }
  });
});

describe('fuzzing finds a planted bug:', () => {
  test.each([
    ['digests ignored, decoded whole', readWhole, 'isDigestIgnored'],
    ['digests ignored, as streams', readStream, 'isDigestIgnored'],
    ['digests of files ignored, decoded whole', readWhole, 'isFileDigestIgnored'],
    ['digests of files ignored, as views', readViews, 'isFileDigestIgnored'],
  ] as const)('%s', async (name, read, bug) => {
    planted[bug] = true;
    try {
      await expect(fuzz(`planted, ${name}`, (random) => checkDamaged(read, random))).rejects.toThrow(/other rows/);
    } finally {
      planted[bug] = false;
    }
  });
});
