import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Answer } from './answer.ts';
import { stringify } from './row-faults.ts';

const gzipAsync = promisify(gzip);
const SLOW_BODY_PARTS = 10;

export interface EncodedBody {
  readonly bytes: Uint8Array;
  readonly isGzip: boolean;
}

/** Large bodies, as they were sent last. */
export interface BodyCache {
  bodyOf(answer: Answer, wantsGzip: boolean): Promise<EncodedBody>;
  clear(): void;
}

/** Keeps the bodies asked for last: a session of a whole market takes a while to make. */
export function createBodyCache(bodies: number): BodyCache {
  const cache = new Map<string, Promise<EncodedBody>>();
  return {
    async bodyOf(answer, wantsGzip) {
      if (answer.cacheAs === undefined) return encode(answer, wantsGzip);
      const name = `${answer.cacheAs} ${wantsGzip}`;
      const body = cache.get(name) ?? encode(answer, wantsGzip);
      cache.delete(name);
      cache.set(name, body);
      for (const oldest of cache.keys()) {
        if (cache.size <= bodies) break;
        cache.delete(oldest);
      }
      return body;
    },
    clear: () => cache.clear(),
  };
}

/** Sends an answer; resolves when it is sent, or the other side has gone. */
export async function sendAnswer(
  request: IncomingMessage,
  response: ServerResponse,
  answer: Answer,
  { cache, slowBodyMs, signal }: { cache: BodyCache; slowBodyMs: number; signal: AbortSignal },
): Promise<void> {
  if (answer.hangUp === 'before') {
    request.socket.destroy();
    return;
  }
  const isEncoded = Object.keys(answer.headers ?? {}).some((name) => name.toLowerCase() === 'content-encoding');
  const wantsGzip = !isEncoded && /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''));
  const { bytes, isGzip } = await cache.bodyOf(answer, wantsGzip);
  response.writeHead(answer.status, {
    'content-type': 'application/json',
    ...(isGzip ? { 'content-encoding': 'gzip' } : {}),
    'content-length': bytes.length,
    ...answer.headers,
  });
  if (answer.hangUp === 'in-body') {
    response.write(bytes.subarray(0, Math.ceil(bytes.length / 2)), () => request.socket.destroy());
    return;
  }
  if (slowBodyMs > 0) {
    const step = Math.ceil(bytes.length / SLOW_BODY_PARTS);
    for (let at = 0; at < bytes.length; at += step) {
      response.write(bytes.subarray(at, at + step));
      await setTimeout(slowBodyMs / SLOW_BODY_PARTS, undefined, { signal });
    }
    response.end();
  } else {
    response.end(bytes);
  }
}

async function encode(answer: Answer, wantsGzip: boolean): Promise<EncodedBody> {
  const bytes = toBytes(answer.body());
  // An empty body is to be empty.
  const isGzip = wantsGzip && bytes.length > 0;
  return { bytes: isGzip ? await gzipAsync(bytes, { level: 1 }) : bytes, isGzip };
}

function toBytes(content: unknown): Uint8Array {
  if (content instanceof Uint8Array) return content;
  if (content === undefined) return new Uint8Array();
  return Buffer.from(typeof content === 'string' ? content : stringify(content));
}
