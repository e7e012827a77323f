import { Readable } from 'node:stream';
import type { PutObjectCommandInput, S3Client } from '@aws-sdk/client-s3';
import { sendOptions } from './s3-client.ts';
import type { StoreCall } from './store.ts';

// S3 wants 5 MB at least and takes 10,000 parts at most; each is in memory while it is sent.
const PART_BYTES = 8 * 2 ** 20;
const CONCURRENT_PARTS = 2;
/** What is not removed by then, a lifecycle rule of the bucket removes. */
const CLEANUP_TIMEOUT_MS = 10_000;

/**
 * Uploads chunks in parts; the object appears when the last one is there, under the conditions of `input`.
 *
 * A source that fails, or an abort, ends the upload and removes its parts.
 *
 * @returns the etag
 */
export async function uploadParts(
  client: S3Client,
  input: Omit<PutObjectCommandInput, 'Body'>,
  chunks: AsyncIterable<Uint8Array>,
  call: StoreCall,
): Promise<string> {
  const [{ Upload }, { AbortMultipartUploadCommand }] = await Promise.all([
    import('@aws-sdk/lib-storage'),
    import('@aws-sdk/client-s3'),
  ]);
  // Aborting the library's Upload rejects at once and leaves its requests running. So the source fails instead, and each
  // request is given the signal, but for the one that removes the parts, whose failure is not what is to be told.
  const send: S3Client['send'] = (command: Parameters<S3Client['send']>[0]) => {
    if (!(command instanceof AbortMultipartUploadCommand)) return client.send(command, sendOptions(call));
    const options = sendOptions({ ...call, signal: AbortSignal.timeout(CLEANUP_TIMEOUT_MS) });
    return client.send(command, options).catch(() => undefined);
  };
  const upload = new Upload({
    client: Object.assign(Object.create(client) as S3Client, { send }),
    params: { ...input, Body: Readable.from(untilAborted(chunks, call.signal)) },
    partSize: PART_BYTES,
    queueSize: CONCURRENT_PARTS,
  });
  const { ETag } = await upload.done();
  return ETag ?? '';
}

async function* untilAborted(
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    signal?.throwIfAborted();
    yield chunk;
  }
  signal?.throwIfAborted();
}
