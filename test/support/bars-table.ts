import type { RecordBatch } from 'apache-arrow';
import type { Bars } from '../../src/bars.ts';
import { toRecordBatch } from '../../src/lake/arrow.ts';
import { BRONZE_SCHEMA, barsToColumns } from '../../src/lake/bronze.ts';
import { type Columns, concatColumns, sliceColumns } from '../../src/lake/columns.ts';

/** Several symbols' bars, given by name, as one bronze table in the order of the names. */
export function bronzeTable(histories: Readonly<Record<string, Bars>>): Columns {
  const symbols = Object.keys(histories).sort();
  return concatColumns(
    BRONZE_SCHEMA,
    symbols.map((symbol) => barsToColumns(symbol, histories[symbol]!)),
  );
}

/** A bronze table as RecordBatches of `rows` rows. */
export function cutIntoBatches(columns: Columns, rows: number): RecordBatch[] {
  const batches: RecordBatch[] = [];
  for (let from = 0; from < columns.length; from += rows) {
    const part = sliceColumns(BRONZE_SCHEMA, columns, from, Math.min(from + rows, columns.length));
    batches.push(toRecordBatch(BRONZE_SCHEMA, part));
  }
  return batches;
}
