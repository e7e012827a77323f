import { hasCode } from '../../errors.ts';
import { type Columns, encodeUtf8, type TableSchema } from '../../lake/columns.ts';
import { PROCESSING_PREFIX } from '../../lake/keys.ts';
import { readReferenceTable, replaceReferenceTable } from '../../lake/reference-table.ts';
import type { ObjectStore, StoreCall } from '../../lake/store.ts';
import { compareSymbols } from '../../symbol.ts';
import type { SymbolProof } from './prove-symbol.ts';

/** Where the proof of the last migration is. */
export const DMS_IMPORT_KEY = `${PROCESSING_PREFIX}dms_import.parquet`;

/** A row for each symbol of the export: what that says, and what bronze has of the same sessions. */
export const DMS_IMPORT_SCHEMA: TableSchema = [
  { name: 'symbol', type: 'utf8' },
  { name: 'rows', type: 'int32' },
  { name: 'volume', type: 'float64' },
  { name: 'bronze_volume', type: 'float64' },
  { name: 'kept', type: 'int32' },
  { name: 'kept_volume', type: 'float64' },
  { name: 'kept_bronze_volume', type: 'float64' },
];

const MAX_ATTEMPTS = 10;

/**
 * Writes the proof of each symbol as one table, in the place of that of an earlier run. The same proofs give the same bytes, and
 * are not written again.
 *
 * Commit point: the PUT over the table that was read. It only tells of what is committed already.
 */
export async function writeProofs(
  store: ObjectStore,
  proofs: readonly SymbolProof[],
  { signal }: StoreCall = {},
): Promise<void> {
  const columns = encodeProofs(proofs);
  for (let attempt = 1; ; attempt++) {
    const { etag, digest } = (await readReferenceTable(store, DMS_IMPORT_KEY, DMS_IMPORT_SCHEMA, { signal })) ?? {};
    try {
      await replaceReferenceTable(store, DMS_IMPORT_KEY, DMS_IMPORT_SCHEMA, columns, { etag, digest, signal });
      return;
    } catch (error) {
      if (!hasCode(error, 'Conflict') || attempt === MAX_ATTEMPTS) throw error;
    }
  }
}

function encodeProofs(proofs: readonly SymbolProof[]): Columns {
  const sorted = [...proofs].sort((a, b) => compareSymbols(a.symbol, b.symbol));
  const volumes = (name: 'volume' | 'bronzeVolume' | 'keptVolume' | 'keptBronzeVolume') =>
    Float64Array.from(sorted, (proof) => proof[name].value());
  return {
    length: sorted.length,
    values: [
      encodeUtf8(sorted.map(({ symbol }) => symbol)),
      Int32Array.from(sorted, ({ rows }) => rows),
      volumes('volume'),
      volumes('bronzeVolume'),
      Int32Array.from(sorted, ({ kept }) => kept),
      volumes('keptVolume'),
      volumes('keptBronzeVolume'),
    ],
  };
}
