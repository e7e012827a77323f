import { describe, expect, test } from 'vitest';
import type { Database } from '../../src/database/connection.ts';
import { upsertBars } from '../../src/database/upsert-bars.ts';
import { withClient } from '../support/postgres/client.ts';
import type { TestDatabase } from '../support/postgres/database.ts';
import { openTestDatabase, openUntilFinished } from './open-database.ts';
import {
  BATCHES,
  type Content,
  contentAfter,
  contentOf,
  createWorld,
  type Entry,
  holdAll,
  KEEP_FROM,
  keyOf,
  rowsOf,
} from './weather-world.ts';

const LOCK_TIMEOUT_MS = 50;

interface OpenWorld extends TestDatabase {
  readonly database: Database;
  readonly before: Content;
}

async function openWorld(options: Parameters<typeof openUntilFinished>[1] = {}): Promise<OpenWorld> {
  const world = await createWorld();
  return { ...world, database: openUntilFinished(world.url, options), before: await contentOf(world) };
}

function write({ database }: Pick<OpenWorld, 'database'>, entries: readonly Entry[]) {
  return upsertBars(database, rowsOf(entries), { keepFrom: KEEP_FROM });
}

/** Has a trigger do `statements` for each row that is written to the tables of bars. */
function trigger({ query }: TestDatabase, statements: string): Promise<unknown> {
  return query(`CREATE SEQUENCE IF NOT EXISTS calls;
    CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${statements} RETURN NEW; END $$;
    CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON raw_ohlcv FOR EACH ROW EXECUTE FUNCTION fail();
    CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON raw_ohlcv_archive FOR EACH ROW EXECUTE FUNCTION fail()`);
}

function mend({ query }: TestDatabase): Promise<unknown> {
  return query('DROP FUNCTION IF EXISTS fail CASCADE');
}

/** Nothing of a batch that failed is there; the next time it is whole, and every connection of the pool is free. */
async function expectNextWhole(world: OpenWorld, entries: readonly Entry[], before = world.before): Promise<void> {
  expect(await contentOf(world)).toEqual(before);
  await mend(world);
  await write(world, entries);
  expect(await contentOf(world)).toEqual(contentAfter(before, entries));
  expect(await holdAll(world.database)).toBe(4);
}

const POISONS: readonly (readonly [name: string, statements: string, message: RegExp])[] = [
  [
    'a trigger',
    `IF NEW.symbol = 'N7' THEN RAISE EXCEPTION 'no such security' USING DETAIL = 'row ' || NEW.symbol || ' of ' || NEW.date; END IF;`,
    /no such security; row N7 of \d{4}-\d\d-\d\d; .*: check the row$/,
  ],
  [
    'a cast',
    `IF NEW.symbol = 'N7' THEN PERFORM NEW.symbol::int; END IF;`,
    /invalid input syntax for type integer: "N7".*: check the row$/,
  ],
  [
    'a constraint',
    `IF NEW.symbol = 'N7' THEN NEW.close := NULL; END IF;`,
    /null value in column "close".*; Failing row contains \(N7, \d{4}-\d\d-\d\d, .*: check the row$/,
  ],
];

describe('a row that the server refuses', () => {
  test.each(POISONS)(
    'because of %s is named, nothing of its batch is written, others are',
    async (_, statements, message) => {
      const world = await openWorld();
      await trigger(world, statements);
      const entries = BATCHES.mixed(7);
      await expect(write(world, entries)).rejects.toMatchObject({
        code: 'BadInput',
        message: expect.stringMatching(message),
      });
      expect(await contentOf(world)).toEqual(world.before);
      await write(world, BATCHES.mixed(8));
      await expectNextWhole(world, entries, contentAfter(world.before, BATCHES.mixed(8)));
    },
  );

  test('because of a CHECK is named with all of its values', async () => {
    const world = await openWorld();
    await world.query(`ALTER TABLE raw_ohlcv ADD CONSTRAINT positive CHECK (symbol <> 'TSLA')`);
    const entries = BATCHES.new(7);
    await expect(write(world, entries)).rejects.toMatchObject({
      code: 'BadInput',
      message: expect.stringMatching(
        /"positive"; Failing row contains \(TSLA, 2025-08-01, 70, 71, 72, 73, 74, 75, 76\): check the row$/,
      ),
    });
    await world.query('ALTER TABLE raw_ohlcv DROP CONSTRAINT positive');
    await expectNextWhole(world, entries);
  });
});

describe('a server without room', () => {
  test.each(['new', 'mixed'] as const)('takes nothing of a batch of %s rows', async (name) => {
    const world = await openWorld();
    await trigger(
      world,
      `IF nextval('calls') % 3 = 0 THEN RAISE 'could not extend file' USING ERRCODE = '53100'; END IF;`,
    );
    const entries = BATCHES[name](7);
    await expect(write(world, entries)).rejects.toMatchObject({
      code: 'Unavailable',
      message: expect.stringMatching(/could not extend file.*: give the server more disk, then run it again$/),
    });
    await expectNextWhole(world, entries);
  });

  test('of its own for what it keeps beside the tables: nothing is written', async () => {
    const world = await openWorld();
    await world.query(`DO $$ BEGIN
      EXECUTE format('ALTER DATABASE %I SET work_mem = 64', current_database());
      EXECUTE format('ALTER DATABASE %I SET temp_file_limit = 64', current_database());
    END $$;
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
    CREATE TRIGGER fail AFTER INSERT ON raw_ohlcv REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION fail()`);
    const entries = Array.from({ length: 3_000 }, (_, i) => [`S${i}`, '2025-01-02', i] as const);
    await expect(write(world, entries)).rejects.toMatchObject({
      code: 'Unavailable',
      message: expect.stringMatching(/temporary file size exceeds.*: run it again later$/),
    });
    await expectNextWhole(world, entries);
  });
});

/** Deadlocks of the connections that were closed: open ones tell when they like. */
async function deadlocksOf({ query, connections }: TestDatabase): Promise<number> {
  await expect.poll(connections).toBe(0);
  const [row] = await query<{ n: number }>(
    'SELECT deadlocks::int AS n FROM pg_stat_database WHERE datname = current_database()',
  );
  return row!.n;
}

describe('a lock of somebody else', () => {
  test.each([
    'LOCK TABLE raw_ohlcv IN ACCESS EXCLUSIVE MODE',
    'SELECT FROM ohlcv_months FOR UPDATE',
    `UPDATE raw_ohlcv SET open = open WHERE symbol = 'AAPL' AND date >= '2024-01-01'`,
  ])('that is kept by %s is waited for three times, no longer', async (lock) => {
    const world = await openWorld({ lockTimeoutMs: LOCK_TIMEOUT_MS });
    const entries = BATCHES.mixed(7);
    await withClient(world.url, async (client) => {
      await client.query(`BEGIN; ${lock}`);
      const start = performance.now();
      await expect(write(world, entries)).rejects.toMatchObject({
        code: 'Conflict',
        message: expect.stringMatching(/lock timeout.*: another transaction holds what it needs; run it again later$/),
      });
      const [least, most] = [3 * LOCK_TIMEOUT_MS, 3 * LOCK_TIMEOUT_MS + 5_000];
      const took = performance.now() - start;
      expect(took > least && took < most, `${took} ms`).toBe(true);
    });
    await expectNextWhole(world, entries);
  });

  test('that is given back in time is waited for', async () => {
    const world = await openWorld();
    const entries = BATCHES.mixed(7);
    await withClient(world.url, async (client) => {
      await client.query('BEGIN; LOCK TABLE raw_ohlcv IN ACCESS EXCLUSIVE MODE');
      const writing = write(world, entries);
      await expect.poll(world.waiting).toBe(1);
      await client.query('COMMIT');
      await writing;
    });
    expect(await contentOf(world)).toEqual(contentAfter(world.before, entries));
  });

  test('in a deadlock costs a try, and no row', async () => {
    const world = await openWorld();
    const entries: readonly Entry[] = [
      ['AAPL', '2024-03-01', 7],
      ['MSFT', '2024-03-01', 7],
    ];
    await world.query(
      `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = 300', current_database()); END $$`,
    );
    await withClient(world.url, async (client) => {
      await client.query(
        `BEGIN; SET LOCAL deadlock_timeout = '1min'; UPDATE raw_ohlcv SET open = 8 WHERE symbol = 'MSFT'`,
      );
      const writing = write(world, entries);
      await expect.poll(world.waiting).toBe(1);
      // Waits for the batch, which waits for it.
      await client.query(`UPDATE raw_ohlcv SET open = 8 WHERE symbol = 'AAPL'; COMMIT`);
      await writing;
    });
    expect(await contentOf(world)).toEqual(contentAfter(world.before, entries));
    await world.database.close();
    expect(await deadlocksOf(world)).toBe(1);
  });

  test.each(['40001', '40P01'])('that was faster (%s) costs a try, three of them the batch', async (code) => {
    const world = await openWorld();
    const [entries, others] = [BATCHES.mixed(7), BATCHES.mixed(8)];
    await trigger(world, `IF nextval('calls') = 1 THEN RAISE 'somebody was faster' USING ERRCODE = '${code}'; END IF;`);
    await write(world, entries);
    const after = contentAfter(world.before, entries);
    expect(await contentOf(world)).toEqual(after);
    await mend(world);
    await trigger(world, `RAISE 'somebody was faster' USING ERRCODE = '${code}';`);
    await expect(write(world, others)).rejects.toMatchObject({
      code: 'Conflict',
      message: expect.stringMatching(/somebody was faster.*: another transaction was faster; run it again$/),
    });
    await expectNextWhole(world, others, after);
  });
});

describe('writers at the same time', () => {
  test('of the same keys in opposite orders both end, and each row is one of theirs', async () => {
    const world = await openTestDatabase();
    const other = openUntilFinished(world.url);
    // A row takes so long that they meet each time.
    await trigger(world, 'PERFORM pg_sleep(0.001);');
    const keys = Array.from({ length: 40 }, (_, i) => [`S${i}`, `2025-0${1 + (i % 3)}-0${1 + (i % 7)}`] as const);
    for (let round = 1; round <= 20; round++) {
      // Some keys are of one of them alone; the last ones are new.
      const of = (value: number, from: number): readonly Entry[] =>
        keys.slice(from, 8 + from + round).map(([symbol, date]) => [symbol, date, value]);
      const [a, b] = [of(round * 100, 0), of(round * 100 + 50, 5).toReversed()];
      await Promise.all([write(world, a), write({ database: other }, b)]);
      const possible = new Set([contentAfter([], a), contentAfter([], b)].flat());
      const found = await contentOf(world);
      expect(found.filter((line) => !possible.has(line))).toEqual([]);
      expect(found.map(keyOf)).toEqual(contentAfter([], [...a, ...b]).map(keyOf));
    }
    await Promise.all([world.database.close(), other.close()]);
    expect(await deadlocksOf(world)).toBe(0);
  });

  test('of new months begin each once, and all rows are there', async () => {
    const world = await openTestDatabase();
    const databases = [world.database, openUntilFinished(world.url)];
    const years = ['2024', '2025', '2026', '2027'];
    const months = years.flatMap((year) => ['01', '02', '06', '11', '12'].map((month) => `${year}-${month}`));
    const batches = [0, 1, 2, 3].map((writer) =>
      // Of each month three of them want to be the one that begins it.
      months.filter((_, m) => (m + writer) % 4 > 0).map((month) => [`W${writer}`, `${month}-05`, writer] as const),
    );
    await Promise.all(batches.map((entries, writer) => write({ database: databases[writer % 2]! }, entries)));
    expect(await contentOf(world)).toEqual(contentAfter([], batches.flat()));
    await Promise.all(databases.map((database) => database.close()));
    expect(await deadlocksOf(world)).toBe(0);
  });

  test('of a second new month wait for the one who began the first before they begin theirs', async () => {
    const world = await openTestDatabase();
    const entries: readonly Entry[] = [['AAPL', '2025-02-03', 1]];
    await withClient(world.url, async (client) => {
      // A writer of both months that has come as far as the first.
      const begin = (months: string) =>
        client.query(`SELECT target FROM route_ohlcv_months('${months}', '2025-01-01')`);
      await client.query('BEGIN');
      await begin('{2025-01-01}');
      const writing = write(world, entries);
      await expect.poll(world.waiting).toBe(1);
      expect((await begin('{2025-01-01,2025-02-01}')).rows).toEqual([{ target: 'raw' }, { target: 'raw' }]);
      await client.query('COMMIT');
      await writing;
    });
    expect(await contentOf(world)).toEqual(contentAfter(['month 2025-01 kept'], entries));
    await world.database.close();
    expect(await deadlocksOf(world)).toBe(0);
  });
});
