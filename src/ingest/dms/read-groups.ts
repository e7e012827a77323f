import { settleAll } from '../../lake/map-all.ts';
import { planRanges } from '../../lake/parquet-decode.ts';
import type { ObjectStore, StoreCall } from '../../lake/store.ts';
import { fetchAhead } from '../ohlcv/fetch-ahead.ts';
import type { DmsFile, DmsGroup } from './open-export.ts';
import type { RowGroupValues } from './row-group.ts';

/** Of a row group's columns as many are read at once as come to this, one at least. */
const MAX_READ_BYTES = 16 * 2 ** 20;

/** Some columns of a row group, which are read at once: numbers of columns of the file. */
export interface ReadStep {
  readonly group: DmsGroup;
  readonly columns: readonly number[];
  readonly isLast: boolean;
}

/**
 * Decodes a file, row group by row group and column by column, into the memory given. The next bytes are read while those at
 * hand are decoded; what is not needed is not read.
 *
 * @throws BatchLayerError `CorruptObject` for a row group that cannot be decoded; `Conflict` where the file is replaced
 * meanwhile
 */
export async function* readGroups(
  store: ObjectStore,
  file: DmsFile,
  values: RowGroupValues,
  { signal }: StoreCall = {},
): AsyncGenerator<DmsGroup> {
  const read = async (step: ReadStep) => {
    const chunks = step.columns.map((c) => step.group.chunks[c]!);
    const readRange = async ({ start, end }: { readonly start: number; readonly end: number }) => {
      return { start, end, bytes: await store.getRange(file.key, { start, end, ifMatch: file.etag, signal }) };
    };
    return { step, ranges: await settleAll(planRanges(chunks).map(readRange)) };
  };
  for await (const { step, ranges } of fetchAhead(planSteps(file), read, { ahead: 1 })) {
    const { group, columns, isLast } = step;
    if (columns[0] === 0) values.clear(group.rows);
    for (const c of columns) {
      const chunk = group.chunks[c]!;
      const range = ranges.find(({ start, end }) => start <= chunk.start && chunk.start + chunk.size <= end)!;
      const bytes = range.bytes.subarray(chunk.start - range.start, chunk.start - range.start + chunk.size);
      values.fill(file.columns[c]!, { chunk, bytes }, group.rows, `${file.key}: row group ${group.index}`);
    }
    if (isLast) yield group;
  }
}

/** What to read one after the other of a file. Pure. */
export function planSteps({ groups }: Pick<DmsFile, 'groups'>): ReadStep[] {
  return groups.flatMap((group) => {
    const parts: number[][] = [];
    let bytes = Number.POSITIVE_INFINITY;
    for (const [c, { size }] of group.chunks.entries()) {
      bytes += size;
      if (bytes <= MAX_READ_BYTES) parts.at(-1)!.push(c);
      else {
        parts.push([c]);
        bytes = size;
      }
    }
    // A group without rows has nothing to decode.
    return group.rows === 0 ? [] : parts.map((columns, i) => ({ group, columns, isLast: i === parts.length - 1 }));
  });
}
