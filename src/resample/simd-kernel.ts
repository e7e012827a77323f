import type { Bars } from '../bars.ts';
import type { Groups } from './groups.ts';
import { KERNEL_WASM } from './kernel-wasm.ts';
import type { Target } from './reference-kernel.ts';

/** The kernel in WebAssembly (kernel.wat): bit for bit what the reference makes, for one symbol at a time. */
export interface SimdKernel {
  /** Takes rows `from` to `to` of a symbol, at least one; they stay until the next call. */
  load(bars: Bars, from: number, to: number): void;
  /**
   * Makes groups of n of the loaded rows from row `from` on; `bars` are those that were loaded.
   *
   * @returns one past the last group
   */
  resample(bars: Bars, from: number, n: number, target: Pick<Target, 'symbol' | 'output' | 'at'>): number;
}

// The types of Node leave it out.
declare const WebAssembly: {
  validate(bytes: Uint8Array): boolean;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: object };
};

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  interleave(stride: number, rows: number): void;
  reduce(stride: number, from: number, to: number, n: number): void;
}

const PAGE_BYTES = 65_536;
const COLUMNS = 8;

/** @returns undefined where there is no SIMD, as on processors before SSE 4.1 */
export function createSimdKernel(): SimdKernel | undefined {
  const bytes = Buffer.from(KERNEL_WASM, 'base64');
  if (!WebAssembly.validate(bytes)) return undefined;
  const { memory, interleave, reduce } = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports as Exports;
  let values = new Float64Array(memory.buffer);
  let [first, rows, stride] = [0, 0, 0];
  return {
    load(bars, from, to) {
      [first, rows] = [from, to - from];
      stride = rows + (rows % 2);
      const missingBytes = COLUMNS * stride * 8 - values.byteLength;
      if (missingBytes > 0) {
        memory.grow(Math.ceil(missingBytes / PAGE_BYTES));
        values = new Float64Array(memory.buffer);
      }
      values.set(bars.high.subarray(from, to), 0);
      values.set(bars.low.subarray(from, to), stride);
      values.set(bars.volume.subarray(from, to), 2 * stride);
      if (bars.vwap) values.set(bars.vwap.subarray(from, to), 3 * stride);
      else values.fill(Number.NaN, 3 * stride, 4 * stride);
      interleave(stride, rows);
    },
    resample(bars, from, n, { symbol, output, at }) {
      const count = Math.ceil((first + rows - from) / n);
      if (count <= 0) return at;
      reduce(stride, from - first, rows, Math.min(n, rows));
      output.high.set(values.subarray(0, count), at);
      output.low.set(values.subarray(stride, stride + count), at);
      output.volume.set(values.subarray(2 * stride, 2 * stride + count), at);
      output.notional?.set(values.subarray(3 * stride, 3 * stride + count), at);
      copyEnds(bars, from, first + rows, n, symbol, output, at);
      return at + count;
    },
  };
}

/** What groups take from their first and last bars. */
function copyEnds(
  { session, open, close }: Bars,
  from: number,
  to: number,
  n: number,
  symbol: number,
  output: Groups,
  at: number,
): void {
  for (let i = from, g = at; i < to; g++) {
    const end = Math.min(to, i + n);
    output.symbol[g] = symbol;
    output.session[g] = session[i]!;
    output.endSession[g] = session[end - 1]!;
    output.open[g] = open[i]!;
    output.close[g] = close[end - 1]!;
    output.bars[g] = end - i;
    i = end;
  }
}
