import { mkdir } from 'node:fs/promises';
import { readConsolidated } from '../../../src/lake/consolidated.ts';
import { fileStore } from '../../../src/lake/file-store.ts';
import type { ObjectStore } from '../../../src/lake/store.ts';
import { listSymbols } from '../../../src/lake/symbol-files.ts';
import { formatSession } from '../../../src/session.ts';
import { queryDuckDB } from '../../support/duckdb.ts';
import { temporaryFolder } from '../../support/temporary.ts';

export const PREFIX = 'public/raw_ohlcv';
export const LOAD1 = `${PREFIX}/LOAD00000001.parquet`;

/** A lake in a folder of its own, with an export in it. */
export interface ExportLake {
  readonly store: ObjectStore;
  readonly folder: string;
  /** Where DuckDB finds the files of the export. */
  readonly files: string;
}

/** An empty lake with a folder for an export. */
export async function openExportLake(): Promise<ExportLake> {
  const folder = await temporaryFolder();
  await mkdir(`${folder}/${PREFIX}`, { recursive: true });
  return { store: fileStore(folder), folder, files: `${folder}/${PREFIX}/LOAD*.parquet` };
}

/** Writes what a SELECT gives as a file of the export. */
export async function writeLoad(
  { folder }: ExportLake,
  select: string,
  { key = LOAD1, options = '' }: { readonly key?: string; readonly options?: string } = {},
): Promise<void> {
  await queryDuckDB(`COPY (${select}) TO '${folder}/${key}' (FORMAT parquet${options && `, ${options}`})`);
}

/** A lake with an export of one file. */
export async function lakeOf(select: string, options?: string): Promise<ExportLake> {
  const lake = await openExportLake();
  await writeLoad(lake, select, { options: options ?? '' });
  return lake;
}

/** A row of an export; what is left out is that of a good one. */
export interface ExportRow {
  readonly symbol?: string | null;
  /** YYYY-MM-DD or with a time, UTC. */
  readonly time?: string | null;
  readonly open?: number | null;
  readonly high?: number | null;
  readonly low?: number | null;
  readonly close?: number | null;
  readonly volume?: number | null;
}

/** Rows as a SELECT that has them in the types that DMS writes, with its bookkeeping column first. */
export function selectRows(rows: readonly ExportRow[]): string {
  const values = rows.map(
    ({ symbol = 'AAPL', time = '2020-01-02', open = 10, high = 12, low = 9, close = 11, volume = 1000 }, i) =>
      `(${i}, ${text(symbol)}, ${text(time)}, ${[open, high, low, close, volume].map(number).join(', ')})`,
  );
  return `SELECT TIMESTAMP '2024-06-01 12:34:56.789' AS "timestamp", symbol, CAST(time AS TIMESTAMP) AS timestamp_1, open, high, low, close, volume
    FROM (VALUES ${values.join(', ')}) AS rows(i, symbol, time, open, high, low, close, volume) ORDER BY i`;
}

/** `count` sessions of a symbol, each with a volume of its own. */
export function rowsOfSymbol(symbol: string, count: number, from = 18_000): ExportRow[] {
  return Array.from({ length: count }, (_, i) => ({ symbol, time: formatSession(from + i), volume: 1000 + i / 8 }));
}

/** {@link selectRows} of {@link rowsOfSymbol}, for many. */
export function selectHistory(symbol: string, count: number, from = 18_000): string {
  return `SELECT TIMESTAMP '2024-06-01 12:34:56.789' AS "timestamp", '${symbol}' AS symbol, TIMESTAMP '1970-01-01' + to_days((${from} + i)::INTEGER) AS timestamp_1,
    10.0::DOUBLE AS open, 12.0::DOUBLE AS high, 9.0::DOUBLE AS low, 11.0::DOUBLE AS close, (1000 + i / 8)::DOUBLE AS volume FROM range(${count}) AS rows(i)`;
}

/** Row groups in an export. */
export async function countGroups({ files }: ExportLake): Promise<number> {
  const [row] = await queryDuckDB(
    `SELECT count(DISTINCT (file_name, row_group_id))::INTEGER AS n FROM parquet_metadata('${files}')`,
  );
  return row!.n as number;
}

/** What a run leaves behind: the digest of each history, and the table of proofs byte by byte. */
export async function contentOf(store: ObjectStore): Promise<Record<string, string>> {
  const content: Record<string, string> = {};
  for await (const { symbol } of listSymbols(store)) {
    content[symbol] = (await readConsolidated(store, symbol))?.digest ?? 'none';
  }
  content.proofs = Buffer.from((await store.get('processing_metadata/dms_import.parquet')).body).toString('base64');
  return content;
}

function text(value: string | null): string {
  return value === null ? 'CAST(NULL AS VARCHAR)' : `'${value}'`;
}

function number(value: number | null): string {
  return `CAST('${value ?? 'NaN'}' AS DOUBLE)`.replace(`'NaN'`, value === null ? 'NULL' : `'NaN'`);
}
