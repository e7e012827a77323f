import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { fileStore } from '../src/lake/file-store.ts';
import { BRONZE_PREFIX } from '../src/lake/keys.ts';
import { mapAll } from '../src/lake/map-all.ts';
import { s3Store } from '../src/lake/s3-store.ts';
import type { ObjectStore } from '../src/lake/store.ts';
import { startS3 } from '../test/support/s3/server.ts';

/** An empty bucket on the tests' S3 server, and the environment that other processes reach it with by its URL. */
export async function startBucket() {
  const { endpoint, region, credentials, stop } = await startS3();
  const options = { endpoint, region, credentials, forcePathStyle: true } as const;
  try {
    await new S3Client(options).send(new CreateBucketCommand({ Bucket: 'bench' }));
  } catch (error) {
    await stop();
    throw error;
  }
  const env = {
    AWS_ENDPOINT_URL_S3: endpoint,
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  };
  return { url: 's3://bench/lake', store: s3Store({ ...options, bucket: 'bench', prefix: 'lake' }), env, stop };
}

/** Copies the bars of a lake in a folder. */
export async function uploadLake(folder: string, store: ObjectStore): Promise<void> {
  const source = fileStore(folder);
  const copy = async ({ key }: { readonly key: string }) => store.put(key, (await source.get(key)).body);
  await mapAll(source.list(BRONZE_PREFIX), copy, { concurrency: 16 });
}
