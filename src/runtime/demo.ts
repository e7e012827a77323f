import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ingestCsv } from '../ingest/index.ts';
import { columnOf, decodeUtf8, type Utf8Values } from '../lake/columns.ts';
import { consolidate, type ObjectStore, openStore, readConsolidated, SILVER_SCHEMA, silverKey } from '../lake/index.ts';
import { decodeTable } from '../lake/parquet-decode.ts';
import { orNone } from '../lake/store.ts';
import type { FailedSymbol, OnProgress } from '../progress.ts';
import { type ResampleResult, resample } from '../resample/index.ts';
import { formatSession, monthOf, sessionFrom } from '../session.ts';
import { fillDatabase } from './demo-database.ts';
import { syntheticMarket, toCsv } from './synthetic-market.ts';

export interface DemoOptions {
  /** Folder for the input, and for the lake unless it is elsewhere; made where it is missing. */
  readonly dir: string;
  /** URL of the lake, such as `s3://bucket/demo`; else `lake` in the folder. */
  readonly lake?: string | undefined;
  /** URL of a database; else one of its own is started, and gone in the end. */
  readonly db?: string | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A group as the demo shows it. */
export interface PreviewRow {
  readonly date: string;
  readonly endDate: string;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
  readonly bars: number;
  readonly complete: boolean;
}

export interface DemoResult {
  /** URL of the lake. */
  readonly lake: string;
  /** What a Parquet reader calls the lake. */
  readonly path: string;
  readonly steps: readonly { readonly step: string; readonly text: string; readonly seconds: number }[];
  readonly resampled: ResampleResult;
  /** A symbol's last groups of 5 sessions, read back from silver. */
  readonly preview: { readonly symbol: string; readonly rows: readonly PreviewRow[] };
  readonly failed: readonly FailedSymbol[];
}

// Real bars that come with npm packages of the repository's development; an installed package does without them.
const SAMPLES = [
  { symbol: 'AAPL', module: '@observablehq/sample-datasets/aapl.csv', path: 'aapl.csv', consolidated: false },
  { symbol: 'SPX', module: 'vega-datasets', path: '../data/sp500-2000.csv', consolidated: true },
];
const MARKET = { symbols: 100, bars: 250_000, longest: 10_000, lastDate: '2018-05-11' };
const PREVIEW_INTERVAL = 5;

/**
 * Runs the main job on an embedded lake: real bars of AAPL as daily files, of the S&P 500 as bulk history, and a synthetic
 * market for breadth; then consolidates, resamples into all six intervals, and brings what is recent into PostgreSQL. Run again, it
 * comes to the same lake.
 *
 * @example
 * await runDemo({ dir: 'batch-layer-demo' });
 */
export async function runDemo({
  dir,
  lake = `file:${relative('', join(dir, 'lake'))}`,
  db,
  onProgress,
  signal,
}: DemoOptions): Promise<DemoResult> {
  const store = openStore(lake);
  const steps: { step: string; text: string; seconds: number }[] = [];
  const failed: FailedSymbol[] = [];
  const time = async <T>(step: string, work: () => Promise<T>, describe: (result: T) => string): Promise<T> => {
    const started = performance.now();
    const result = await work();
    steps.push({ step, text: describe(result), seconds: Math.round((performance.now() - started) / 10) / 100 });
    return result;
  };
  const timeJob = async <T extends { readonly failed: readonly FailedSymbol[] }>(
    ...job: Parameters<typeof time<T>>
  ): Promise<T> => {
    const result = await time(...job);
    failed.push(...result.failed);
    return result;
  };
  const ingest = (step: string, path: string, options: { readonly symbol?: string; readonly consolidated: boolean }) =>
    timeJob(
      `ingest ${step}`,
      () => ingestCsv(store, [path], { ...options, onProgress, signal }),
      ({ landed, symbols, objectsCreated, objectsUnchanged }) =>
        `${landed} bars, ${symbols} symbols: ${objectsCreated} files created, ${objectsUnchanged} there already`,
    );

  await mkdir(dir, { recursive: true });
  for (const { symbol, module, consolidated, ...sample } of SAMPLES) {
    const path = findSample(module, sample.path);
    if (path) await ingest(`${symbol} ${consolidated ? '(bulk)' : '(daily files)'}`, path, { symbol, consolidated });
    else steps.push({ step: `ingest ${symbol}`, text: `skipped: npm package ${module} is not installed`, seconds: 0 });
  }
  const market = join(dir, 'synthetic-market.csv');
  await pipeline(Readable.from(toCsv(syntheticMarket(MARKET))), createWriteStream(market), {
    ...(signal ? { signal } : {}),
  });
  await ingest('synthetic market (bulk)', market, { consolidated: true });
  await timeJob(
    'consolidate',
    () => consolidate(store, { onProgress, signal }),
    ({ written, unchanged, dailyFilesApplied, dailyFilesDeleted }) =>
      `${written} symbols written, ${unchanged} unchanged, ${dailyFilesApplied} daily files merged, ${dailyFilesDeleted} of them deleted`,
  );
  const resampled = await timeJob(
    'resample',
    () => resample(store, { onProgress, signal }),
    ({ bars, intervals }) => `${bars} bars, ${intervals.reduce((sum, { groups }) => sum + groups, 0)} groups`,
  );
  const lastSession = sessionFrom(MARKET.lastDate);
  const noDatabase = await fillDatabase(store, { db, lastSession, time, onProgress, signal });
  if (noDatabase !== undefined) steps.push({ step: 'PostgreSQL', text: `skipped: ${noDatabase}`, seconds: 0 });
  const symbol = findSample(SAMPLES[0]!.module, SAMPLES[0]!.path) ? 'AAPL' : 'AAAA';
  const preview = { symbol, rows: await previewSilver(store, symbol, signal) };
  return { lake, path: lake.replace(/^file:/, ''), steps, resampled, preview, failed };
}

/** A file beside a module that may not be installed. */
function findSample(module: string, path: string): string | undefined {
  try {
    return resolve(dirname(createRequire(import.meta.url).resolve(module)), path);
  } catch {
    return undefined;
  }
}

async function previewSilver(store: ObjectStore, symbol: string, signal?: AbortSignal): Promise<PreviewRow[]> {
  const history = await readConsolidated(store, symbol, { signal });
  const last = monthOf(history?.bars.session.at(-1) ?? 0);
  const rows: PreviewRow[] = [];
  for (const month of [last - 1, last]) {
    const key = silverKey(PREVIEW_INTERVAL, month);
    const object = await orNone(store.get(key, { signal }));
    if (!object) continue;
    const { columns } = decodeTable(SILVER_SCHEMA, object.body, key);
    const column = (name: string) => columnOf<Float64Array>(SILVER_SCHEMA, columns, name);
    decodeUtf8(columnOf<Utf8Values>(SILVER_SCHEMA, columns, 'symbol')).forEach((found, i) => {
      if (found !== symbol) return;
      const value = (name: string) => column(name)[i]!;
      const [open, high, low, close] = [value('open'), value('high'), value('low'), value('close')];
      const [date, endDate] = [formatSession(value('date')), formatSession(value('end_date'))];
      rows.push({
        date,
        endDate,
        open,
        high,
        low,
        close,
        volume: value('volume'),
        bars: value('bars'),
        complete: value('complete') === 1,
      });
    });
  }
  return rows;
}
