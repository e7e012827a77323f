import { describe, expect, test } from 'vitest';
import { BRONZE_SCHEMA, encodeBars } from '../../src/lake/bronze.ts';
import { decodeTable } from '../../src/lake/parquet-decode.ts';
import { decodeFile, wasmBytes } from '../../src/lake/wasm.ts';
import { syntheticMarket } from '../../src/runtime/synthetic-market.ts';

const [history] = syntheticMarket({ symbols: 1, bars: 200, longest: 200, lastDate: '2025-12-31' });
const bars = history!.bars;
const { bytes } = encodeBars('AAPL', bars);

describe('the decoder', () => {
  test('survives traps: each is CorruptObject, and the next file decodes', () => {
    let traps = 0;
    for (let at = 4; at < bytes.length && traps < 10; at++) {
      const damaged = bytes.slice();
      damaged[at]! ^= 1 << (at % 8);
      try {
        decodeFile(damaged, 200, 'damaged.parquet', () => undefined);
      } catch (error) {
        expect(error).toMatchObject({ code: 'CorruptObject', message: expect.stringContaining('damaged.parquet') });
        if (!String((error as Error).cause).startsWith('RuntimeError')) continue;
        traps++;
        expect(decodeTable(BRONZE_SCHEMA, bytes, 'good').columns.length).toBe(200);
      }
    }
    expect(traps).toBe(10);
  });

  test('frees what it allocates: after 2,000 files its memory is what it was after 200', () => {
    const decode = (times: number): number => {
      for (let i = 0; i < times; i++) {
        encodeBars('AAPL', bars);
        decodeTable(BRONZE_SCHEMA, bytes, 'x');
      }
      // Memory of an instance grows and never shrinks, so a leak shows.
      return wasmBytes();
    };
    const before = decode(200);
    expect(before).toBeGreaterThan(0);
    expect(decode(2000)).toBe(before);
  });
});
