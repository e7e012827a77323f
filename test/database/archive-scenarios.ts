import { expect } from 'vitest';
import { archiveBars } from '../../src/database/archive-bars.ts';
import { allBars, NOW, placesOf, spoilCopy, type World, whileOpen, writeBar } from './archive-world.ts';

/** What must hold while a month is archived; each throws where it does not. */
export type Scenario = (world: World) => Promise<void>;

const ROUTE = `SELECT route_ohlcv_months('{2022-08-01}', '2022-01-01')`;
const CORRECT = `UPDATE raw_ohlcv_202208 SET close = 4711 WHERE symbol = 'AAPL' AND date = '2022-08-15'`;
const CORRECTED = expect.stringMatching(/AAPL,2022-08-15.*,4711,/);
const ARCHIVE = `SELECT * FROM archive_ohlcv_month('2022-08-01', '2022-10-01')`;

const archive = (world: World) => archiveBars(world.database, { apply: true, now: () => NOW });

async function expectArchived(world: World): Promise<void> {
  expect(await placesOf(world)).toMatchObject({ '2022-08': expect.stringMatching(/^0 raw, \d+ archived, dropped$/) });
}

/** A writer that has its month goes on at once, though retention waits for it. */
export async function writerGoesOn(world: World): Promise<void> {
  const archiving = await whileOpen(world, async (client) => {
    await client.query(ROUTE);
    const running = archive(world);
    await expect.poll(world.waiting).toBe(1);
    await client.query(`SET LOCAL lock_timeout = '200ms'`);
    const error = await client.query(CORRECT).catch((thrown: Error) => thrown);
    if (error instanceof Error) await client.query('ROLLBACK').then(() => running);
    expect(error, 'the writer waits for retention').not.toBeInstanceOf(Error);
    await client.query('COMMIT');
    return running;
  });
  expect(archiving.failed).toEqual([]);
  await expectArchived(world);
  expect(await allBars(world)).toContainEqual(CORRECTED);
}

/** A bar that is corrected past route_ohlcv_months keeps its correction. */
export async function correctionByHandStays(world: World): Promise<void> {
  await whileOpen(world, async (client) => {
    await client.query(CORRECT);
    const running = world.query(ARCHIVE);
    await expect.poll(world.waiting).toBe(1);
    const [rows] = await Promise.all([running, client.query('COMMIT')]);
    expect(rows).toHaveLength(1);
  });
  await expectArchived(world);
  expect(await allBars(world), 'the correction is lost').toContainEqual(CORRECTED);
}

/** Where the archive has not what it was given, nothing is dropped. */
function copyIsVerified(fault: string): Scenario {
  return async (world) => {
    const bars = await allBars(world);
    await spoilCopy(world, fault);
    const { failed, rows } = await archive(world);
    expect(await allBars(world), 'bars are lost').toEqual(bars);
    expect([rows, failed]).toEqual([
      24,
      [
        {
          month: '2022-08',
          code: 'CorruptObject',
          message: expect.stringMatching(/the copy of 2022-08 is not the same/),
        },
      ],
    ]);
  };
}
export const lostRowIsFound = copyIsVerified('RETURN NULL');
export const otherVolumeIsFound = copyIsVerified('NEW.volume := NEW.volume + 1');
export const otherPriceIsFound = copyIsVerified('NEW.close := NEW.close + 0.01');
export const swappedBarIsFound = copyIsVerified(`NEW.symbol := 'AAPLE'`);

/** Bars that came after the transaction's snapshot are not lost. */
export async function olderSnapshotIsRefused(world: World): Promise<void> {
  await whileOpen(
    world,
    async (client) => {
      await client.query('SELECT FROM ohlcv_months');
      await writeBar(world, 'NEW', '2022-08-15', 815);
      await client
        .query(ARCHIVE)
        .then(() => client.query('COMMIT'))
        .catch(() => undefined);
    },
    'BEGIN ISOLATION LEVEL REPEATABLE READ',
  );
  expect(await allBars(world), 'a bar is lost').toContainEqual(expect.stringContaining('NEW,2022-08-15,815'));
}

/** Of two that archive the same month, the second finds nothing to do. */
export async function secondRunFindsNothing(world: World): Promise<void> {
  const bars = await allBars(world);
  const found = await whileOpen(world, async (client) => {
    await client.query(ARCHIVE);
    const running = world.query(ARCHIVE);
    await expect.poll(world.waiting).toBe(1);
    const [rows] = await Promise.all([running, client.query('COMMIT')]);
    return rows;
  });
  expect(found).toEqual([]);
  expect(await allBars(world)).toEqual(bars);
}
