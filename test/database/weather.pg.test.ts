import { describe, expect, test } from 'vitest';
import { atEach, createWeather, expectNobody, messagesOf, stepClock, write } from './weather.ts';
import { BATCHES, contentAfter, contentOf } from './weather-world.ts';

const SIDES = ['before', 'after'] as const;

describe.each(['new', 'mixed'] as const)('a batch of %s rows', (name) => {
  test('is whole after a backend was killed at any of its statements', async () => {
    const weather = await createWeather(BATCHES[name]);
    const { proxy, statements } = weather;
    await atEach(weather, statements, async ({ at, entries }) => {
      const count = proxy.killAt(at);
      const { written, unchanged, outside } = await write(proxy.url, entries);
      expect([count.hits, written + unchanged + outside]).toEqual([1, entries.length]);
    });
  });

  test('leaves nothing where the backend is killed three times at any of its statements, and is whole the next time', async () => {
    const weather = await createWeather(BATCHES[name]);
    const { world, proxy, statements } = weather;
    await atEach(weather, statements, async ({ at, entries, before }) => {
      const counts = [proxy.killAt(at)];
      const clock = stepClock({ onRetry: () => void counts.push(proxy.killAt(at)) });
      await expect(write(proxy.url, entries, { clock })).rejects.toMatchObject({
        code: 'Unavailable',
        message: expect.stringMatching(/^127\.0\.0\.1:\d+\/test_\S+: .*administrator.*: run it again later$/),
      });
      expect(counts).toEqual([{ hits: 1 }, { hits: 1 }, { hits: 1 }]);
      expect(await contentOf(world)).toEqual(before);
      await write(proxy.url, entries);
    });
  });

  test.each(SIDES)('is whole after its connection was cut %s any of its messages', async (when) => {
    const weather = await createWeather(BATCHES[name]);
    const { proxy, messages } = weather;
    await atEach(weather, messages, async ({ at, entries }) => {
      const count = proxy.arm({ kind: 'cut', at, when });
      await write(proxy.url, entries);
      expect(count.hits).toBe(1);
    });
  });

  test('is there, and written once, where the answer to COMMIT is lost three times', async () => {
    const { world, proxy, batch, messages } = await createWeather(BATCHES[name]);
    const [before, entries] = [await contentOf(world), batch(1)];
    const again = await messagesOf(proxy, () => write(proxy.url, batch(0)));
    const lose = ({ length }: readonly string[]) => proxy.arm({ kind: 'cut', at: length, when: 'after' });
    const counts = [lose(messages)];
    const clock = stepClock({ onRetry: () => void counts.push(lose(again)) });
    await expect(write(proxy.url, entries, { clock })).rejects.toMatchObject({ code: 'Unavailable' });
    expect(counts).toEqual([{ hits: 1 }, { hits: 1 }, { hits: 1 }]);
    expect(await contentOf(world)).toEqual(contentAfter(before, entries));
    expect(await write(proxy.url, entries)).toMatchObject({ written: 0 });
  });

  test.each(SIDES)('is whole after it hung %s any of its messages until its time was over', async (when) => {
    const weather = await createWeather(BATCHES[name]);
    const { proxy, messages } = weather;
    await atEach(weather, messages, async ({ at, entries }) => {
      const count = proxy.arm({ kind: 'hang', at, when });
      // What hung reaches the server while the batch is written again.
      const clock = stepClock({ onRetry: () => void proxy.disarm() });
      const writing = write(proxy.url, entries, { clock });
      await expect.poll(() => count.hits).toBe(1);
      clock.endTime();
      await writing;
    });
  });

  test.each(SIDES)(
    'ends at once when it is aborted %s any of its messages, and is whole the next time',
    async (when) => {
      const weather = await createWeather(BATCHES[name]);
      const { world, proxy, messages } = weather;
      await atEach(weather, messages, async ({ step, at, entries, before, after }) => {
        const [controller, reason] = [new AbortController(), new Error('stopped')];
        const count = proxy.arm({ kind: 'hang', at, when });
        const writing = write(proxy.url, entries, { signal: controller.signal }).catch((error) => error);
        await expect.poll(() => count.hits).toBe(1);
        const start = performance.now();
        controller.abort(reason);
        expect(await writing).toBe(reason);
        expect(performance.now() - start).toBeLessThan(10_000);
        await proxy.disarm();
        await expectNobody(weather);
        expect(await contentOf(world)).toEqual(step === 'Query COMMIT' ? after : before);
        await write(proxy.url, entries);
      });
    },
  );
});
