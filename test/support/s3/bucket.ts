import { randomUUID } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3';
import { inject, onTestFinished } from 'vitest';
import type { S3Connection } from './server.ts';

export interface TestBucket {
  readonly bucket: string;
  /** What an `S3Client` takes. */
  readonly options: S3Connection & { readonly forcePathStyle: true };
  readonly client: S3Client;
}

/** An empty bucket, on the server of the run unless another is given, that is removed when the test has finished. */
export async function openBucket({ endpoint, region, credentials }: S3Connection = inject('s3')): Promise<TestBucket> {
  const options = { endpoint, region, credentials, forcePathStyle: true } as const;
  const client = new S3Client(options);
  const bucket = `test-${randomUUID()}`;
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  onTestFinished(async () => {
    await removeBucket(client, bucket);
    client.destroy();
  });
  return { bucket, options, client };
}

async function removeBucket(client: S3Client, bucket: string): Promise<void> {
  const Bucket = bucket;
  for (;;) {
    const { Uploads: uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket }));
    if (uploads.length === 0) break;
    for (const { Key, UploadId } of uploads)
      await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }));
  }
  for (;;) {
    const { Contents: objects = [] } = await client.send(new ListObjectsV2Command({ Bucket }));
    if (objects.length === 0) break;
    const Delete = { Objects: objects.map(({ Key }) => ({ Key })), Quiet: true };
    const { Errors: errors = [] } = await client.send(new DeleteObjectsCommand({ Bucket, Delete }));
    if (errors.length > 0) throw new Error(`could not empty ${bucket}: ${errors[0]?.Key} ${errors[0]?.Code}`);
  }
  await client.send(new DeleteBucketCommand({ Bucket }));
}
