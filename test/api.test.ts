import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';

// Types leave no trace at run time: they are read from the source.
async function publicNames(entry: string): Promise<string[]> {
  const url = new URL(`../src/${entry}.ts`, import.meta.url);
  const values = Object.keys(await import(url.href));
  const source = await readFile(url, 'utf8');
  expect(source).not.toMatch(/export \*/);
  const types = [...source.matchAll(/export (type )?\{([^}]*)\}/g)].flatMap(([, isType, list]) =>
    list!
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name && (isType || name.startsWith('type '))),
  );
  return [...values, ...types.map((name) => `type ${name.replace(/^type /, '')}`)].sort();
}

test.each(['index', 'database/index', 'ingest/index', 'lake/index', 'resample/index', 'runtime/index'])(
  'the public names of %s are these, and change on purpose only',
  async (entry) => {
    const names = await publicNames(entry);
    expect(names).toMatchSnapshot();
    if (entry === 'index') expect(names.length).toBeLessThanOrEqual(30);
  },
);
