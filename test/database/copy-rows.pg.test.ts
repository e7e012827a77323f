import { describe, expect, test } from 'vitest';
import { rowsToColumns } from '../../src/database/bar-rows.ts';
import { encodeCopy, stageRows } from '../../src/database/copy-rows.ts';
import { BatchLayerError } from '../../src/errors.ts';
import { BRONZE_SCHEMA } from '../../src/lake/bronze.ts';
import type { Columns } from '../../src/lake/columns.ts';
import { withClient } from '../support/postgres/client.ts';
import { openUntilFinished } from './open-database.ts';
import { atEach, createWeather, stepClock, write } from './weather.ts';
import { contentOf, createWorld, type Entry, holdAll, newDate, rowsOf } from './weather-world.ts';

describe('rows on their way to the server', () => {
  // Some of several chunks, each of 256 KB.
  const MANY = Array.from({ length: 3_000 }, (_, i) => [`S${i}`, i] as const);
  const many = (n: number): readonly Entry[] => MANY.map(([symbol, i]) => [symbol, newDate(n, 1 + (i % 28)), i]);

  test('are all there, or none, wherever among their bytes the connection is cut', async () => {
    const weather = await createWeather(many);
    const { world, proxy } = weather;
    const chunks = [...encodeCopy(BRONZE_SCHEMA, rowsToColumns(rowsOf(many(0))))].map(({ length }) => length);
    const [first = 0, second = 0] = chunks;
    expect(second).toBeGreaterThan(10_000);
    const total = first + second;
    const points = [0, 18, 20, first, first + 1, total - 2, total - 1, total];
    await atEach(weather, points.map(String), async ({ step, entries, before }) => {
      const cut = () => proxy.arm({ kind: 'cut', afterCopyBytes: Number(step) });
      const counts = [cut()];
      const clock = stepClock({ onRetry: () => void counts.push(cut()) });
      await expect(write(proxy.url, entries, { clock })).rejects.toMatchObject({ code: 'Unavailable' });
      expect(counts).toEqual([{ hits: 1 }, { hits: 1 }, { hits: 1 }]);
      expect(await contentOf(world)).toEqual(before);
      await write(proxy.url, entries);
    });
  });

  test('come a second time when the backend is killed among them', async () => {
    const world = await createWorld();
    const database = openUntilFinished(world.url);
    const killed: unknown[] = [];
    let tries = 0;
    const made = await withClient(world.url, (killer) =>
      database.transaction(async (client) => {
        tries++;
        const { rows } = await client.query('SELECT pg_backend_pid() AS pid');
        const columns = watched(rowsToColumns(rowsOf(many(0))), 100, () => {
          if (killed.length === 0) killed.push(killer.query('SELECT pg_terminate_backend($1)', [rows[0].pid]));
        });
        await stageRows(client, BRONZE_SCHEMA, columns);
        return (await client.query('SELECT count(*)::int AS n FROM staged')).rows[0].n;
      }),
    );
    expect({ made, killed: killed.length, tries }).toEqual({ made: MANY.length, killed: 1, tries: 2 });
  });

  test.each([0, 1, 1_500, 2_999])('leave nothing behind where their source fails at row %i', async (row) => {
    const world = await createWorld();
    const database = openUntilFinished(world.url);
    const before = await contentOf(world);
    const stage = (failure: Error) => {
      let tries = 0;
      const work = database.transaction(async (client) => {
        tries++;
        await client.query('DELETE FROM raw_ohlcv');
        const columns = watched(rowsToColumns(rowsOf(many(0))), row, () => {
          throw failure;
        });
        await stageRows(client, BRONZE_SCHEMA, columns);
      });
      return work.catch((error) => ({ error, tries }));
    };
    const corrupt = new BatchLayerError('CorruptObject', 'raw/AAPL.parquet: is damaged');
    expect(await stage(corrupt)).toEqual({ error: corrupt, tries: 1 });
    const failure = new Error('the source is gone');
    const { error } = (await stage(failure)) as { error: BatchLayerError };
    expect([error.message, error.cause]).toEqual([expect.stringContaining('the source is gone'), failure]);
    expect(await contentOf(world)).toEqual(before);
    // All of the pool's connections, at once.
    expect(await holdAll(database)).toBe(4);
    expect(await world.connections()).toBe(4);
  });

  test('that the server cannot read are told by their line, while others still come', async () => {
    const world = await createWorld();
    const columns = rowsToColumns(rowsOf(many(0)));
    const [symbols] = columns.values as [{ bytes: Uint8Array; offsets: Int32Array }];
    symbols.bytes[symbols.offsets[2]!] = 0xff;
    const staged = openUntilFinished(world.url).transaction((client) => stageRows(client, BRONZE_SCHEMA, columns));
    await expect(staged).rejects.toMatchObject({
      code: 'BadInput',
      message: expect.stringMatching(/invalid byte sequence .*; COPY staged, line 3, column symbol: check the row/),
    });
  });
});

/** Columns that tell when row `row` is read. */
function watched(columns: Columns, row: number, onRead: () => void): Columns {
  const get = (target: object, name: string | symbol) => {
    if (name === String(row)) onRead();
    return Reflect.get(target, name);
  };
  return {
    ...columns,
    values: columns.values.map((values, c) =>
      c === 2 ? new Proxy<Float64Array>(values as Float64Array, { get }) : values,
    ),
  };
}
