import type { CompletedPart, PutObjectCommandInput, S3Client } from '@aws-sdk/client-s3';
import { BatchLayerError } from '../errors.ts';
import { sendOptions } from './s3-client.ts';
import type { StoreCall } from './store.ts';

// S3 wants 5 MB at least and takes 10,000 parts at most; each is in memory while it is sent.
const PART_BYTES = 8 * 2 ** 20;
const CONCURRENT_PARTS = 2;
/** What is not removed by then, a lifecycle rule of the bucket removes. */
const CLEANUP_TIMEOUT_MS = 10_000;

type Target = Omit<PutObjectCommandInput, 'Body'>;

/**
 * Uploads chunks in parts; the object appears when the last one is there, under the conditions of `input`.
 *
 * A source that fails, or an abort, ends the upload and removes its parts. Parts are gathered in buffers that are used again:
 * memory is theirs, however large the object.
 *
 * @returns the etag
 */
export async function uploadParts(
  client: S3Client,
  input: Target,
  chunks: AsyncIterable<Uint8Array>,
  call: StoreCall,
): Promise<string> {
  const sdk = await import('@aws-sdk/client-s3');
  const { IfMatch, IfNoneMatch, Bucket, Key, ...created } = input;
  const begin = new sdk.CreateMultipartUploadCommand({ ...created, Bucket, Key, ChecksumAlgorithm: 'CRC32' });
  const { UploadId } = await client.send(begin, sendOptions(call));
  const upload = { Bucket, Key, UploadId };
  const sendPart = async (PartNumber: number, Body: Uint8Array): Promise<CompletedPart> => {
    const command = new sdk.UploadPartCommand({ ...upload, PartNumber, Body, ChecksumAlgorithm: 'CRC32' });
    const { ETag, ChecksumCRC32 } = await client.send(command, sendOptions(call));
    return { PartNumber, ETag, ChecksumCRC32 };
  };
  try {
    const Parts = await sendParts(chunks, sendPart, call.signal);
    const conditions = { IfMatch, IfNoneMatch };
    const end = new sdk.CompleteMultipartUploadCommand({ ...upload, ...conditions, MultipartUpload: { Parts } });
    const { ETag } = await client.send(end, sendOptions(call));
    if (ETag) return ETag;
    throw new BatchLayerError('Unavailable', `${Key}: the answer to its upload has no ETag; try again later`);
  } catch (error) {
    const options = sendOptions({ ...call, signal: AbortSignal.timeout(CLEANUP_TIMEOUT_MS) });
    // Its failure is not what is to be told.
    await client.send(new sdk.AbortMultipartUploadCommand(upload), options).catch(() => undefined);
    throw error;
  }
}

/** Sends chunks as parts of one size, the last one shorter; ends when every part that was begun has ended. */
async function sendParts(
  chunks: AsyncIterable<Uint8Array>,
  send: (part: number, body: Uint8Array) => Promise<CompletedPart>,
  signal: AbortSignal | undefined,
): Promise<CompletedPart[]> {
  const buffers = Array.from({ length: CONCURRENT_PARTS }, () => new Uint8Array(PART_BYTES));
  const sent: Promise<CompletedPart>[] = [];
  let used = 0;
  const bufferOf = (part: number): Uint8Array => buffers[part % CONCURRENT_PARTS]!;
  const sendPart = async (): Promise<void> => {
    const part = send(sent.length + 1, bufferOf(sent.length).subarray(0, used));
    // Whoever waits for the part learns of its failure.
    part.catch(() => undefined);
    sent.push(part);
    used = 0;
    // The next part's buffer must have been sent.
    await sent[sent.length - CONCURRENT_PARTS];
  };
  try {
    for await (const chunk of chunks) {
      signal?.throwIfAborted();
      for (let from = 0; from < chunk.length; ) {
        const to = Math.min(chunk.length, from + PART_BYTES - used);
        bufferOf(sent.length).set(chunk.subarray(from, to), used);
        used += to - from;
        from = to;
        if (used === PART_BYTES) await sendPart();
      }
    }
    signal?.throwIfAborted();
    if (used > 0) await sendPart();
    return await Promise.all(sent);
  } finally {
    await Promise.allSettled(sent);
  }
}
