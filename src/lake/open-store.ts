import { BatchLayerError } from '../errors.ts';
import { fileStore } from './file-store.ts';
import type { ObjectStore } from './store.ts';

/**
 * The store a lake URL names: `file:PATH`.
 *
 * @throws BatchLayerError `BadInput` for any other URL
 *
 * @example openStore('file:./lake')
 */
export function openStore(url: string): ObjectStore {
  const path = /^file:(?:\/\/(?=\/))?((?!\/\/).+)$/.exec(url)?.[1];
  if (path === undefined) {
    throw new BatchLayerError('BadInput', `"${url}" is not the URL of a lake: expected file:PATH, such as file:./lake`);
  }
  return fileStore(path);
}
