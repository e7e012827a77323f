import { readdirSync } from 'node:fs';
import { etagOf, isCode, statOrNone } from './file-version.ts';
import type { ObjectInfo } from './store.ts';

// Beside the objects, on the same file system, so that a finished file is published by one rename or link.
export const CONTROL = '.batch-layer';

/** The objects below a folder of a file store, in order of their keys. */
export async function* walk(
  base: string,
  folder: string,
  prefix: string,
  signal?: AbortSignal,
): AsyncGenerator<ObjectInfo> {
  // A folder's keys go on with `/`: sorted with it, the walk is in the order of whole keys (symbol=BRK.B/ < symbol=BRK/).
  const names = entriesOf(`${base}/${folder}`)
    .map((entry) => ({ key: `${folder}${entry.name}${entry.isDirectory() ? '/' : ''}`, isFile: entry.isFile() }))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
  for (const { key, isFile } of names) {
    signal?.throwIfAborted();
    const stats = isFile && key.startsWith(prefix) ? statOrNone(`${base}/${key}`) : undefined;
    if (stats) yield { key, size: Number(stats.size), etag: etagOf(stats) };
    if (!isFile && key !== `${CONTROL}/` && (key.startsWith(prefix) || prefix.startsWith(key))) {
      yield* walk(base, key, prefix, signal);
    }
  }
}

function entriesOf(folder: string) {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (isCode(error, 'ENOENT') || isCode(error, 'ENOTDIR')) return [];
    throw error;
  }
}
