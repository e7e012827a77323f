import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  S3ServiceException,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openBucket, type TestBucket } from '../support/s3/bucket.ts';
import { startS3 } from '../support/s3/server.ts';

const otherEtag = '"0123456789abcdef0123456789abcdef"';

// What the design takes for granted of a server, without any code of ours in between.
describe('S3', () => {
  test('creates an object only where there is none', async () => {
    const bucket = await openBucket();
    await put(bucket, 'a', 'first', { IfNoneMatch: '*' });
    await expectRefused(put(bucket, 'a', 'second', { IfNoneMatch: '*' }));
    expect(await read(bucket, 'a')).toBe('first');
  });

  test('has one winner among writers that race', async () => {
    const bucket = await openBucket();
    const race = async (condition: Partial<PutObjectCommandInput>): Promise<string> => {
      const writers = Array.from({ length: 8 }, (_, i) => `${Object.keys(condition)} ${i}`);
      const results = await Promise.allSettled(writers.map((writer) => put(bucket, 'a', writer, condition)));
      const winners = writers.filter((_, i) => results[i]?.status === 'fulfilled');
      for (const result of results)
        if (result.status === 'rejected') await expectRefused(Promise.reject(result.reason));
      expect(winners).toEqual([await read(bucket, 'a')]);
      return head(bucket, 'a').then(({ ETag }) => ETag as string);
    };
    await race({ IfMatch: await race({ IfNoneMatch: '*' }) });
  });

  test('replaces an object only where it is the one expected', async () => {
    const bucket = await openBucket();
    const etag = await put(bucket, 'a', 'first');
    await expectRefused(put(bucket, 'a', 'second', { IfMatch: otherEtag }));
    expect(await read(bucket, 'a')).toBe('first');
    await put(bucket, 'a', 'second', { IfMatch: etag });
    expect(await read(bucket, 'a')).toBe('second');
    await expect(put(bucket, 'absent', 'x', { IfMatch: etag })).rejects.toMatchObject({
      $metadata: { httpStatusCode: 404 },
    });
  });

  test('deletes an object only where it is the one expected', async () => {
    const bucket = await openBucket();
    const etag = await put(bucket, 'a', 'first');
    const remove = (IfMatch: string) =>
      bucket.client.send(new DeleteObjectCommand({ Bucket: bucket.bucket, Key: 'a', IfMatch }));
    await expectRefused(remove(otherEtag));
    expect(await read(bucket, 'a')).toBe('first');
    await remove(etag);
    await expect(head(bucket, 'a')).rejects.toMatchObject({ name: 'NotFound' });
  });

  test('deletes of many objects only those that are the ones expected', async () => {
    const bucket = await openBucket();
    await put(bucket, 'a', 'first');
    const Objects = [
      { Key: 'a', ETag: otherEtag },
      { Key: 'b', ETag: await put(bucket, 'b', 'first') },
    ];
    const command = new DeleteObjectsCommand({ Bucket: bucket.bucket, Delete: { Objects } });
    const { Deleted, Errors } = await bucket.client.send(command);
    expect(Deleted).toMatchObject([{ Key: 'b' }]);
    expect(Errors).toMatchObject([{ Key: 'a', Code: 'PreconditionFailed' }]);
    expect(await read(bucket, 'a')).toBe('first');
  });

  test('completes an upload in parts only where the object is the one expected', async () => {
    const bucket = await openBucket();
    const etag = await put(bucket, 'a', 'first');
    await expectRefused(putInParts(bucket, 'a', { IfNoneMatch: '*' }));
    await expectRefused(putInParts(bucket, 'a', { IfMatch: otherEtag }));
    expect(await read(bucket, 'a')).toBe('first');
    await putInParts(bucket, 'a', { IfMatch: etag });
    await putInParts(bucket, 'b', { IfNoneMatch: '*' });
    expect(await head(bucket, 'a')).toMatchObject({ ContentLength: partBytes + 1 });
    expect(await head(bucket, 'b')).toMatchObject({ ContentLength: partBytes + 1 });
  });

  test('gives back the metadata of an object', async () => {
    const bucket = await openBucket();
    await put(bucket, 'a', 'first', { Metadata: { version: 'one' } });
    expect((await head(bucket, 'a')).Metadata).toEqual({ version: 'one' });
  });

  test('keeps its data when it is killed and started again', async ({ skip }) => {
    const server = await startS3();
    onTestFinished(server.stop);
    const { killGateway, restartGateway } = server;
    if (!killGateway || !restartGateway) return skip('the server of S3_TEST_ENDPOINT is not ours to kill');
    const bucket = await openBucket(server);
    await put(bucket, 'a', 'first');
    await restartGateway();
    expect(await read(bucket, 'a')).toBe('first');
    await killGateway();
    await expect(read(bucket, 'a')).rejects.toMatchObject({ code: expect.stringMatching(/^ECONN/) });
    await restartGateway();
    expect(await read(bucket, 'a')).toBe('first');
  });
});

/** 409 where another writer was at it at the same time. */
async function expectRefused(request: Promise<unknown>): Promise<void> {
  const error = await request.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(S3ServiceException);
  expect([409, 412]).toContain((error as S3ServiceException).$metadata.httpStatusCode);
}

async function put(
  { bucket, client }: TestBucket,
  key: string,
  content: string,
  more: Partial<PutObjectCommandInput> = {},
): Promise<string> {
  const command = new PutObjectCommand({ Bucket: bucket, Key: key, Body: content, ...more });
  return (await client.send(command)).ETag as string;
}

const partBytes = 5 * 2 ** 20; // the least that a server takes of all parts but the last

async function putInParts(
  { bucket, client }: TestBucket,
  key: string,
  condition: { readonly IfMatch?: string; readonly IfNoneMatch?: string },
): Promise<void> {
  const target = { Bucket: bucket, Key: key };
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(target));
  const Parts = await Promise.all(
    [new Uint8Array(partBytes), new Uint8Array(1)].map(async (Body, i) => {
      const PartNumber = i + 1;
      const { ETag } = await client.send(new UploadPartCommand({ ...target, UploadId, PartNumber, Body }));
      return { PartNumber, ETag };
    }),
  );
  await client.send(
    new CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts }, ...condition }),
  );
}

async function read({ bucket, client }: TestBucket, key: string): Promise<string | undefined> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
  return Body?.transformToString();
}

function head({ bucket, client }: TestBucket, key: string) {
  return client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
}
