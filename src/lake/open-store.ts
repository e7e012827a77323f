import { BatchLayerError } from '../errors.ts';
import { fileStore } from './file-store.ts';
import { type S3StoreOptions, s3Store } from './s3-store.ts';
import type { ObjectStore } from './store.ts';

const FILE_URL = /^file:(?:\/\/(?=\/))?((?!\/\/).+)$/;
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
const S3_URL = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/((?:[A-Za-z0-9._=-]+\/)*[A-Za-z0-9._=-]+))?\/?$/;

/**
 * The store a lake URL names: `file:PATH` or `s3://bucket/prefix`.
 *
 * @param s3 for a lake on S3: what the environment does not say
 * @throws BatchLayerError `BadInput` for any other URL
 *
 * @example
 * openStore('file:./lake');
 * openStore('s3://market-data/lake', { region: 'eu-central-1' });
 */
export function openStore(url: string, s3: Omit<S3StoreOptions, 'bucket' | 'prefix'> = {}): ObjectStore {
  const path = FILE_URL.exec(url)?.[1];
  if (path !== undefined) return fileStore(path);
  const [, bucket, prefix] = S3_URL.exec(url) ?? [];
  if (bucket !== undefined) return s3Store({ ...s3, bucket, prefix });
  throw new BatchLayerError(
    'BadInput',
    `"${url.replace(/\/\/[^/]*@/, '//…@')}" is not the URL of a lake: expected file:PATH or s3://bucket/prefix, such as file:./lake`,
  );
}
