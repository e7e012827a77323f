import type { Readable } from 'node:stream';
import type { GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { BatchLayerError, hasCode, messageOf } from '../errors.ts';
import { concatBytes } from './columns.ts';
import { etagOf } from './s3-errors.ts';
import type { StoreCall } from './store.ts';

/** A read of an object: all of it, or from `start` on, or to `end`. */
export interface ReadCall extends StoreCall {
  readonly start?: number | undefined;
  readonly end?: number | undefined;
  readonly ifMatch?: string | undefined;
}

const MAX_RESUMES = 5;

/**
 * Reads what a request answers. A body that breaks off is gone on with where it broke off, as long as there is progress.
 *
 * @throws BatchLayerError `Unavailable` where it is to be read anew: broken off, replaced meanwhile, or not what its checksum says
 */
export async function readObject(
  key: string,
  call: ReadCall,
  send: (call: ReadCall) => Promise<GetObjectCommandOutput>,
): Promise<{ readonly body: Uint8Array; readonly etag: string }> {
  const { start = 0, signal } = call;
  let answer = await send(call);
  const etag = etagOf(answer, key);
  // Not told where the answer comes in chunks.
  const length = answer.ContentLength;
  const body = new Uint8Array(length ?? 0);
  const parts: Uint8Array[] = [];
  let received = 0;
  for (let resumes = 0; ; resumes++) {
    const before = received;
    const failure = await readBody(answer, signal, (chunk) => {
      if (length === undefined) parts.push(chunk);
      else if (received + chunk.length <= length) body.set(chunk, received);
      received += chunk.length;
    });
    const isWhole = length === undefined || received === length;
    if (isWhole && failure === undefined) return { body: length === undefined ? concatBytes(parts) : body, etag };
    // Also where all has come and does not agree with its checksum.
    if (length === undefined || received >= length || received === before || resumes === MAX_RESUMES) {
      const what = `${received} bytes of ${length ?? 'an unknown number'} came`;
      const why = failure === undefined ? '' : ` (${messageOf(failure)})`;
      throw new BatchLayerError('Unavailable', `${key}: ${what}; try again later${why}`, { cause: failure });
    }
    answer = await send({ ...call, start: start + received, end: start + length, ifMatch: etag }).catch((error) => {
      if (call.ifMatch !== undefined || !hasCode(error, 'Conflict')) throw error;
      throw new BatchLayerError('Unavailable', `${key}: was replaced while it was read`, { cause: error });
    });
  }
}

/** Reads a body to its end, or to where it breaks off: always consumed, or its socket would be lost. */
async function readBody(
  { Body }: GetObjectCommandOutput,
  signal: AbortSignal | undefined,
  take: (chunk: Uint8Array) => void,
): Promise<unknown> {
  try {
    for await (const chunk of Body as Readable) take(chunk as Uint8Array);
    return undefined;
  } catch (error) {
    signal?.throwIfAborted();
    return error;
  }
}
