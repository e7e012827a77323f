import { concatBytes } from './columns.ts';

const HEADER_BYTES = 8;
const MEMORY_SECTION = 5;
const PAGE_BYTES = 65_536;

/**
 * A WebAssembly module (https://webassembly.github.io/spec/core/binary/) with a maximum for its one memory, which must have
 * had none: asking for more fails inside the module.
 */
export function limitMemory(module: Uint8Array, maxBytes: number): Uint8Array {
  for (let at = HEADER_BYTES; at < module.length; ) {
    const size = readVarint(module, at + 1);
    const [from, to] = [size.end, size.end + size.value];
    if (module[at] === MEMORY_SECTION && module[from] === 1 && module[from + 1] === 0) {
      const section = Uint8Array.of(1, 1, ...module.subarray(from + 2, to), ...varint(maxBytes / PAGE_BYTES));
      const head = Uint8Array.of(MEMORY_SECTION, ...varint(section.length));
      return concatBytes([module.subarray(0, at), head, section, module.subarray(to)]);
    }
    at = to;
  }
  throw new Error('expected a module with one memory, without a maximum');
}

function readVarint(bytes: Uint8Array, at: number): { readonly value: number; readonly end: number } {
  const next = bytes[at]!;
  if (next < 128) return { value: next, end: at + 1 };
  const { value, end } = readVarint(bytes, at + 1);
  return { value: (next & 127) + value * 128, end };
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >> 7)];
}
