import { Readable } from 'node:stream';
import type { PutObjectCommandInput, S3Client } from '@aws-sdk/client-s3';
import { sendOptions } from './s3-client.ts';
import type { StoreCall } from './store.ts';

/** Size of a part; what is smaller is put in one request. S3 wants 5 MB at least and 10,000 parts at most. */
export const PART_BYTES = 8 * 2 ** 20;
const CONCURRENT_PARTS = 2;

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
  chunks: { readonly first: readonly Uint8Array[]; readonly rest: AsyncIterator<Uint8Array> },
  call: StoreCall,
): Promise<string> {
  const [{ Upload }, { AbortMultipartUploadCommand }] = await Promise.all([
    import('@aws-sdk/lib-storage'),
    import('@aws-sdk/client-s3'),
  ]);
  // Aborting the library's Upload rejects at once and leaves its requests running. So the source fails instead, and each
  // request is given the signal, but for the one that removes the parts.
  const send: S3Client['send'] = (command: Parameters<S3Client['send']>[0]) =>
    client.send(command, command instanceof AbortMultipartUploadCommand ? {} : sendOptions(call));
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
  { first, rest }: { readonly first: readonly Uint8Array[]; readonly rest: AsyncIterator<Uint8Array> },
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  yield* first;
  for (let next = await rest.next(); !next.done; next = await rest.next()) {
    signal?.throwIfAborted();
    yield next.value;
  }
  signal?.throwIfAborted();
}
