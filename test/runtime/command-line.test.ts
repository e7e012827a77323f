import { execFile, spawn } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { PassThrough } from 'node:stream';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { runCommandLine } from '../../src/runtime/command-line.ts';
import { syntheticMarket, toCsv } from '../../src/runtime/synthetic-market.ts';
import { temporaryFolder } from '../support/temporary.ts';

const CLI = new URL('../../src/runtime/cli.ts', import.meta.url).pathname;
const HEADER = 'symbol,date,open,high,low,close,volume\n';
const GOOD = 'AAPL,2020-01-02,10,12,9,11,1000\n';

// The test runner has a MODE of its own, and MODE is one of consolidate's variables.
delete process.env.MODE;

/** Runs a command in this process and keeps what it prints. */
async function run(...args: string[]) {
  let [stdout, stderr] = ['', ''];
  const code = await runCommandLine(args, {
    stdout: capture((text) => {
      stdout += text;
    }),
    stderr: capture((text) => {
      stderr += text;
    }),
  });
  return { code, stdout, stderr, json: () => JSON.parse(stdout) };
}

function capture(add: (text: string) => void): NodeJS.WriteStream {
  const write = (text: string): boolean => {
    add(text);
    return true;
  };
  return { isTTY: false, write } as NodeJS.WriteStream;
}

async function lakeWith(csv: string) {
  const folder = await temporaryFolder();
  await writeFile(`${folder}/bars.csv`, csv);
  return { folder, csv: `${folder}/bars.csv`, lake: ['--lake', `file:${folder}/lake`] };
}

describe('batch-layer', () => {
  test('runs the main job: ingest, consolidate, resample', async () => {
    const { csv, lake } = await lakeWith(HEADER + GOOD);
    const ingested = await run('ingest', 'csv', csv, ...lake, '--json');
    expect(ingested.code).toBe(0);
    expect(ingested.json()).toMatchObject({ command: 'ingest csv', landed: 1, objectsCreated: 1 });
    const consolidated = await run('consolidate', ...lake, '--json', '--retention-days', '100000');
    expect(consolidated.json()).toMatchObject({ command: 'consolidate', written: 1, dailyFilesApplied: 1, failed: [] });
    const resampled = await run('resample', ...lake, '--json', '--intervals', '3,5');
    expect(resampled.json()).toMatchObject({ bars: 1, intervals: [{ interval: 3, groups: 1 }, { interval: 5 }] });
    expect(ingested.stderr + consolidated.stderr + resampled.stderr).toBe('');
    expect((await run('resample', ...lake)).stdout).toContain('silver/silver_34d/');
  });

  test('exit code 3 and named lines where some rows are wrong', async () => {
    const { csv, lake } = await lakeWith(`${HEADER}${GOOD}AAPL,2020-01-03,10,8,9,11,1000\n`);
    const { code, stdout } = await run('ingest', 'csv', csv, ...lake);
    expect(code).toBe(3);
    expect(stdout).toContain('1 bar of 1 symbol landed');
    expect(stdout).toContain(`${csv}:3: inconsistent`);
  });

  test('exit code 3 where a symbol is damaged, with its key', async () => {
    const { csv, folder, lake } = await lakeWith(HEADER + GOOD + GOOD.replace('AAPL', 'MSFT'));
    await run('ingest', 'csv', csv, ...lake, '--consolidated');
    await writeFile(`${folder}/lake/bronze/raw_ohlcv/symbol=MSFT/data.parquet`, 'PAR1 no more');
    for (const command of [['consolidate', '--mode', 'full'], ['resample']]) {
      const { code, stdout } = await run(...command, ...lake);
      expect(code).toBe(3);
      expect(stdout).toContain('CorruptObject: bronze/raw_ohlcv/symbol=MSFT/data.parquet');
    }
  });

  test.each([
    [['nonsense']],
    [['ingest', 'csv']],
    [['consolidate', '--max-workers', '0']],
    [['consolidate', '--mode', 'sideways']],
    [['consolidate', '--retention-days', 'x']],
    [['resample', '--intervals', '3,3']],
    [['resample', '--intervals', 'three']],
    [['resample', '--symbols', '../x']],
    [['resample', '--lake', 's3:/wrong']],
    [['resample', '--unknown']],
    [['resample', '--shard', '4/4']],
    [['resample', '--shard', 'x']],
    [['resample', '--shard', '1/0']],
    [['resample', '--lookback', '0y']],
    [['resample', '--lookback', '5']],
    [['resample', '--lookback', '5w']],
    [['ingest', 'csv', '/no/such/file.csv']],
    [[]],
  ])('exit code 2 for bad usage: %j', async (args) => {
    const { code, stdout, stderr } = await run(...args);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).not.toBe('');
    if (args.length > 0) expect((await run(...args, '--json')).json()).toMatchObject({ error: { code: 'BadInput' } });
  });

  test('takes its defaults from the environment', async () => {
    const { csv, folder } = await lakeWith(HEADER + GOOD);
    vi.stubEnv('LAKE_URL', `file:${folder}/elsewhere`);
    vi.stubEnv('RESAMPLING_INTERVALS', '4,6');
    vi.stubEnv('RETENTION_DAYS', '100000');
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    await run('ingest', 'csv', csv);
    expect((await run('consolidate', '--json')).json()).toMatchObject({ written: 1, dailyFilesDeleted: 0 });
    expect((await run('resample', '--json')).json()).toMatchObject({ intervals: [{ interval: 4 }, { interval: 6 }] });
    expect(await readdir(`${folder}/elsewhere`)).toContain('silver');
    vi.stubEnv('MAX_WORKERS', 'many');
    expect((await run('consolidate')).code).toBe(2);
    vi.stubEnv('MAX_WORKERS', '3');
    vi.stubEnv('MODE', 'full');
    expect((await run('consolidate')).code).toBe(0);
  });

  test.each([
    ['--lookback', '0y', 'such as 5y or 18m'],
    ['--lookback', '5', 'such as 5y or 18m'],
    ['--lookback', '5w', 'such as 5y or 18m'],
    ['--shard', '4/4', 'such as 0/4 for the first of four'],
    ['--shard', 'x', 'such as 0/4 for the first of four'],
  ])('%s %s: says what is expected', async (option, value, expected) => {
    const { stderr } = await run('resample', option, value);
    expect(stderr).toContain(`argument '${value}' is invalid`);
    expect(stderr).toContain(expected);
  });

  test.each([
    ['5y', 8],
    ['18m', 22],
    ['3m', 27],
  ])(
    'resample --lookback %s defers %i of 28 month files, and the next run makes them good',
    async (lookback, files) => {
      const rows = Array.from({ length: 84 }, (_, i) => {
        const date = `${2014 + Math.floor(i / 12)}-${String((i % 12) + 1).padStart(2, '0')}-15`;
        return `AAPL,${date},10,12,9,11,1000\n`;
      });
      const { csv, lake } = await lakeWith(HEADER + rows.join(''));
      await run('ingest', 'csv', csv, ...lake, '--consolidated');
      const resampleIn3 = ['resample', ...lake, '--intervals', '3'];
      const { code, stdout } = await run(...resampleIn3, '--lookback', lookback);
      expect(code).toBe(0);
      expect(stdout).toContain(`${files} month files deferred by --lookback`);
      const { json } = await run(...resampleIn3, '--json');
      expect(json()).toMatchObject({
        intervals: [{ filesWritten: files, filesUnchanged: 28 - files, filesDeferred: 0 }],
      });
      expect((await run(...resampleIn3)).stdout).not.toContain('deferred');
    },
  );

  test('a child of an AWS Batch array job resamples its own shard, unless --shard names another', async () => {
    const symbols = ['AAPL', 'AMZN', 'BRK.B', 'GE', 'IBM', 'KO', 'MSFT', 'T'];
    const { csv, folder, lake } = await lakeWith(
      HEADER + symbols.map((symbol) => GOOD.replace('AAPL', symbol)).join(''),
    );
    await run('ingest', 'csv', csv, ...lake, '--consolidated');
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    const filesOf = async () => {
      const names = await readdir(`${folder}/lake`, { recursive: true });
      return names
        .filter((name) => /^(?:silver|processing_metadata).silver_.*\.(?:parquet|json)$/.test(name))
        .map((name) => basename(name))
        .sort();
    };
    const resampleIn5 = ['resample', ...lake, '--intervals', '5'];
    vi.stubEnv('AWS_BATCH_JOB_ARRAY_INDEX', '1');
    vi.stubEnv('AWS_BATCH_JOB_ARRAY_SIZE', undefined);
    const unsized = await run(...resampleIn5);
    expect(unsized.code).toBe(2);
    expect(unsized.stderr).toContain('AWS_BATCH_JOB_ARRAY_SIZE is not set');
    expect(await filesOf()).toEqual([]);
    vi.stubEnv('AWS_BATCH_JOB_ARRAY_SIZE', '1');
    expect((await run(...resampleIn5)).code).toBe(2);
    vi.stubEnv('AWS_BATCH_JOB_ARRAY_SIZE', '2');
    const second = (await run(...resampleIn5, '--json')).json();
    const ofSecond = ['data_5d_202001.s001of002.parquet', 'silver_5d_checkpoint.s001of002.json'];
    expect(await filesOf()).toEqual(ofSecond);
    const first = (await run(...resampleIn5, '--shard', '0/2', '--json')).json();
    const ofFirst = ofSecond.map((name) => name.replace('s001', 's000'));
    expect(await filesOf()).toEqual([...ofFirst, ...ofSecond].sort());
    expect(first.symbols + second.symbols).toBe(symbols.length);
  });

  test.each([
    [{ S3_BUCKET: 'bucket', S3_PREFIX: 'team/bronze/raw_ohlcv' }, 's3://bucket/team'],
    [{ S3_BUCKET: 'bucket', S3_PREFIX: 'bronze/raw_ohlcv/' }, 's3://bucket'],
    [{ S3_BUCKET_NAME: 'bucket', S3_PREFIX: 'team/' }, 's3://bucket/team'],
    [{ S3_DATALAKE_BUCKET: 'bucket', S3_BUCKET: 'other' }, 's3://bucket'],
    [{ S3_PREFIX: 'team' }, 'file:./lake'],
    [{}, 'file:./lake'],
  ])('the environment %j makes the lake %s', async (variables, lake) => {
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    const none = {
      S3_DATALAKE_BUCKET: undefined,
      S3_BUCKET: undefined,
      S3_BUCKET_NAME: undefined,
      S3_PREFIX: undefined,
    };
    for (const [name, value] of Object.entries({ ...none, ...variables })) vi.stubEnv(name, value);
    const { stdout } = await run('resample', '--help');
    expect(stdout.replaceAll(/\s+/g, ' ')).toContain(`(default: "${lake}", env: LAKE_URL)`);
  });

  test('shows progress on a terminal, and only there', async () => {
    const { csv, lake } = await lakeWith(HEADER + GOOD);
    const terminal = Object.assign(new PassThrough(), {
      isTTY: true,
      columns: 80,
      cursorTo: () => true,
      clearLine: () => true,
    });
    let shown = '';
    terminal.on('data', (chunk) => {
      shown += chunk;
    });
    const stderr = terminal as unknown as NodeJS.WriteStream;
    const code = await runCommandLine(['ingest', 'csv', csv, ...lake], { stdout: capture(() => undefined), stderr });
    expect(code).toBe(0);
    expect(shown).toMatch(/write +.*1\/1/);
    expect((await run('ingest', 'csv', csv, ...lake)).stderr).toBe('');
  });

  test('exit code 1 where every symbol failed', async () => {
    const { csv, folder, lake } = await lakeWith(HEADER + GOOD);
    await run('ingest', 'csv', csv, ...lake, '--consolidated');
    await writeFile(`${folder}/lake/bronze/raw_ohlcv/symbol=AAPL/data.parquet`, 'no Parquet');
    expect((await run('ingest', 'csv', csv, ...lake, '--consolidated')).code).toBe(1);
    expect((await run('consolidate', '--mode', 'full', ...lake)).code).toBe(1);
    expect((await run('resample', ...lake)).code).toBe(1);
    expect((await run('resample', '--symbols', 'NONE', ...lake)).code).toBe(1);
  });

  test('exit code 1 and one JSON object where the job fails', async () => {
    const { csv, folder, lake } = await lakeWith(HEADER + GOOD);
    await run('ingest', 'csv', csv, ...lake, '--consolidated');
    await run('resample', ...lake);
    await writeFile(`${folder}/lake/processing_metadata/silver_3d_checkpoint.json`, '{}');
    const { code, json, stderr } = await run('resample', ...lake, '--json');
    expect(code).toBe(1);
    expect(json()).toMatchObject({ command: 'resample', error: { code: 'CorruptObject' } });
    expect(stderr).toContain('--force-full');
    expect((await run('resample', ...lake, '--force-full')).code).toBe(0);
  });

  test.each([
    [['--help']],
    [['ingest', 'csv', '--help']],
    [['consolidate', '--help']],
    [['resample', '--help']],
    [['demo', '--help']],
  ])('%j shows examples', async (args) => {
    const { code, stdout } = await run(...args);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Examples:\n {2}batch-layer /);
  });

  test('demo makes a lake from real bars, and again changes nothing in silver', async () => {
    const folder = await temporaryFolder();
    const first = await run('demo', '--dir', folder, '--json');
    expect(first.code).toBe(0);
    expect(first.json().resampled).toMatchObject({ symbols: 102, bars: 256_365, failed: [] });
    expect(first.json().preview.rows.at(-1)).toMatchObject({
      endDate: '2018-05-11',
      close: 188.589996,
      complete: true,
    });
    const second = await run('demo', '--dir', folder, '--json');
    for (const { filesWritten } of second.json().resampled.intervals) expect(filesWritten).toBe(0);
    await writeFile(`${folder}/lake/bronze/raw_ohlcv/symbol=AAAA/data.parquet`, 'no Parquet');
    const damaged = await run('demo', '--dir', folder);
    expect(damaged.stdout).toContain('read_parquet');
    expect(damaged.stdout).toContain('CorruptObject');
    expect(damaged.code).toBe(3);
  });
});

describe('as a process', () => {
  test('SIGTERM ends a run cleanly with exit code 143, and the next run finishes the work', async () => {
    const folder = await temporaryFolder();
    const market = syntheticMarket({ symbols: 40, bars: 8000, longest: 1000, lastDate: '2025-12-31' });
    await writeFile(`${folder}/bars.csv`, [...toCsv(market)].join(''));
    const args = ['ingest', 'csv', `${folder}/bars.csv`, '--lake', `file:${folder}/lake`, '--json'];
    const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
    while ((await readdir(`${folder}/lake/bronze/raw_ohlcv`).catch(() => [])).length < 3) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    child.kill('SIGTERM');
    expect(await exited).toBe(143);
    expect(stderr).toContain('stopped by SIGTERM');
    expect(await readdir(`${folder}/lake/.batch-layer/staged`)).toEqual([]);
    const { code, json } = await run(...args);
    expect(code).toBe(0);
    expect(json()).toMatchObject({ landed: 8000 });
    expect(json().objectsUnchanged).toBeGreaterThan(0);
  });

  test.each([
    ['20.20.2', false],
    ['22.18.0', false],
    ['22.19.0', true],
    ['23.0.0', true],
  ])('under Node.js %s says what it needs, or runs: %s', async (version, isRun) => {
    const pretend = `data:text/javascript,Object.defineProperty(process.versions,'node',{value:'${version}'})`;
    const running = promisify(execFile)(process.execPath, ['--import', pretend, CLI, '--help']);
    const { code = 0, stdout, stderr } = await running.catch((error) => error);
    const told = `batch-layer: needs Node.js 22.19 or later: this is ${version}\n`;
    expect({ code, stderr }).toEqual(isRun ? { code: 0, stderr: '' } : { code: 1, stderr: told });
    expect(stdout).toMatch(isRun ? /^Usage: batch-layer/ : /^$/);
    const { engines } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(engines).toEqual({ node: '>=22.19' });
  });

  test.each(['stdout', 'stderr'] as const)('a reader of %s who goes away is no error', async (name) => {
    const args = name === 'stdout' ? ['--help'] : ['--no-such-option'];
    const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    child[name].destroy();
    let told = '';
    child[name === 'stdout' ? 'stderr' : 'stdout'].on('data', (chunk) => {
      told += chunk;
    });
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    expect([code, told]).toEqual([name === 'stdout' ? 0 : 2, '']);
  });

  test('the package has the binary that npm links', async () => {
    const { bin } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(bin).toEqual({ 'batch-layer': 'dist/runtime/cli.js' });
    expect(await readFile(CLI, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
  });
});
