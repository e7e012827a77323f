import { describe, expect, test } from 'vitest';
import { BRONZE_SCHEMA, barsToColumns, encodeBars } from '../../src/lake/bronze.ts';
import { concatBytes } from '../../src/lake/columns.ts';
import { digestBytes } from '../../src/lake/digest.ts';
import { FILE_DIGEST, sealFile } from '../../src/lake/file-digest.ts';
import { splitFooter } from '../../src/lake/footer.ts';
import { decodeTable } from '../../src/lake/parquet-decode.ts';
import { createEncoder, encodeTable } from '../../src/lake/parquet-encode.ts';
import { syntheticMarket } from '../../src/runtime/synthetic-market.ts';
import { forge } from '../support/forge-parquet.ts';

const [history] = syntheticMarket({ symbols: 1, bars: 100, longest: 100, lastDate: '2025-12-31' });
const columns = barsToColumns('AAPL', history!.bars);
const { bytes } = encodeTable(BRONZE_SCHEMA, columns, { metadata: { epoch: '3' } });
const digestOf = (file: Uint8Array) => splitFooter(file, 'file').metadata.get(FILE_DIGEST);

describe('the digest of a file', () => {
  test('is that of its bytes, with zeros in its place', () => {
    const digest = digestOf(bytes)!;
    const text = Buffer.from(bytes).toString('latin1');
    expect(text.split(digest).length).toBe(2);
    expect(digest).toBe(digestBytes(Buffer.from(text.replace(digest, '0'.repeat(16)), 'latin1')));
  });

  test('is not carried over from metadata of another file', () => {
    const { metadata } = decodeTable(BRONZE_SCHEMA, bytes, 'file');
    expect(encodeTable(BRONZE_SCHEMA, columns, { metadata }).bytes).toEqual(bytes);
    const encoder = createEncoder(BRONZE_SCHEMA);
    const streamed = concatBytes([encoder.write(columns), encoder.finish(metadata).bytes]);
    expect(digestOf(streamed)).toBeUndefined();
    expect(decodeTable(BRONZE_SCHEMA, streamed, 'streamed').columns).toEqual(columns);
  });

  test('that is left out, doubled or no digest is CorruptObject', () => {
    const text = Buffer.from(bytes).toString('latin1');
    const start = text.indexOf(`\x18\x17${FILE_DIGEST}\x18\x10`);
    const withEntry = (key: string, value: string) =>
      Buffer.from(text.replace(`${FILE_DIGEST}\x18\x10${digestOf(bytes)}`, `${key}\x18\x10${value}`), 'latin1');
    expect(start).toBeGreaterThan(0);
    for (const [key, value] of [
      ['catch_layer.file_digest', digestOf(bytes)!],
      ['batch_layer.file_digesu', digestOf(bytes)!],
      [FILE_DIGEST, 'x'.repeat(16)],
      [FILE_DIGEST, '0'.repeat(16)],
    ] as const) {
      expect(() => decodeTable(BRONZE_SCHEMA, withEntry(key, value), 'some/key')).toThrow(
        expect.objectContaining({ code: 'CorruptObject', message: expect.stringContaining('some/key') }),
      );
    }
    const quoted = forge(bytes, { metadata: { note: text.slice(start, start + 43) } });
    expect(decodeTable(BRONZE_SCHEMA, quoted, 'quoted').columns).toEqual(columns);
    const doubled = encodeTable(BRONZE_SCHEMA, columns, { metadata: { note: text.slice(start, start + 43) } });
    expect(() => decodeTable(BRONZE_SCHEMA, doubled.bytes, 'doubled')).toThrow(/out of place/);
  });

  test('is not put into a file with other metadata', () => {
    const { metadata } = splitFooter(bytes, 'file');
    const other = new Map([...metadata].filter(([key]) => key !== 'ARROW:schema'));
    const file = bytes.slice();
    sealFile(file, new Map(other).set(FILE_DIGEST, digestOf(bytes)!));
    expect(() => sealFile(file, new Map(other).set('batch_layer.epoch', '4'))).toThrow(/other metadata/);
    expect(() => sealFile(file, new Map(other).set('note', 'x'.repeat(bytes.length)))).toThrow(/other metadata/);
  });
});

test('the same table gives the same bytes, whatever the encoder makes of the order of metadata', () => {
  const metadata = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`note_${i}`, String(i ** 5)]));
  const encode = () => encodeBars('AAPL', history!.bars, { metadata }).bytes;
  const first = encode();
  for (let i = 0; i < 20; i++) expect(encode()).toEqual(first);
});
