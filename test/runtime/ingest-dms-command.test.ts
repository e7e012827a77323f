import { expect, test } from 'vitest';
import { fileStore } from '../../src/lake/file-store.ts';
import { lakeOf, rowsOfSymbol, selectRows, writeLoad } from '../ingest/dms/dms-export.ts';
import { readBronze } from '../support/lake-reader.ts';
import { runCommand } from '../support/run-command.ts';

test('ingest dms: what landed, for people and for programs, and exit code 0', async () => {
  const { folder } = await lakeOf(
    selectRows([
      ...rowsOfSymbol('A', 3),
      ...rowsOfSymbol('B', 2),
      { symbol: 'B', volume: 5 },
      { symbol: 'B', volume: 5 },
    ]),
  );
  const { code, stdout } = await runCommand(['ingest', 'dms', '--lake', `file:${folder}`]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^7 rows of 1 file: 6 bars of 2 symbols in bronze, 2019-04-14 to 2020-01-02\n/);
  expect(stdout).toContain('rows: 1 there twice, 0 of other intervals, 0 rejected\n');
  expect(stdout).toContain('volume: 5,005.5 in the export, 5,005.5 in bronze, of the same sessions\n');
  expect(stdout).toContain(
    'objects: 2 created, 0 replaced, 0 unchanged\nby symbol: processing_metadata/dms_import.parquet\n',
  );
  expect(stdout).toContain('problems: duplicate 1\n  public/raw_ohlcv/LOAD00000001.parquet, row 6: duplicate: ');
  const again = await runCommand(['ingest', 'dms', '--json', '--lake', `file:${folder}`]);
  expect(again.json()).toMatchObject({ command: 'ingest dms', landed: 6, objectsUnchanged: 2, duplicates: 1, kept: 0 });
  expect(Object.keys(await readBronze(fileStore(folder)))).toEqual(['A', 'B']);
});

test('ingest dms: rows that are wrong are told, and exit code 3', async () => {
  const { folder } = await lakeOf(selectRows([{}, { time: '2020-01-03', low: -1 }]));
  const { code, stdout } = await runCommand(['ingest', 'dms', '--lake', `file:${folder}`]);
  expect(code).toBe(3);
  expect(stdout).toContain('row 1: negative: low is -1: expected 0 or more\n');
});

test('ingest dms: bars that bronze has otherwise are told', async () => {
  const lake = await lakeOf(selectRows([{ volume: 7.5 }]));
  await runCommand(['ingest', 'dms', '--lake', `file:${lake.folder}`]);
  await writeLoad(lake, selectRows([{}, { time: '2020-01-03' }]));
  const { code, stdout } = await runCommand(['ingest', 'dms', '--lake', `file:${lake.folder}`]);
  expect(code).toBe(0);
  expect(stdout).toContain('volume: 2,000 in the export, 1,007.5 in bronze, of the same sessions\n');
  expect(stdout).toContain('kept: 1 bar that bronze has otherwise, with volume 7.5 (1,000 in the export)\n');
});

test('ingest dms: no export there is bad usage, and says what was expected', async () => {
  const { folder } = await lakeOf(selectRows([{}]));
  const { code, stderr } = await runCommand(['ingest', 'dms', '--prefix', 'exports/old', '--lake', `file:${folder}`]);
  expect(code).toBe(2);
  expect(stderr).toBe(
    'batch-layer: exports/old/: no export: expected keys exports/old/LOAD*.parquet, as DMS writes them\n',
  );
});
