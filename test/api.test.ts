import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';

const ENTRIES = ['index', 'ingest/index', 'lake/index', 'resample/index', 'runtime/index'];

test.each(ENTRIES)('the public names of %s are these, and change on purpose only', async (entry) => {
  const source = await readFile(new URL(`../src/${entry}.ts`, import.meta.url), 'utf8');
  const names = [...source.matchAll(/export (type )?\{([^}]*)\}/g)].flatMap(([, all, list]) =>
    list!
      .split(',')
      .map((name) => name.trim())
      .filter(Boolean)
      .map((name) => (all && !name.startsWith('type ') ? `type ${name}` : name)),
  );
  expect(names.sort()).toMatchSnapshot();
  if (entry === 'index') expect(names.length).toBeLessThanOrEqual(30);
});
