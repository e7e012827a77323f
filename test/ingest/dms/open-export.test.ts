import { readFile, truncate, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { ingestDms } from '../../../src/ingest/dms/ingest-dms.ts';
import { MAX_GROUP_ROWS, planFile } from '../../../src/ingest/dms/open-export.ts';
import { splitFooter } from '../../../src/lake/footer.ts';
import { memoryStore } from '../../../src/lake/memory-store.ts';
import { keysOf } from '../../support/lake-reader.ts';
import {
  type ExportLake,
  LOAD1,
  lakeOf,
  openExportLake,
  PREFIX,
  selectHistory,
  selectRows,
  writeLoad,
} from './dms-export.ts';

const LOAD2 = `${PREFIX}/LOAD00000002.parquet`;
const GOOD = selectRows([{}]);

async function failureOf({ store }: ExportLake): Promise<{ code: string; message: string }> {
  const failure = await ingestDms(store).then(
    () => undefined,
    (error) => error,
  );
  // Whatever is wrong, it is found before anything is written.
  expect((await keysOf(store)).filter((key) => !key.startsWith(PREFIX))).toEqual([]);
  return { code: failure?.code, message: failure?.message };
}

describe('an export is refused', () => {
  test('where there is none', async () => {
    const lake = await openExportLake();
    expect(await failureOf(lake)).toEqual({
      code: 'BadInput',
      message: `${PREFIX}/: no export: expected keys ${PREFIX}/LOAD*.parquet, as DMS writes them`,
    });
    await expect(ingestDms(memoryStore(), { prefix: '' })).rejects.toMatchObject({ code: 'BadInput' });
    await expect(ingestDms(memoryStore(), { prefix: '../elsewhere' })).rejects.toMatchObject({ code: 'BadInput' });
  });

  test.each([
    [
      'columns are missing: all are named, with what is there',
      `SELECT symbol, timestamp_1, open, high, volume FROM (${GOOD})`,
      'no column low, close: found symbol, timestamp_1, open, high, volume',
    ],
    [
      "the bar's time is missing: the bookkeeping column is not taken for it",
      `SELECT * EXCLUDE (timestamp_1) FROM (${GOOD})`,
      "no column timestamp_1: found timestamp, symbol, open, high, low, close, volume; timestamp is DMS bookkeeping, the time of the export: the bar's time is expected in timestamp_1",
    ],
    [
      'columns are of other types: all are named, with what they are',
      `SELECT * REPLACE (1 AS symbol, true AS open, TIME '09:30' AS high, uuid() AS low, DATE '2020-01-02' AS close, TIMESTAMP '2020-01-02' AS volume, 18000 AS timestamp_1) FROM (${GOOD})`,
      [
        'column symbol is INTEGER: expected STRING',
        'column timestamp_1 is INTEGER: expected TIMESTAMP, INT96, DATE or STRING',
        ...['open is BOOLEAN', 'high is TIME', 'low is UUID', 'close is DATE', 'volume is TIMESTAMP(MICROS)'].map(
          (found) => `column ${found}: expected DOUBLE, FLOAT, INTEGER, DECIMAL or STRING`,
        ),
      ].join('; '),
    ],
    [
      'optional columns are of other types',
      `SELECT *, INTERVAL 1 DAY AS "interval", true AS trades FROM (${GOOD})`,
      'column interval is INTERVAL: expected STRING; column trades is BOOLEAN: expected DOUBLE, FLOAT, INTEGER, DECIMAL or STRING',
    ],
  ])('where %s', async (_what, select, message) => {
    const lake = await lakeOf(GOOD);
    await writeLoad(lake, select, { key: LOAD2 });
    expect(await failureOf(lake)).toEqual({ code: 'BadInput', message: `${LOAD2}: ${message}` });
  });

  test('naming every file that is wrong, up to twenty', async () => {
    const lake = await openExportLake();
    await writeLoad(lake, `SELECT * EXCLUDE (open) FROM (${GOOD})`);
    const file = await readFile(`${lake.folder}/${LOAD1}`);
    for (let i = 2; i <= 23; i++) await writeFile(`${lake.folder}/${PREFIX}/LOAD${i}.parquet`, file);
    const { message } = await failureOf(lake);
    expect(message.split('\n')).toHaveLength(21);
    expect(message).toContain(`${LOAD1}: no column open`);
    expect(message).toMatch(/\nand 3 files more$/);
  });

  test('where a row group is too large for bounded memory', async () => {
    const lake = await lakeOf(GOOD);
    const footer = splitFooter(await readFile(`${lake.folder}/${LOAD1}`), LOAD1);
    const groups = footer.rowGroups.map((group) => ({ ...group, rows: MAX_GROUP_ROWS + 1 }));
    const { wrong } = planFile({ ...footer, rowGroups: groups }, { key: LOAD1, etag: '1' });
    expect(wrong).toEqual([expect.stringContaining(`row group 0 has ${MAX_GROUP_ROWS + 1} rows`)]);
    expect(planFile(footer, { key: LOAD1, etag: '1' }).wrong).toEqual([]);
  });
});

describe('a damaged file is CorruptObject with its key, and nothing is written', () => {
  const prepare = async (): Promise<{ readonly lake: ExportLake; readonly path: string; readonly size: number }> => {
    const lake = await lakeOf(GOOD);
    await writeLoad(lake, selectHistory('A', 6000), { key: LOAD2, options: 'ROW_GROUP_SIZE 2048' });
    const path = `${lake.folder}/${LOAD2}`;
    return { lake, path, size: (await readFile(path)).length };
  };

  test.each([0, 5, 100, -100, -1])('cut off at %d bytes', async (at) => {
    const { lake, path, size } = await prepare();
    await truncate(path, at < 0 ? size + at : at);
    const { code, message } = await failureOf(lake);
    expect(code).toBe('CorruptObject');
    expect(message).toContain(LOAD2);
  });

  test('with a footer that is none', async () => {
    const { lake, path, size } = await prepare();
    const file = await readFile(path);
    file.fill(0xff, size - 300, size - 8);
    await writeFile(path, file);
    expect(await failureOf(lake)).toEqual({ code: 'CorruptObject', message: expect.stringContaining(LOAD2) });
  });

  test('with a row group that cannot be decoded, behind others that can', async () => {
    const { lake, path } = await prepare();
    const file = await readFile(path);
    const group = splitFooter(file, LOAD2).rowGroups[2]!;
    const { start, size } = group.columns.find(({ name }) => name === 'volume')!;
    file.fill(0xa5, start, start + size);
    await writeFile(path, file);
    const { code, message } = await failureOf(lake);
    expect(code).toBe('CorruptObject');
    expect(message).toContain(`${LOAD2}: row group 2, column volume`);
    // As the message says: repaired, it can be run again.
    await writeLoad(lake, selectHistory('A', 6000), { key: LOAD2 });
    expect(await ingestDms(lake.store)).toMatchObject({ landed: 6001, failed: [] });
  });

  // The first read is of the footer.
  test.each([1, 3])('that is replaced before read %d of it is a Conflict', async (read) => {
    const { lake } = await prepare();
    const { store } = lake;
    let reads = 0;
    const replaced: typeof store = {
      ...store,
      async getRange(key, call) {
        if (key === LOAD2 && ++reads === read) await writeLoad(lake, selectHistory('A', 5000), { key: LOAD2 });
        return store.getRange(key, call);
      },
    };
    await expect(ingestDms(replaced)).rejects.toMatchObject({ code: 'Conflict' });
    expect((await keysOf(store)).filter((key) => !key.startsWith(PREFIX))).toEqual([]);
  });
});

test('no mutation of a file ends otherwise than in rows that are accounted for, or in CorruptObject or BadInput with its key', async () => {
  const lake = await lakeOf(selectHistory('A', 50));
  const file = await readFile(`${lake.folder}/${LOAD1}`);
  let random = 12;
  const below = (n: number): number => {
    random = (random * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((random / 2 ** 31) * n);
  };
  const ends: Record<string, number> = {};
  for (let i = 0; i < 400; i++) {
    const [store, body] = [memoryStore(), new Uint8Array(file)];
    for (let flips = 1 + below(3); flips > 0; flips--) body[below(body.length)]! ^= 1 << below(8);
    await store.put(LOAD1, body);
    try {
      const { rows, landed, rejected, duplicates, failed } = await ingestDms(store);
      expect({ rows: landed + rejected + duplicates, failed }).toEqual({ rows, failed: [] });
      ends.landed = (ends.landed ?? 0) + 1;
    } catch (error) {
      const { code, message } = error as { code: string; message: string };
      expect(['CorruptObject', 'BadInput']).toContain(code);
      expect(message).toContain(LOAD1);
      expect(await keysOf(store, 'bronze/')).toEqual([]);
      ends[code] = (ends[code] ?? 0) + 1;
    }
  }
  expect(Object.keys(ends).sort()).toEqual(['BadInput', 'CorruptObject', 'landed']);
});
