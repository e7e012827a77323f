import { readFile, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { parquetReadObjects } from 'hyparquet';
import { describe, expect, test } from 'vitest';
import { type Bars, sliceBars } from '../../src/bars.ts';
import { ingestCsv } from '../../src/ingest/csv/ingest-csv.ts';
import { writeDaily } from '../../src/ingest/daily-writer.ts';
import { BRONZE_SCHEMA } from '../../src/lake/bronze.ts';
import { columnOf, decodeUtf8, type Utf8Values } from '../../src/lake/columns.ts';
import { consolidate } from '../../src/lake/consolidate.ts';
import { consolidateSymbol } from '../../src/lake/consolidate-symbol.ts';
import { fileStore } from '../../src/lake/file-store.ts';
import { checkpointKey, dataKey, silverKey } from '../../src/lake/keys.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { decodeTable } from '../../src/lake/parquet-decode.ts';
import { SILVER_SCHEMA } from '../../src/lake/silver.ts';
import type { ObjectStore } from '../../src/lake/store.ts';
import { listSymbol } from '../../src/lake/symbol-files.ts';
import { readCheckpoint } from '../../src/resample/checkpoint.ts';
import { INTERVALS } from '../../src/resample/kernel.ts';
import { resample } from '../../src/resample/resample.ts';
import { verify } from '../../src/resample/verify.ts';
import { syntheticMarket, toCsv } from '../../src/runtime/synthetic-market.ts';
import { monthOf, sessionFrom } from '../../src/session.ts';
import { contentEtags } from '../harness/content-etags.ts';
import { arbitraryBars } from '../support/arbitrary-bars.ts';
import { queryDuckDB } from '../support/duckdb.ts';
import { keysOf, silverDigests } from '../support/lake-reader.ts';
import { compareBronzeWithCsv, compareWithDuckDB } from '../support/oracle.ts';
import { temporaryFolder } from '../support/temporary.ts';

const MARKET = { symbols: 12, bars: 6000, longest: 2500, lastDate: '2026-11-20' };
const [small] = fc.sample(arbitraryBars({ minLength: 40, maxLength: 40 }), { numRuns: 1, seed: 5 });

async function importBars(store: ObjectStore, symbol: string, bars: Bars): Promise<void> {
  await consolidateSymbol(store, await listSymbol(store, symbol), { imported: bars });
}

async function fillMarket(store: ObjectStore): Promise<void> {
  for (const { symbol, bars } of syntheticMarket(MARKET)) await importBars(store, symbol, bars);
}

async function smallLake(...symbols: string[]): Promise<ObjectStore> {
  const store = memoryStore();
  for (const symbol of symbols) await importBars(store, symbol, small!);
  return store;
}

describe('resample', () => {
  test('equals DuckDB on the same bronze files, value for value, every interval', async () => {
    const folder = await temporaryFolder();
    const store = fileStore(folder);
    await fillMarket(store);
    const intervals = [...INTERVALS, 1, 7];
    const result = await resample(store, { intervals, maxBytes: 100_000 });
    expect(result).toMatchObject({ symbols: 12, bars: 6000, failed: [], lastDate: '2026-11-20' });
    for (const [k, interval] of intervals.entries()) {
      const { groups } = result.intervals[k]!;
      const compared = await compareWithDuckDB(folder, interval);
      expect(compared).toEqual({ interval, groups, expected: groups, differences: 0, misplaced: 0 });
    }
  });

  test('the oracle can fail: one changed price in one month file is one difference on each side', async () => {
    const folder = await temporaryFolder();
    await fillMarket(fileStore(folder));
    await resample(fileStore(folder), { intervals: [5] });
    const key = `${folder}/${silverKey(5, monthOf(sessionFrom('2026-11-01')))}`;
    await queryDuckDB(`COPY (SELECT * REPLACE (CASE WHEN row_number() OVER () = 1 THEN close + 0.01 ELSE close END AS close)
      FROM '${key}') TO '${key}' (FORMAT parquet)`);
    expect((await compareWithDuckDB(folder, 5)).differences).toBe(2);
  });

  test('bronze has the bars of the CSV file it came from, as DuckDB reads it; and that comparison can fail', async () => {
    const folder = await temporaryFolder();
    await writeFile(`${folder}/bars.csv`, [...toCsv(syntheticMarket(MARKET))].join(''));
    await ingestCsv(fileStore(folder), [`${folder}/bars.csv`], { consolidated: true });
    expect(await compareBronzeWithCsv(folder, `${folder}/bars.csv`)).toEqual({
      bars: 6000,
      notInFile: 0,
      notInBronze: 0,
    });
    const lines = (await readFile(`${folder}/bars.csv`, 'utf8')).split('\n');
    await writeFile(
      `${folder}/bars.csv`,
      [...lines.slice(0, 9), lines[9]!.replace(/,\d+,/, ',0.5,'), ...lines.slice(11)].join('\n'),
    );
    expect(await compareBronzeWithCsv(folder, `${folder}/bars.csv`)).toEqual({
      bars: 6000,
      notInFile: 2,
      notInBronze: 1,
    });
  });

  test('writes month files by the first session, sorted by symbol and date, with an open group at the end', async () => {
    const store = memoryStore();
    const sessions = ['2024-01-29', '2024-01-30', '2024-01-31', '2024-02-01', '2024-02-02'].map(sessionFrom);
    for (const symbol of ['BRK.B', 'BRK', 'aapl', 'AAPL']) {
      await importBars(store, symbol, { ...sliceBars(small!, 0, 5), session: Int32Array.from(sessions) });
    }
    await resample(store, { intervals: [3] });
    expect(await keysOf(store, 'silver/')).toEqual([
      'silver/silver_3d/year=2024/month=01/data_3d_202401.parquet',
      'silver/silver_3d/year=2024/month=02/data_3d_202402.parquet',
    ]);
    const february = silverKey(3, monthOf(sessions[3]!));
    const { columns } = decodeTable(SILVER_SCHEMA, (await store.get(february)).body, february);
    expect(decodeUtf8(columnOf<Utf8Values>(SILVER_SCHEMA, columns, 'symbol'))).toEqual([
      'AAPL',
      'BRK',
      'BRK.B',
      'aapl',
    ]);
    expect([...columnOf<Int32Array>(SILVER_SCHEMA, columns, 'end_date')]).toEqual(new Array(4).fill(sessions[4]));
    expect([...columnOf<Int32Array>(SILVER_SCHEMA, columns, 'bars')]).toEqual([2, 2, 2, 2]);
    expect([...columnOf<Uint8Array>(SILVER_SCHEMA, columns, 'complete')]).toEqual([0, 0, 0, 0]);
  });

  test('spilling to a file makes no difference', async () => {
    const lakes = await Promise.all(
      [1, 50_000, 2 ** 28].map(async (maxBytes) => {
        const store = memoryStore();
        await fillMarket(store);
        await resample(store, { maxBytes });
        return silverDigests(store);
      }),
    );
    expect(lakes[1]).toEqual(lakes[0]);
    expect(lakes[2]).toEqual(lakes[0]);
  });

  test('again: no file is written; forced: every file is, with the same content', async () => {
    const store = await smallLake('A', 'B');
    const first = await resample(store, { intervals: [3] });
    const before = await silverDigests(store);
    const again = await resample(store, { intervals: [3] });
    const files = first.intervals[0]!.filesWritten;
    expect(again.intervals).toMatchObject([{ epoch: 2, filesWritten: 0, filesUnchanged: files }]);
    const forced = await resample(store, { intervals: [3], forceFull: true });
    expect(forced.intervals).toMatchObject([{ epoch: 3, filesWritten: files, filesUnchanged: 0 }]);
    expect(await silverDigests(store)).toEqual(before);
  });

  test('after any changes of the bars, a run equals one from nothing; files without groups are deleted', async () => {
    const changes = fc.array(fc.tuple(fc.constantFrom('A', 'B', 'C'), arbitraryBars({ minLength: 1, maxLength: 12 })), {
      minLength: 1,
      maxLength: 5,
    });
    await fc.assert(
      fc.asyncProperty(changes, fc.boolean(), async (given, removes) => {
        const store = memoryStore();
        for (const [symbol, bars] of given) {
          await importBars(store, symbol, bars);
          await resample(store, { intervals: [2, 5] });
        }
        if (removes) {
          await store.delete(dataKey(given[0]![0]));
          await resample(store, { intervals: [2, 5] });
        }
        const fresh: ObjectStore = memoryStore();
        for (const key of await keysOf(store, 'bronze/')) await fresh.put(key, (await store.get(key)).body);
        await resample(fresh, { intervals: [2, 5] });
        expect(await silverDigests(store)).toEqual(await silverDigests(fresh));
      }),
      { numRuns: 60 },
    );
  });

  test('after an older data.parquet was put back and other bars appended, a run equals one from nothing', async () => {
    const store = memoryStore();
    const [bars, other] = [sliceBars(small!, 0, 3), sliceBars(small!, 0, 3)].map((bars, i) => {
      return { ...bars, volume: Float64Array.of(1, 2, 7 + i) };
    });
    await importBars(store, 'A', sliceBars(bars!, 0, 2));
    const { body } = await store.get(dataKey('A'));
    const appendDaily = async (bar: Bars) => {
      await writeDaily(store, 'A', bar);
      await consolidate(store, { retentionDays: 100_000 });
    };
    await appendDaily(sliceBars(bars!, 2, 3));
    await resample(store, { intervals: [2, 3] });
    await store.put(dataKey('A'), body);
    await appendDaily(sliceBars(other!, 2, 3));
    await resample(store, { intervals: [2, 3] });
    const fresh = memoryStore();
    await importBars(fresh, 'A', other!);
    await resample(fresh, { intervals: [2, 3] });
    expect(await silverDigests(store)).toEqual(await silverDigests(fresh));
  });

  test('a symbol that was only appended to since, up to eight times, is not read; one with a late bar is', async () => {
    const store = await smallLake('A', 'B');
    await consolidate(store);
    await resample(store, { intervals: [3] });
    const read: string[] = [];
    const watched: ObjectStore = {
      ...store,
      get(key, call) {
        read.push(key);
        return store.get(key, call);
      },
    };
    const last = small!.session.at(-1)!;
    const write = async (symbol: string, session: number) => {
      await writeDaily(store, symbol, { ...sliceBars(small!, 7, 8), session: Int32Array.of(session) });
      await consolidate(store, { retentionDays: 100_000 });
    };
    const isRead = async (symbol: string) => {
      read.length = 0;
      await resample(watched, { intervals: [3] });
      return read.includes(dataKey(symbol));
    };
    for (let i = 1; i <= 8; i++) await write('A', last + 2 * i);
    expect(await isRead('A')).toBe(false);
    for (let i = 9; i <= 17; i++) await write('A', last + 2 * i);
    expect(await isRead('A')).toBe(true);
    await write('A', last + 3);
    await write('B', last + 1);
    expect([await isRead('A'), read.includes(dataKey('B'))]).toEqual([true, false]);
    const silver = await silverDigests(store);
    await resample(store, { intervals: [3], forceFull: true });
    expect(await silverDigests(store)).toEqual(silver);
  });

  test('with --symbols only their groups change, and the file equals a full run when all have had theirs', async () => {
    const store = await smallLake('A', 'B', 'C');
    const full = await smallLake('A', 'B', 'C');
    await resample(full, { intervals: [3] });
    for (const symbols of [['B'], ['C', 'A']]) await resample(store, { intervals: [3], symbols });
    expect(await silverDigests(store)).toEqual(await silverDigests(full));
    const unknown = await resample(store, { intervals: [3], symbols: ['NONE'] });
    expect(unknown.failed).toMatchObject([{ symbol: 'NONE', code: 'NotFound' }]);
    expect(await silverDigests(store)).toEqual(await silverDigests(full));
  });

  test('a damaged symbol is named and keeps the groups it had; the others go on', async () => {
    const store = await smallLake('A', 'B');
    await resample(store, { intervals: [3] });
    const before = await silverDigests(store);
    const { body } = await store.get(dataKey('A'));
    await store.put(dataKey('A'), body.subarray(0, 1000));
    const result = await resample(store, { intervals: [3], forceFull: true });
    expect(result).toMatchObject({ symbols: 1, failed: [{ symbol: 'A', code: 'CorruptObject' }] });
    expect(result.failed[0]!.message).toContain(dataKey('A'));
    expect(await silverDigests(store)).toEqual(before);
    expect((await readCheckpoint(store, 3))?.checkpoint.missing).toEqual(['A']);
    await store.put(dataKey('A'), body);
    expect(await resample(store, { intervals: [3] })).toMatchObject({ failed: [] });
    expect((await readCheckpoint(store, 3))?.checkpoint.missing).toEqual([]);
  });

  test('a crash at any write is made good by the next run', async () => {
    const whole = await smallLake('A', 'B');
    await resample(whole, { intervals: [3, 5] });
    const expected = await silverDigests(whole);
    for (let crashAt = 1; ; crashAt++) {
      const store = await smallLake('A', 'B');
      let writes = 0;
      const crashing: ObjectStore = {
        ...store,
        put: (key, body, call) =>
          ++writes >= crashAt ? Promise.reject(new Error('crash')) : store.put(key, body, call),
      };
      const crashed = await resample(crashing, { intervals: [3, 5] }).then(
        () => false,
        () => true,
      );
      await resample(store, { intervals: [3, 5] });
      expect(await silverDigests(store)).toEqual(expected);
      expect((await readCheckpoint(store, 3))?.checkpoint.state).toBe('committed');
      if (!crashed) break;
    }
  });

  test('a run is fenced off by a later one, before it writes over its files and before it commits', async () => {
    const store = await smallLake('A');
    let later: Promise<unknown> | undefined;
    const interrupted: ObjectStore = {
      ...store,
      async put(key, body, call) {
        // Before this run writes its first month file, another one runs through on newer bars.
        if (key.startsWith('silver/') && !later) {
          later = importBars(store, 'B', small!).then(() => resample(store, { intervals: [3] }));
          await later;
        }
        return store.put(key, body, call);
      },
    };
    await expect(resample(interrupted, { intervals: [3] })).rejects.toMatchObject({ code: 'Fenced' });
    const both = await smallLake('A', 'B');
    await resample(both, { intervals: [3] });
    expect(await silverDigests(store)).toEqual(await silverDigests(both));
    const interrupting = interruptAtCommit(store, () => resample(store, { intervals: [3] }));
    await expect(resample(interrupting, { intervals: [3] })).rejects.toMatchObject({ code: 'Fenced' });
  });

  test.each([
    ['no JSON', '{'],
    ['another version', JSON.stringify({ version: 2 })],
    ['unknown fields', undefined],
  ])('a checkpoint with %s is refused, and rebuilt by force with a higher epoch', async (_what, text) => {
    const store = await smallLake('A');
    for (let run = 0; run < 3; run++) await resample(store, { intervals: [3], forceFull: true });
    const before = await silverDigests(store);
    const checkpoint = await readCheckpoint(store, 3);
    const body = text ?? JSON.stringify({ ...checkpoint!.checkpoint, __proto__x: 1 });
    await store.put(checkpointKey(3), new TextEncoder().encode(body));
    const refused = resample(store, { intervals: [3] });
    await expect(refused).rejects.toMatchObject({
      code: 'CorruptObject',
      message: expect.stringContaining('--force-full'),
    });
    const rebuilt = await resample(store, { intervals: [3], forceFull: true });
    expect(rebuilt.intervals).toMatchObject([{ epoch: 1_000_003 }]);
    expect(await silverDigests(store)).toEqual(before);
  });

  test('without its checkpoint, or with one from before, silver is taken over above the epochs of its files', async () => {
    const store = await smallLake('A');
    for (let run = 0; run < 2; run++) await resample(store, { intervals: [3], forceFull: true });
    const old = await store.get(checkpointKey(3));
    await resample(store, { intervals: [3], forceFull: true });
    const before = await silverDigests(store);
    await store.delete(checkpointKey(3));
    expect((await resample(store, { intervals: [3] })).intervals).toMatchObject([{ epoch: 4 }]);
    await store.put(checkpointKey(3), old.body);
    expect((await resample(store, { intervals: [3] })).intervals).toMatchObject([{ epoch: 5 }]);
    expect(await silverDigests(store)).toEqual(before);
  });

  test('a month file whose epoch is damaged fences nobody and is replaced', async () => {
    const store = await smallLake('A');
    await resample(store, { intervals: [3] });
    const before = await silverDigests(store);
    const [key] = await keysOf(store, 'silver/');
    const { body } = await store.get(key!);
    const at = new TextDecoder('latin1').decode(body).indexOf('batch_layer.epoch') + 'batch_layer.epoch'.length + 2;
    expect(String.fromCharCode(body[at]!)).toBe('1');
    for (const digit of ['9', 'q']) {
      body[at] = digit.charCodeAt(0);
      await store.put(key!, body);
      await resample(store, { intervals: [3] });
      expect(await silverDigests(store)).toEqual(before);
    }
    const damaged = body.slice(0, 100);
    await store.put(key!, damaged);
    // A run over some symbols cannot make it good: it is left to the next one over all.
    const partial = await resample(store, { intervals: [3], symbols: ['NONE'] });
    expect(partial.intervals).toMatchObject([{ filesWritten: 0, filesDeferred: 1 }]);
    const kept = resample(store, { intervals: [3], symbols: ['A'], forceFull: true });
    await expect(kept).resolves.toMatchObject({ symbols: 1 });
    await store.put(key!, damaged);
    await resample(store, { intervals: [3] });
    expect(await silverDigests(store)).toEqual(before);
  });

  test('a look-back counts from the last bar also where only the bars tell of it', async () => {
    const store = await smallLake('A');
    const { intervals } = await resample(store, { intervals: [3], lookbackMonths: 2 });
    expect(intervals).toMatchObject([{ filesWritten: 1, filesDeferred: 11 }]);
    expect((await resample(store, { intervals: [3] })).intervals).toMatchObject([
      { filesWritten: 11, filesDeferred: 0 },
    ]);
  });

  test('a damaged month file with groups of other symbols stops a run over some', async () => {
    const store = await smallLake('A', 'B');
    await resample(store, { intervals: [3] });
    const [key] = await keysOf(store, 'silver/');
    await store.put(key!, (await store.get(key!)).body.slice(0, 100));
    const kept = resample(store, { intervals: [3], symbols: ['A'], forceFull: true });
    await expect(kept).rejects.toMatchObject({ code: 'CorruptObject', message: expect.stringContaining('delete it') });
  });

  test('of two runs that rebuild a damaged checkpoint one plans again; both end, with different epochs', async () => {
    const store = await smallLake('A');
    await resample(store, { intervals: [3] });
    await store.put(checkpointKey(3), new TextEncoder().encode('{'));
    const runs = await Promise.allSettled([1, 2].map(() => resample(store, { intervals: [3], forceFull: true })));
    const ended = runs.flatMap((run) => (run.status === 'fulfilled' ? run.value.intervals : []));
    const fenced = runs.filter((run) => run.status === 'rejected' && run.reason.code === 'Fenced');
    expect(new Set(ended.map(({ epoch }) => epoch)).size).toBe(2 - fenced.length);
    expect(await verify(store)).toMatchObject({ problems: [expect.objectContaining({ kind: 'manifest' })] });
  });

  test.each([
    ['has other bars', async (store: ObjectStore) => importBars(store, 'A', earlierBar())],
    ['is gone', async (store: ObjectStore) => store.delete(dataKey('A'))],
  ])(
    'groups that a run left which died stay while their symbol cannot be read, and go when it can, and %s',
    async (_, change) => {
      const store = memoryStore();
      for (const symbol of ['A', 'B']) await importBars(store, symbol, bars);
      const dying: ObjectStore = {
        ...store,
        put(key, body, call) {
          const isCommit = key === checkpointKey(3) && new TextDecoder().decode(body).includes('"committed"');
          return isCommit ? Promise.reject(new Error('died')) : store.put(key, body, call);
        },
      };
      await expect(resample(dying, { intervals: [3] })).rejects.toThrow('died');
      const sound = await store.get(dataKey('A'));
      await store.put(dataKey('A'), sound.body.slice(0, -50));
      expect(await resample(store, { intervals: [3] })).toMatchObject({ symbols: 1, failed: [{ symbol: 'A' }] });
      await store.put(dataKey('A'), sound.body);
      await change(store);
      await resample(store, { intervals: [3] });
      const rebuilt = memoryStore();
      for (const key of await keysOf(store, 'bronze/')) await rebuilt.put(key, (await store.get(key)).body);
      await resample(rebuilt, { intervals: [3] });
      expect(await silverDigests(store)).toEqual(await silverDigests(rebuilt));
    },
  );
  // A month each: where one comes before them every group begins in another month.
  const bars = { ...small!, session: small!.session.map((_, i) => 18_000 + 31 * i) };
  const earlierBar = () => {
    const first = sliceBars(bars, 0, 1);
    return { ...first, session: first.session.map((session) => session - 31) };
  };

  describe('a run that is held up before its first month file, while another one takes over', () => {
    const isSilver = (key: string) => key.startsWith('silver/');

    /** Runs both; the first sees bytes of silver, the other those of the checkpoint, as they are told. */
    async function overtake(seen: { readonly first?: typeof cut; readonly other?: typeof cut }) {
      // As on S3: the same bytes are the same version.
      const store = contentEtags(memoryStore());
      await importBars(store, 'A', small!);
      const [claimed, overtaken] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const held: ObjectStore = {
        ...store,
        async put(key, body, call) {
          if (isSilver(key)) {
            claimed.resolve();
            await overtaken.promise;
          }
          return store.put(key, body, call);
        },
        async getRange(key, range) {
          const bytes = await store.getRange(key, range);
          return seen.first && isSilver(key) ? seen.first(bytes) : bytes;
        },
      };
      const first = resample(held, { intervals: [3], threads: 1 }).catch((error) => error);
      await claimed.promise;
      const blurred: ObjectStore = {
        ...store,
        async get(key, call) {
          const found = await store.get(key, call);
          return seen.other && key === checkpointKey(3) ? { ...found, body: seen.other(found.body) } : found;
        },
      };
      const { intervals } = await resample(blurred, { intervals: [3], forceFull: true });
      const contents = () => Array.fromAsync(store.list(''), ({ key, etag }) => `${key} ${etag}`);
      const before = await contents();
      overtaken.resolve();
      expect(await first).toMatchObject({ code: 'Fenced' });
      expect(await contents()).toEqual(before);
      return intervals[0]!;
    }
    const cut = (bytes: Uint8Array) => bytes.slice(0, -9);

    test('is fenced', async () => {
      expect(await overtake({})).toMatchObject({ epoch: 2 });
    });

    test('is fenced by one to whom its checkpoint looked damaged, and who does not know its epoch', async () => {
      expect(await overtake({ other: cut })).toMatchObject({ epoch: 1_000_000 });
    });

    test('is fenced though the files of the other look damaged, and tell no epoch', async () => {
      expect(await overtake({ first: cut })).toMatchObject({ epoch: 2 });
    });
  });

  test('a run that another one has overtaken before its claim plans again, on the bars there are then', async () => {
    const store = await smallLake('A', 'B');
    await resample(store, { intervals: [3] });
    const before = await silverDigests(store);
    const hidden = await store.get(dataKey('B'));
    await store.delete(dataKey('B'));
    let later: Promise<unknown> | undefined;
    const interrupted: ObjectStore = {
      ...store,
      // The run has listed bronze without B; before it reads on, B is back and another run passes.
      async get(key, call) {
        if (key === dataKey('A') && !later) {
          later = store.put(dataKey('B'), hidden.body).then(() => resample(store, { intervals: [3] }));
          await later;
        }
        return store.get(key, call);
      },
    };
    await expect(resample(interrupted, { intervals: [3] })).resolves.toMatchObject({ symbols: 2 });
    expect(await silverDigests(store)).toEqual(before);
  });

  test('names symbols that wait for consolidate, and stops at an abort', async () => {
    const store = await smallLake('A');
    await writeDaily(store, 'B', sliceBars(small!, 0, 2));
    expect(await resample(store, { intervals: [3] })).toMatchObject({ symbols: 1, unconsolidated: ['B'] });
    await consolidate(store);
    expect(await resample(store, { intervals: [3] })).toMatchObject({ symbols: 2, unconsolidated: [] });
    const signal = AbortSignal.abort(new Error('stopped'));
    await expect(resample(store, { signal })).rejects.toThrow('stopped');
  });

  test('silver is read by hyparquet', async () => {
    const store = await smallLake('A');
    await resample(store, { intervals: [34] });
    const [key] = await keysOf(store, 'silver/');
    const { body } = await store.get(key!);
    const [row] = await parquetReadObjects({ file: new Uint8Array(body).buffer });
    const first = sliceBars(small!, 0, 34);
    expect(row).toMatchObject({
      symbol: 'A',
      date: new Date(first.session[0]! * 86_400_000),
      end_date: new Date(first.session[33]! * 86_400_000),
      open: first.open[0],
      high: Math.max(...first.high),
      low: Math.min(...first.low),
      close: first.close[33],
      bars: 34,
      complete: true,
    });
  });

  test('bronze and silver of a lake have the columns of the design in DuckDB', async () => {
    const folder = await temporaryFolder();
    const store = fileStore(folder);
    await importBars(store, 'NULL', small!);
    await resample(store, { intervals: [3] });
    const describeFiles = async (glob: string) =>
      (await queryDuckDB(`DESCRIBE FROM read_parquet('${folder}/${glob}', hive_partitioning = false)`)).map(
        ({ column_name, column_type }) => [column_name, column_type],
      );
    const names = {
      utf8: 'VARCHAR',
      date: 'DATE',
      float64: 'DOUBLE',
      int32: 'INTEGER',
      bool: 'BOOLEAN',
      timestamp: 'TIMESTAMP',
    };
    for (const [glob, schema] of [
      ['bronze/*/*/data.parquet', BRONZE_SCHEMA],
      ['silver/*/*/*/*.parquet', SILVER_SCHEMA],
    ] as const) {
      expect(await describeFiles(glob)).toEqual(schema.map(({ name, type }) => [name, names[type]]));
    }
  });
});

function interruptAtCommit(store: ObjectStore, work: () => Promise<unknown>): ObjectStore {
  let puts = 0;
  return {
    ...store,
    async put(key, body, call) {
      if (key === checkpointKey(3) && ++puts === 2) await work();
      return store.put(key, body, call);
    },
  };
}
