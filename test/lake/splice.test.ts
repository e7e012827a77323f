import { describe, expect, test } from 'vitest';
import { BRONZE_SCHEMA, encodeBars } from '../../src/lake/bronze.ts';
import { concatBytes } from '../../src/lake/columns.ts';
import { splitFooter } from '../../src/lake/footer.ts';
import { type ChunkBytes, spliceChunks } from '../../src/lake/splice.ts';
import { type Field, readStructAt, type Struct, TYPE, writeStruct } from '../../src/lake/thrift.ts';
import { int32, structField, text } from '../../src/lake/thrift-fields.ts';
import { syntheticMarket } from '../../src/runtime/synthetic-market.ts';

const ROWS = 100;
const [history] = syntheticMarket({ symbols: 1, bars: ROWS, longest: ROWS, lastDate: '2025-12-31' });
const file = encodeBars('AAPL', history!.bars).bytes;
const [symbol, date] = splitFooter(file, 'file').rowGroups[0]!.columns;
const schema = BRONZE_SCHEMA.slice(0, 1);

const chunkOf = (chunk: typeof symbol & object): ChunkBytes => ({
  chunk,
  bytes: file.subarray(chunk.start, chunk.start + chunk.size),
});
const whole = chunkOf(symbol!);
/** The dictionary, and the page of data. */
const { struct: header, end: bodyAt } = readStructAt(whole.bytes, 0, 'page');
const dictionaryEnd = bodyAt + (header.get(3)!.value as number);
const dictionary = whole.bytes.subarray(0, dictionaryEnd);
const data = whole.bytes.subarray(dictionaryEnd);
const splice = (...pages: readonly Uint8Array[]) =>
  spliceChunks(schema, [{ chunk: whole.chunk, bytes: concatBytes(pages) }], ROWS, 'some/key');

function withHeader(page: Uint8Array, change: (header: Map<number, Field>) => void): Uint8Array {
  const { struct, end } = readStructAt(page, 0, 'page');
  const fields = new Map(struct);
  change(fields);
  return concatBytes([writeStruct(fields), page.subarray(end)]);
}

/** The header ends in a list, under an id that nobody knows, of so many booleans, which take no bytes. */
function withEndlessList(page: Uint8Array): Uint8Array {
  const { end } = readStructAt(page, 0, 'page');
  const list = Uint8Array.of(TYPE.list, 200, 1, 0xf0 | TYPE.true, 0xff, 0xff, 0xff, 0xff, 0x0f, 0);
  return concatBytes([page.subarray(0, end - 1), list, page.subarray(end)]);
}

describe('of page headers nothing gets to the decoder', () => {
  test('but what is written anew: the same file, whatever else they say', () => {
    const noisy = withHeader(data, (fields) => {
      fields.set(4, int32(12345)).set(100, text('who knows'));
      fields.set(101, { type: TYPE.list, value: { elementType: TYPE.true, items: [true, false] } });
      const details = new Map(fields.get(5)!.value as Struct).set(5, structField(new Map([[1, text('statistics')]])));
      fields.set(5, structField(details));
    });
    const index = withHeader(data, (fields) => fields.set(1, int32(1)));
    expect(splice(dictionary, index, noisy, Uint8Array.of(1, 2, 3))).toEqual(splice(dictionary, data));
  });

  test.each<[string, () => Uint8Array, RegExp]>([
    ['a list longer than the chunk', () => splice(dictionary, withEndlessList(data)), /list of 4294967295/],
    ['a page that ends too early', () => splice(dictionary, data.subarray(0, -1)), /page of \d+ bytes/],
    ['a page of less than nothing', () => splice(withHeader(data, (fields) => fields.set(3, int32(-1)))), /page of -1/],
    ['too few values', () => splice(dictionary), /ends too early/],
    ['more values than rows', () => splice(dictionary, moreValues(1)), /page of 101 values after 0 of 100/],
    ['less than no values', () => splice(dictionary, moreValues(-101)), /page of -1 values/],
    ['pages without end', () => splice(dictionary, ...new Array(20_000).fill(emptyPage())), /more than 16384 pages/],
    ['two dictionaries', () => splice(dictionary, dictionary, data), /page of 1 values after 0/],
    [
      'a header without details',
      () =>
        splice(
          dictionary,
          withHeader(data, (f) => f.delete(5)),
        ),
      /field 5/,
    ],
    [
      'a column of another type',
      () => spliceChunks(BRONZE_SCHEMA.slice(0, 1), [chunkOf(date!)], ROWS, 'some/key'),
      /symbol has Parquet's type 1: expected 6/,
    ],
  ])('%s is CorruptObject, at once', (_what, read, message) => {
    const start = performance.now();
    expect(read).toThrow(expect.objectContaining({ code: 'CorruptObject', message: expect.stringMatching(message) }));
    expect(read).toThrow(/some\/key/);
    expect(performance.now() - start).toBeLessThan(5000);
  });
});

function moreValues(count: number): Uint8Array {
  return withHeader(data, (fields) => {
    const details = new Map(fields.get(5)!.value as Struct).set(1, int32(ROWS + count));
    fields.set(5, structField(details));
  });
}

function emptyPage(): Uint8Array {
  const page = moreValues(-ROWS);
  const { end } = readStructAt(page, 0, 'page');
  return withHeader(page.subarray(0, end), (fields) => fields.set(2, int32(0)).set(3, int32(0)));
}
