import { describe, expect, test } from 'vitest';
import { databaseWatermarks } from '../../src/database/database-watermarks.ts';
import { sessionFrom } from '../../src/session.ts';
import { withClient } from '../support/postgres/client.ts';
import { createTestDatabase } from '../support/postgres/database.ts';
import { startProxy } from '../support/postgres/proxy.ts';
import { describeWatermarkContract } from '../support/watermark-contract.ts';
import { openTestDatabase, openUntilFinished, versionsOf } from './open-database.ts';

const DAY = sessionFrom('2026-03-02');
const NONE = { lastSession: -1, checkedFrom: -1, checkedThrough: -1 };
const MARK = { ...NONE, symbol: 'AAPL', lastSession: DAY };
const LOCK = 'LOCK TABLE watermarks IN SHARE ROW EXCLUSIVE MODE';

describe('watermarks in a database', () => {
  describeWatermarkContract(async (count) => {
    const { url } = await createTestDatabase({ migrate: true });
    return Array.from({ length: count }, () => databaseWatermarks(openUntilFinished(url)));
  });
});

describe('the table of watermarks', () => {
  test('is for SQL: dates, and NULL for what is not known', async () => {
    const { database, query } = await openTestDatabase();
    await databaseWatermarks(database).advance([
      MARK,
      { ...NONE, symbol: 'A', checkedFrom: DAY, checkedThrough: DAY + 1 },
    ]);
    expect(await query('SELECT * FROM watermarks ORDER BY symbol')).toEqual([
      { symbol: 'A', last_date: null, checked_from: '2026-03-02', checked_through: '2026-03-03' },
      { symbol: 'AAPL', last_date: '2026-03-02', checked_from: null, checked_through: null },
    ]);
  });

  test('is not touched, and not locked, where nothing is new', async () => {
    const world = await openTestDatabase({ lockTimeoutMs: 50 });
    const marks = databaseWatermarks(world.database);
    await marks.advance([MARK, { ...MARK, symbol: 'MSFT' }]);
    const before = await versionsOf(world, 'watermarks');
    await withClient(world.url, async (client) => {
      await client.query(`BEGIN; ${LOCK}`);
      await marks.advance([{ ...MARK, lastSession: DAY - 1 }, MARK]);
      expect((await marks.read()).size).toBe(2);
      await expect(marks.advance([{ ...MARK, lastSession: DAY + 1 }])).rejects.toMatchObject({ code: 'Conflict' });
    });
    expect(await versionsOf(world, 'watermarks')).toEqual(before);
    await marks.advance([
      { ...MARK, lastSession: DAY + 1 },
      { ...MARK, symbol: 'MSFT' },
    ]);
    const after = await versionsOf(world, 'watermarks');
    expect(after.filter((row) => before.includes(row))).toHaveLength(1);
  });

  test('is advanced over what another writer commits while this one waits', async () => {
    const world = await openTestDatabase();
    const marks = databaseWatermarks(world.database);
    await marks.advance([MARK]);
    await withClient(world.url, async (client) => {
      await client.query(`BEGIN; ${LOCK}; UPDATE watermarks SET last_date = '2026-03-09'`);
      const advanced = marks.advance([{ ...MARK, lastSession: DAY + 1, checkedFrom: DAY, checkedThrough: DAY + 1 }]);
      await expect.poll(world.waiting).toBe(1);
      await client.query('COMMIT');
      await advanced;
    });
    expect((await marks.read()).get('AAPL')).toEqual({
      symbol: 'AAPL',
      lastSession: DAY + 7,
      checkedFrom: DAY,
      checkedThrough: DAY + 1,
    });
  });

  test('an abort ends the wait for another writer with its reason', async () => {
    const world = await openTestDatabase();
    const controller = new AbortController();
    await withClient(world.url, async (client) => {
      await client.query(`BEGIN; ${LOCK}`);
      const advanced = databaseWatermarks(world.database).advance([MARK], { signal: controller.signal });
      const rejected = expect(advanced).rejects.toThrow('stopped');
      await expect.poll(world.waiting).toBe(1);
      controller.abort(new Error('stopped'));
      await rejected;
    });
    expect(await world.query('SELECT FROM watermarks')).toEqual([]);
  });

  test('takes the marks of a market, and is whole whichever statement the server dies at', async () => {
    const { url, query } = await openTestDatabase();
    const proxy = await startProxy(url);
    const marks = databaseWatermarks(openUntilFinished(proxy.url));
    const market = (session: number) =>
      Array.from({ length: 6_000 }, (_, i) => ({ ...MARK, symbol: `S${i}`, lastSession: session }));
    await marks.advance(market(DAY));
    const count = proxy.statements().length;
    expect(count).toBeGreaterThan(6);
    for (let k = 1; k <= count; k++) {
      const kill = proxy.killAt(k);
      await marks.advance(market(DAY + k));
      expect(kill.hits).toBe(1);
      const found = await query('SELECT last_date - $1::date AS days, count(*)::int AS n FROM watermarks GROUP BY 1', [
        '2026-03-02',
      ]);
      expect(found).toEqual([{ days: k, n: 6_000 }]);
    }
  });
});
