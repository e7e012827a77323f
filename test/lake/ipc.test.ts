import { Table, tableFromIPC, tableToIPC } from 'apache-arrow';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromRecordBatch, toRecordBatch } from '../../src/lake/arrow.ts';
import { type Columns, type ColumnValues, encodeUtf8, type TableSchema } from '../../src/lake/columns.ts';
import { withIpc } from '../../src/lake/ipc.ts';

const SCHEMA: TableSchema = [
  { name: 'text', type: 'utf8' },
  { name: 'day', type: 'date' },
  { name: 'count', type: 'int32', nullable: true },
  { name: 'price', type: 'float64', nullable: true },
  { name: 'is_odd', type: 'bool' },
  { name: 'time', type: 'timestamp' },
  { name: 'volume', type: 'float64' },
];

const row = fc.tuple(
  fc.string({ unit: 'binary', maxLength: 9 }),
  fc.integer({ min: -100_000, max: 100_000 }),
  fc.oneof(fc.constant(-1), fc.nat()),
  fc.oneof(fc.constant(Number.NaN), fc.double({ noNaN: true })),
  fc.nat(1),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true }),
);

function tableOf(rows: readonly (readonly [string, number, number, number, number, number, number])[]): Columns {
  const at = <C extends 0 | 1 | 2 | 3 | 4 | 5 | 6>(c: C) => rows.map((values) => values[c]);
  const values: ColumnValues[] = [
    encodeUtf8(at(0)),
    Int32Array.from(at(1)),
    Int32Array.from(at(2)),
    Float64Array.from(at(3)),
    Uint8Array.from(at(4)),
    Float64Array.from(at(5)),
    Float64Array.from(at(6)),
  ];
  return { length: rows.length, values };
}

describe('withIpc', () => {
  test('writes a stream that apache-arrow reads as the table, like its own', () => {
    fc.assert(
      fc.property(fc.array(row, { maxLength: 70 }), (rows) => {
        const columns = tableOf(rows);
        const table = withIpc(SCHEMA, columns, (stream) => tableFromIPC(stream.slice()));
        const own = tableFromIPC(tableToIPC(new Table([toRecordBatch(SCHEMA, columns)]), 'stream'));
        expect(table.schema).toEqual(own.schema);
        expect(table.batches.length).toBe(1);
        const batch = table.batches[0]!;
        expect(fromRecordBatch(SCHEMA, batch, 'stream')).toEqual(columns);
        expect(batch.data.children.map(({ nullCount }) => nullCount)).toEqual(
          own.batches[0]!.data.children.map(({ nullCount }) => nullCount),
        );
      }),
      { numRuns: 200 },
    );
  });

  test('takes what it is given to, in memory of its own, however large', () => {
    const volume = Float64Array.from({ length: 2 ** 21 }, (_, i) => i / 3);
    const schema: TableSchema = [{ name: 'volume', type: 'float64' }];
    const read = withIpc(schema, { length: volume.length, values: [volume] }, (stream) => tableFromIPC(stream.slice()));
    expect(read.getChild('volume')!.toArray()).toEqual(volume);
    expect(volume.length).toBe(2 ** 21);
  });
});
