import { describe, expect, test } from 'vitest';
import { checkpointKey } from '../../src/lake/keys.ts';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { emptyCheckpoint, encodeCheckpoint, readCheckpoint } from '../../src/resample/checkpoint.ts';

const text = JSON.stringify(JSON.parse(new TextDecoder().decode(encodeCheckpoint(emptyCheckpoint(3)))));
const entries = (count: number, entry: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => entry(i)).join();

describe('readCheckpoint refuses, in a few words,', () => {
  test.each([
    ['a hundred thousand wrong symbols', text.replace('[]', `[${entries(100_000, () => '0')}]`)],
    ['a hundred thousand unknown keys', text.replace('{}', `{},${entries(100_000, (i) => `"x${i}":0`)}`)],
    ['more than 2 MiB', text + ' '.repeat(2 * 2 ** 20)],
    ['a symbol that is a path', text.replace('[]', '["../x"]')],
    ['a key that schemas pass over', text.replace('{}', '{"__proto__":{}}')],
    ['deep nesting', text.replace('[]', '['.repeat(500_000) + ']'.repeat(500_000))],
    ['another number than was written', text.replace('"epoch":1', '"epoch":2')],
    ['half a character', text.replace('{}', `{"202001":{"rows":1,"digest":"${'0'.repeat(16)}","etag":"\\ud800"}}`)],
  ])('%s', async (_what, damaged) => {
    const store = memoryStore();
    await store.put(checkpointKey(3), new TextEncoder().encode(damaged));
    const error = await readCheckpoint(store, 3).catch((thrown: Error) => thrown);
    expect(error).toMatchObject({ code: 'CorruptObject', message: expect.stringContaining('checkpoint.json') });
    expect((error as Error).message.length).toBeLessThan(1000);
  });
});
