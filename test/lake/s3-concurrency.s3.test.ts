import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { hasCode } from '../../src/errors.ts';
import { s3Store } from '../../src/lake/s3-store.ts';
import { openBucket } from '../support/s3/bucket.ts';

const WRITERS = 16;
const COMMITS = 100;

test('16 writers commit 100 times each to one object by compare-and-swap, and none is lost', async () => {
  const { bucket, options } = await openBucket();
  const open = () => s3Store({ ...options, bucket });
  const versions = new Set<string>();
  let conflicts = 0;

  const write = async (writer: number): Promise<void> => {
    const store = open();
    let [seen, lost] = [0, 0];
    for (let n = 0; n < COMMITS; ) {
      const { body, etag } = await store.get('log');
      const log = decode(body);
      // Never back: what was read once is there for good.
      expect(log.length).toBeGreaterThanOrEqual(seen);
      seen = log.length;
      try {
        versions.add(await store.put('log', encode([...log, `${writer}.${n}`]), { ifMatch: etag }));
        [n, lost] = [n + 1, 0];
      } catch (error) {
        if (!hasCode(error, 'Conflict')) throw error;
        conflicts++;
        // Whoever has lost often leaves the others more room; else most of the time goes into lost races.
        await sleep(Math.random() * 20 * ++lost);
      }
    }
  };

  await open().put('log', encode([]), { ifNoneMatch: '*' });
  await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
  const log = decode((await open().get('log')).body);
  expect(log).toHaveLength(WRITERS * COMMITS);
  for (let writer = 0; writer < WRITERS; writer++) {
    const own = log.filter((entry) => entry.startsWith(`${writer}.`));
    expect(own).toEqual(Array.from({ length: COMMITS }, (_, n) => `${writer}.${n}`));
  }
  expect(versions.size).toBe(WRITERS * COMMITS);
  expect(conflicts).toBeGreaterThan(0);
});

function decode(body: Uint8Array): string[] {
  return JSON.parse(new TextDecoder().decode(body));
}

function encode(log: readonly string[]): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(log));
}
