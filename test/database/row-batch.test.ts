import { expect, test } from 'vitest';
import { allocateBars, type Bars } from '../../src/bars.ts';
import type { Database } from '../../src/database/connection.ts';
import { openBatch } from '../../src/database/row-batch.ts';
import { BATCH_ROWS } from '../../src/database/upsert-bars.ts';

/** A database that writes one row a transaction, and the first of them when it may. */
function slowDatabase() {
  const gate = Promise.withResolvers<void>();
  let transactions = 0;
  const database: Database = {
    place: 'nowhere',
    async transaction() {
      if (++transactions === 1) await gate.promise;
      return { written: 1, unchanged: 0, outside: 0 } as never;
    },
    connect: () => Promise.reject(new Error('not here')),
    close: async () => undefined,
  };
  return { database, release: gate.resolve, fail: gate.reject, transactions: () => transactions };
}

function barsOf(rows: number): Bars {
  const bars = allocateBars(rows);
  bars.close.fill(1);
  return bars;
}

test('rows that fill a batch while another symbol waits for the database leave no row without its bar', async () => {
  const { database, release, transactions } = slowDatabase();
  const batch = openBatch(database, { keepFrom: 0 });
  const waiting = batch.add('A', barsOf(BATCH_ROWS + 1));
  await batch.add('B', barsOf(BATCH_ROWS));
  release();
  await waiting;
  await batch.flush();
  expect([transactions(), batch.written()]).toEqual([3, 3]);
});

test('one batch is written at a time, and who adds meanwhile fills the next', async () => {
  const { database, release, transactions } = slowDatabase();
  let [writing, most] = [0, 0];
  const counted: Database = {
    ...database,
    async transaction(work, call) {
      most = Math.max(most, ++writing);
      await new Promise(setImmediate);
      const result = await database.transaction(work, call);
      writing--;
      return result;
    },
  };
  const batch = openBatch(counted, { keepFrom: 0 });
  const adding = Array.from({ length: 16 }, (_, i) => batch.add(`S${i}`, barsOf(BATCH_ROWS / 2 + 1)));
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect([transactions(), writing]).toEqual([1, 1]);
  const flushed = batch.flush();
  release();
  await Promise.all([...adding, flushed]);
  await batch.flush();
  expect([transactions(), batch.written(), most]).toEqual([9, 9, 1]);
});

test('rows are written many at once, and at the end the rest', async () => {
  const { database, release, transactions } = slowDatabase();
  release();
  const batch = openBatch(database, { keepFrom: 0 });
  await batch.flush();
  for (const symbol of ['A', 'B', 'C']) await batch.add(symbol, barsOf(BATCH_ROWS / 2));
  expect(transactions()).toBe(1);
  await batch.flush();
  await batch.flush();
  expect([transactions(), batch.written()]).toEqual([2, 2]);
});

test('a write that fails is thrown to whoever filled the batch, and is not counted', async () => {
  const { database, fail } = slowDatabase();
  const batch = openBatch(database, { keepFrom: 0 });
  fail(new Error('the database is full'));
  const adding = [batch.add('A', barsOf(BATCH_ROWS + 1)), batch.add('B', barsOf(BATCH_ROWS + 1))];
  // B is in the next one, and waited for this.
  for (const one of adding) await expect(one).rejects.toThrow('the database is full');
  expect(batch.written()).toBe(0);
});
