import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { mapAll } from '../../src/lake/map-all.ts';

describe('mapAll', () => {
  test('maps in order, so many at a time', async () => {
    let [running, most] = [0, 0];
    const squares = await mapAll(
      [1, 2, 3, 4, 5],
      async (n) => {
        most = Math.max(most, ++running);
        await sleep(5 - n);
        running--;
        return n * n;
      },
      { concurrency: 2 },
    );
    expect(squares).toEqual([1, 4, 9, 16, 25]);
    expect(most).toBe(2);
  });

  test('after an error begins nothing more, and rejects when all that was begun has ended', async () => {
    const log: string[] = [];
    const work = async (n: number): Promise<void> => {
      log.push(`begin ${n}`);
      if (n === 2) throw new Error('second failed');
      await sleep(20);
      log.push(`end ${n}`);
    };
    await expect(mapAll([1, 2, 3, 4, 5, 6], work, { concurrency: 2 })).rejects.toThrow('second failed');
    expect(log).toEqual(['begin 1', 'begin 2', 'end 1']);
  });

  test('rejects with the reason of an abort, or the error of the listing, likewise', async () => {
    const controller = new AbortController();
    let ended = 0;
    const work = async (): Promise<void> => {
      controller.abort(new Error('stopped'));
      await sleep(10);
      ended++;
    };
    await expect(mapAll([1, 2, 3], work, { concurrency: 1, signal: controller.signal })).rejects.toThrow('stopped');
    expect(ended).toBe(1);
    const listing = async function* () {
      yield 1;
      throw new Error('listing failed');
    };
    await expect(mapAll(listing(), work, { concurrency: 4 })).rejects.toThrow('listing failed');
    expect(ended).toBe(2);
  });
});
