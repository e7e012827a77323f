import xxhash from 'xxhash-wasm';
import { encodeBars } from '../../src/lake/bronze.ts';
import type { Columns, TableSchema } from '../../src/lake/columns.ts';
import type * as daily from '../../src/lake/daily-file.ts';
import type * as decoding from '../../src/lake/parquet-decode.ts';
import type * as encoding from '../../src/lake/parquet-encode.ts';
import type * as wasm from '../../src/lake/wasm.ts';

// Schedules meet the same few files again and again. Encoding and decoding are pure, so what they have given once they
// are taken to give again, and a file that was encoded here is taken to decode to what went into it. One in sixteen is
// decoded all the same and compared, and so is every file that was not encoded here: a damaged one. Failures are not kept.

const MAX_ENTRIES = 50_000;
const DECODED_ANYWAY = 16;
const { h64Raw, h64ToString } = await xxhash();
/** How often what was written since the schedule began. */
const named = new Map<string, number>();
const latin1 = ({ buffer, byteOffset, byteLength }: ArrayBufferView): string =>
  Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength).toString('latin1');

type Tables = Map<bigint, decoding.DecodedTable>;
type Encoded = ReturnType<typeof encoding.encodeTable>;
const decoded = new Map<TableSchema, Tables>();

/** The module that decodes, remembering tables by the bytes of their files. */
export function memoiseDecoding(module: typeof decoding): typeof decoding {
  return {
    ...module,
    decodeTable: (schema, file, place) =>
      remember(tablesOf(schema), h64Raw(file), () => module.decodeTable(schema, file, place)),
    decodeViews(schema, file, place, read) {
      const { columns, metadata } = remember(tablesOf(schema), h64Raw(file), () =>
        module.decodeTable(schema, file, place),
      );
      return read(columns, metadata);
    },
  };
}

/** The module that encodes, remembering files by the values of their tables. */
export function memoiseEncoding(module: typeof encoding): typeof encoding {
  const files = new Map<TableSchema, Map<string, Encoded>>();
  let count = 0;
  return {
    ...module,
    encodeTable(schema, columns, options = {}) {
      const known = files.get(schema) ?? new Map<string, Encoded>();
      files.set(schema, known);
      return remember(known, `${JSON.stringify(options)} ${textOf(columns)}`, () => {
        const made = module.encodeTable(schema, columns, options);
        const { rows, digest, columns: digests } = made.digest;
        const own = { rows: String(rows), digest, column_digests: JSON.stringify(digests) };
        const metadata = module.sealMetadata({ ...own, ...options.metadata });
        // A copy: its caller may give the memory back.
        if (++count % DECODED_ANYWAY > 0)
          remember(tablesOf(schema), h64Raw(made.bytes), () => ({
            columns: structuredClone(columns),
            digest,
            metadata,
          }));
        return made;
      });
    },
  };
}

function tablesOf(schema: TableSchema): Tables {
  const tables = decoded.get(schema) ?? new Map();
  decoded.set(schema, tables);
  return tables;
}

/** The module of daily files, whose writes have names by what they write and how often: a schedule repeats exactly. */
export function nameWrites(module: typeof daily): typeof daily {
  return {
    ...module,
    encodeDaily(symbol, bar, { replaces = [], codec } = {}) {
      const what = `${symbol} ${bar.session} ${bar.low}`;
      const count = (named.get(what) ?? 0) + 1;
      named.set(what, count);
      const write = h64ToString(`${what} ${count}`);
      const writes = [...new Set([write, ...replaces])].slice(0, module.MAX_WRITES);
      return { ...encodeBars(symbol, bar, { codec, metadata: { writes: writes.join() } }), writes };
    },
  };
}

/** Begins a schedule. */
export function forgetNames(): void {
  named.clear();
}

/** The module that calls wasm, remembering row groups: files often differ in their metadata alone. */
export function memoiseWasm(module: typeof wasm): typeof wasm {
  const groups = new Map<bigint, unknown>();
  return {
    ...module,
    decodeFile: (file, rows, place, read) =>
      remember(groups as Map<bigint, ReturnType<typeof read>>, h64Raw(file), () =>
        module.decodeFile(file, rows, place, read),
      ),
  };
}

function textOf({ length, values }: Columns): string {
  const texts = values.map((value) =>
    'offsets' in value ? `${latin1(value.offsets)} ${latin1(value.bytes)}` : latin1(value),
  );
  return `${length} ${texts.join(' ')}`;
}

function remember<K, V>(known: Map<K, V>, key: K, make: () => V): V {
  const found = known.get(key);
  if (found) return found;
  if (known.size >= MAX_ENTRIES) known.clear();
  const made = make();
  known.set(key, made);
  return made;
}
