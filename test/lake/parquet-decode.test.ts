import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { brotliCompressSync, gzipSync, constants as zlib } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { allocateBars } from '../../src/bars.ts';
import { BRONZE_SCHEMA, barsToColumns, encodeBars } from '../../src/lake/bronze.ts';
import { type ColumnSpec, concatBytes, concatColumns, encodeUtf8, type TableSchema } from '../../src/lake/columns.ts';
import { digestColumns } from '../../src/lake/digest.ts';
import { splitFooter } from '../../src/lake/footer.ts';
import { decodeRowGroup, decodeTable, decodeViews, planRanges } from '../../src/lake/parquet-decode.ts';
import { encodeTable } from '../../src/lake/parquet-encode.ts';
import { type Field, TYPE, writeStruct } from '../../src/lake/thrift.ts';
import { MAX_WASM_BYTES, wasmBytes } from '../../src/lake/wasm.ts';
import { syntheticMarket } from '../../src/runtime/synthetic-market.ts';
import { queryDuckDB } from '../support/duckdb.ts';
import {
  COLUMN,
  dictionaryPage,
  type Forgery,
  forge,
  forgePages,
  type Page,
  type PageCodec,
  setInColumns,
} from '../support/forge-parquet.ts';
import { temporaryFolder } from '../support/temporary.ts';

const [history] = syntheticMarket({ symbols: 1, bars: 100, longest: 100, lastDate: '2025-12-31' });
const { bytes } = encodeBars('AAPL', history!.bars);

/** Reads ranges of `file`, told which. */
function rangesOf(file: Uint8Array) {
  const ranges: number[] = [];
  const read = async (start: number, end: number) => {
    ranges.push(end - start);
    return file.subarray(start, end);
  };
  return { ranges, read };
}

const sizes = (columns: readonly { readonly size: number }[]) => columns.reduce((sum, { size }) => sum + size, 0);

test('decodeRowGroup reads the bytes of its row group only, in one range', async () => {
  const footer = splitFooter(bytes, 'file');
  const { ranges, read } = rangesOf(bytes);
  const columns = await decodeRowGroup(BRONZE_SCHEMA, footer.rowGroups[0]!, read, 'file');
  expect(columns).toEqual(decodeTable(BRONZE_SCHEMA, bytes, 'file').columns);
  expect(ranges).toEqual([sizes(footer.rowGroups[0]!.columns)]);
  const short = decodeRowGroup(BRONZE_SCHEMA, footer.rowGroups[0]!, async () => bytes.subarray(0, 9), 'file');
  await expect(short).rejects.toMatchObject({ code: 'CorruptObject' });
});

test('columns that the schema does not ask for are not read, wherever they lie', async () => {
  const note: ColumnSpec = { name: 'note', type: 'utf8' };
  const schema: TableSchema = [
    ...BRONZE_SCHEMA.slice(0, 2),
    note,
    ...BRONZE_SCHEMA.slice(2),
    { ...note, name: 'more' },
  ];
  const bars = barsToColumns('AAPL', history!.bars);
  const notes = encodeUtf8(Array.from({ length: 100 }, (_, i) => randomBytes(1000 + i).toString('hex')));
  const values = [...bars.values.slice(0, 2), notes, ...bars.values.slice(2), notes];
  const file = encodeTable(schema, { length: 100, values }).bytes;
  const footer = splitFooter(file, 'file');
  const { ranges, read } = rangesOf(file);
  expect(await decodeRowGroup(BRONZE_SCHEMA, footer.rowGroups[0]!, read, 'file')).toEqual(bars);
  const { columns } = footer.rowGroups[0]!;
  expect(ranges).toEqual([sizes(columns.slice(0, 2)), sizes(columns.slice(3, -1))]);
  expect(decodeTable(BRONZE_SCHEMA, file, 'file').columns).toEqual(bars);
});

test('planRanges joins chunks that overlap or lie 64 KB apart at most', () => {
  const chunks = [
    { start: 400_000, size: 10 },
    { start: 4, size: 100 },
    { start: 104 + 65_536, size: 1000 },
    { start: 66_000, size: 10 },
    { start: 66_640 + 65_537, size: 5 },
  ];
  expect(planRanges(chunks)).toEqual([
    { start: 4, end: 66_640 },
    { start: 132_177, end: 132_182 },
    { start: 400_000, end: 400_010 },
  ]);
});

describe('a file of another writer that carries the digests is read:', () => {
  const codecs = ['uncompressed', 'snappy', 'gzip', 'zstd', 'brotli', 'lz4_raw'];

  test.each(
    codecs.flatMap((codec) => [
      [codec, 'V1'],
      [codec, 'V2'],
    ]),
  )('DuckDB, %s, %s', async (codec, version) => {
    const folder = await temporaryFolder();
    await writeFile(`${folder}/own.parquet`, bytes);
    const options = `FORMAT parquet, COMPRESSION ${codec}, PARQUET_VERSION ${version}, ROW_GROUP_SIZE 2048`;
    // Repeated, so that there are several row groups and dictionaries.
    const rows = `SELECT b.* FROM '${folder}/own.parquet' b, range(50) ORDER BY range, date`;
    await queryDuckDB(`COPY (${rows}) TO '${folder}/theirs.parquet' (${options})`);
    const theirs = await readFile(`${folder}/theirs.parquet`);
    const table = concatColumns(BRONZE_SCHEMA, new Array(50).fill(barsToColumns('AAPL', history!.bars)));
    const { digest, columns } = digestColumns(BRONZE_SCHEMA, table);
    const metadata = { rows: '5000', digest, column_digests: JSON.stringify(columns) };
    expect(splitFooter(theirs, 'theirs').rowGroups.length).toBe(3);
    expect(decodeTable(BRONZE_SCHEMA, forge(theirs, { metadata }), 'theirs').columns).toEqual(table);
  });

  test('one that gives 0 as the place of what it has not', () => {
    const group = (fields: Map<number, Field>) => setInColumns(fields, { [COLUMN.dictionaryPage]: 0 }, 3);
    expect(decodeTable(BRONZE_SCHEMA, forge(bytes, { group }), 'x').columns).toEqual(
      barsToColumns('AAPL', history!.bars),
    );
  });
});

describe('decodeViews', () => {
  const groups = allocateBars(2 * 65_536 + 9, { vwap: true, trades: true });
  groups.close.forEach((_, i) => {
    groups.close[i] = i / 8;
    if (i % 3 === 0) groups.vwap![i] = Number.NaN;
    groups.trades![i] = (i % 5) - 1;
  });
  const large = encodeBars('AAPL', groups).bytes;

  test.each([
    ['a file', bytes],
    ['a file of several row groups', large],
    ['a file without rows', encodeBars('AAPL', allocateBars(0)).bytes],
    ['a file without a digest of its bytes', forge(bytes, {})],
  ])('gives what decodeTable gives: %s', (_what, file) => {
    const whole = decodeTable(BRONZE_SCHEMA, file, 'file');
    const read = decodeViews(BRONZE_SCHEMA, file, 'file', (columns, metadata) => {
      expect(columns).toEqual(whole.columns);
      expect(metadata).toEqual(whole.metadata);
      return columns.length;
    });
    expect(read).toBe(whole.columns.length);
  });

  test('copies nothing: columns lie in the memory of the decoder, where nothing else may be decoded meanwhile', () => {
    decodeViews(BRONZE_SCHEMA, bytes, 'file', ({ values }) => {
      const buffers = new Set((values.slice(1, 7) as Float64Array[]).map(({ buffer }) => buffer));
      expect([...buffers].map(({ byteLength }) => byteLength)).toEqual([wasmBytes()]);
      expect(() => decodeTable(BRONZE_SCHEMA, bytes, 'other')).toThrow(/are views/);
      expect(() => encodeBars('AAPL', history!.bars)).toThrow(/are views/);
    });
    expect(decodeTable(BRONZE_SCHEMA, bytes, 'file').columns.length).toBe(100);
  });

  test('passes on what its callback throws, and refuses what decodeTable refuses', () => {
    const thrown = new TypeError('no');
    const fail = () => {
      throw thrown;
    };
    expect(() => decodeViews(BRONZE_SCHEMA, bytes, 'file', fail)).toThrow(thrown);
    expect(() => decodeViews(BRONZE_SCHEMA, forge(bytes, {}), 'file', fail)).toThrow(thrown);
    const corrupt = expect.objectContaining({ code: 'CorruptObject', message: expect.stringContaining('some/key') });
    for (const file of [
      bytes.subarray(0, -1),
      bytes.with(20, bytes[20]! ^ 1),
      forge(bytes, { metadata: { rows: '1' } }),
    ])
      expect(() => decodeViews(BRONZE_SCHEMA, file, 'some/key', fail)).toThrow(corrupt);
  });
});

test('text in a footer that is no UTF-8 is CorruptObject', () => {
  const damaged = forge(bytes, { metadata: { note: '????' } });
  damaged.fill(0xff, Buffer.from(damaged).indexOf('????'), Buffer.from(damaged).indexOf('????') + 4);
  expect(() => decodeTable(BRONZE_SCHEMA, damaged, 'x')).toThrow(/no UTF-8/);
});

describe('decodeTable refuses, before anything is decoded,', () => {
  test('nothing of a file that is forged to be the same', () => {
    expect(decodeTable(BRONZE_SCHEMA, forge(bytes, {}), 'same').columns.length).toBe(100);
  });

  test.each<[string, Forgery, RegExp]>([
    [
      'more rows than memory may hold, however small their pages',
      {
        group: (group) => {
          group.set(3, { type: 6, value: 2 ** 31 });
          setInColumns(group, { [COLUMN.values]: 2 ** 31 });
        },
        metadata: { rows: String(2 ** 31) },
      },
      /decodes to \d+ bytes/,
    ],
    [
      'pages that say they are too large',
      { group: (group) => setInColumns(group, { [COLUMN.uncompressedSize]: 2 ** 40 }) },
      /decodes to \d+ bytes/,
    ],
    ['a codec nobody has', { group: (group) => setInColumns(group, { [COLUMN.codec]: 3 }) }, /unknown codec 3/],
    [
      'a column that lies outside',
      { group: (group) => setInColumns(group, { [COLUMN.dataPage]: 2 ** 30 }) },
      /lies outside/,
    ],
    [
      'columns of different lengths',
      { group: (group) => setInColumns(group, { [COLUMN.values]: 99 }) },
      /has not 100 values/,
    ],
    ['fewer rows than none', { group: (group) => group.set(3, { type: 6, value: -1 }) }, /row group of -1 rows/],
    [
      'a digest of a column it has not',
      { metadata: { column_digests: `{"x":"${'0'.repeat(16)}"}` } },
      /has no column x, but a digest of it/,
    ],
    ['another row count than it carries', { metadata: { rows: '99' } }, /has 100 rows: expected 99/],
    ...['{"date":1}', `{"date":"${'0'.repeat(15)}"}`, `["${'0'.repeat(16)}"]`, 'null', '', '{"__proto__":{}}'].map(
      (digests): [string, Forgery, RegExp] => [
        `column digests that are none: ${digests}`,
        { metadata: { column_digests: digests } },
        /cannot be read/,
      ],
    ),
  ])('%s', (_what, change, message) => {
    const error = (() => {
      try {
        return decodeTable(BRONZE_SCHEMA, forge(bytes, change), 'some/key.parquet');
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toMatchObject({ code: 'CorruptObject', message: expect.stringMatching(message) });
    expect((error as Error).message).toContain('some/key.parquet');
  });

  test('metadata that was changed without its digest', () => {
    const damaged = forge(bytes, {});
    const text = new TextDecoder('latin1').decode(damaged);
    const at = text.indexOf('"', text.indexOf('column_digests') + 18) + 1;
    damaged[at]! ^= 1;
    expect(() => decodeTable(BRONZE_SCHEMA, damaged, 'x')).toThrow(/metadata is damaged|expected/);
  });
});

describe('a forged file does not take more memory than the decoder may hold, and a row group besides:', () => {
  const long = allocateBars(65_536);
  long.session.set(Array.from({ length: 65_536 }, (_, i) => i));
  const file = encodeBars('AAPL', long, { codec: 'zstd' }).bytes;
  const script = new URL('../support/decode-process.ts', import.meta.url).pathname;

  async function decodeApart(forged: Uint8Array) {
    const path = `${await temporaryFolder()}/forged.parquet`;
    await writeFile(path, forged);
    const { stdout } = await promisify(execFile)(process.execPath, [script, path]);
    return JSON.parse(stdout) as { readonly code?: string; readonly rows?: number; readonly peakBytes: number };
  }

  test('nothing is wrong with the forgery as such', async () => {
    const same = await decodeApart(forgePages(file, (pages) => pages));
    expect(same).toMatchObject({ rows: 65_536 });
    expect(same.peakBytes).toBeLessThan(2 ** 28);
  });

  const dictionary = (length: number) => (pages: readonly Page[]) => [
    dictionaryPage('A'.repeat(length)),
    ...pages.slice(1),
  ];
  const bomb = (pages: readonly Page[]) => [...pages.slice(0, -1), { ...pages.at(-1)!, body: new Uint8Array(2 ** 30) }];
  const quality = { params: { [zlib.BROTLI_PARAM_QUALITY]: 1 } };

  test.each<[string, (pages: readonly Page[]) => readonly Page[], PageCodec?]>([
    ['a dictionary of one string, 2 GB in its rows', dictionary(30_000)],
    ['a dictionary of one string, 400 MB in its rows', dictionary(6000)],
    ['a page of gzip that inflates to 1 GB', bomb, { codec: 2, compress: (body) => gzipSync(body, { level: 1 }) }],
    [
      'a page of Brotli that inflates to 1 GB',
      bomb,
      { codec: 4, compress: (body) => brotliCompressSync(body, quality) },
    ],
  ])('%s', async (_what, change, codec) => {
    const { code, peakBytes } = await decodeApart(forgePages(file, change, codec));
    expect(code).toBe('CorruptObject');
    expect(peakBytes).toBeLessThan(MAX_WASM_BYTES + 2 ** 28);
  });

  test('a footer of millions of empty structs', async () => {
    const metadata = writeStruct(
      new Map([
        [5, { type: TYPE.list, value: { elementType: TYPE.struct, items: new Array(10_000_000).fill(new Map()) } }],
      ]),
    );
    const tail = new Uint8Array(8);
    new DataView(tail.buffer).setUint32(0, metadata.length, true);
    tail.set(file.subarray(-4), 4);
    const { code, peakBytes } = await decodeApart(concatBytes([file.subarray(0, 4), metadata, tail]));
    expect(code).toBe('CorruptObject');
    expect(peakBytes).toBeLessThan(2 ** 29);
  });
});
