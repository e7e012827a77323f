import type { S3Client, S3ClientConfig } from '@aws-sdk/client-s3';
import { untilAborted } from './abortable.ts';
import { s3Error } from './s3-errors.ts';
import type { RequestKind, StoreCall, StoreRequest } from './store.ts';

/** Where a bucket is, and who asks. */
export interface S3Connection {
  /** Else that of the environment (`AWS_REGION`) or profile. */
  readonly region?: string | undefined;
  /** URL of a server that is not AWS; else `AWS_ENDPOINT_URL_S3`. */
  readonly endpoint?: string | undefined;
  /** The bucket in the path instead of the host's name; else `S3_FORCE_PATH_STYLE=true`. Always so for an IP address. */
  readonly forcePathStyle?: boolean | undefined;
  /** Else the SDK's default chain: environment, profile, container, instance. */
  readonly credentials?: S3ClientConfig['credentials'] | undefined;
}

/** How a client sends. */
export interface Sending {
  /** How often the SDK itself sends a request: once, where `withRetry` does it again. */
  readonly maxAttempts: number;
  /** From the request to the head of its answer, and without any byte of the body. */
  readonly requestTimeoutMs: number;
}

const CONNECTION_TIMEOUT_MS = 5_000;
const SOCKETS = 64;

/** Opens a client that says `Unavailable` within a bounded time and tells each request it sends. */
export async function openS3(
  { region, endpoint, forcePathStyle, credentials }: S3Connection,
  { maxAttempts, requestTimeoutMs }: Sending,
): Promise<S3Client> {
  const { S3Client } = await import('@aws-sdk/client-s3');
  const client = new S3Client({
    ...(region ? { region } : {}),
    ...(endpoint ? { endpoint } : {}),
    ...(credentials ? { credentials } : {}),
    forcePathStyle: forcePathStyle ?? process.env.S3_FORCE_PATH_STYLE === 'true',
    maxAttempts,
    requestHandler: {
      connectionTimeout: CONNECTION_TIMEOUT_MS,
      requestTimeout: requestTimeoutMs,
      socketTimeout: requestTimeoutMs,
      throwOnRequestTimeout: true,
      httpAgent: { maxSockets: SOCKETS },
      httpsAgent: { maxSockets: SOCKETS },
    },
  });
  countRequests(client);
  return client;
}

/** Options of one `client.send`: the SDK hands them to the function that sends each try. */
export interface SendOptions {
  readonly abortSignal?: AbortSignal;
  readonly onRequest?: StoreCall['onRequest'];
}

/** A store call's options as those of `client.send`. */
export function sendOptions({ signal, onRequest }: StoreCall): SendOptions {
  return { ...(signal ? { abortSignal: signal } : {}), onRequest };
}

/**
 * Waits for a request, its failure in the library's terms.
 *
 * @throws the signal's reason where the call was aborted
 */
export async function settle<T>(place: string, { signal }: StoreCall, request: () => Promise<T>): Promise<T> {
  signal?.throwIfAborted();
  try {
    return await request();
  } catch (error) {
    signal?.throwIfAborted();
    throw s3Error(error, place);
  }
}

/** {@link settle} of one request: an abort ends it also where it waits for something else than the server, such as credentials. */
export function sendOnce<T>(place: string, call: StoreCall, request: () => Promise<T>): Promise<T> {
  return settle(place, call, () => untilAborted(request(), call.signal));
}

function countRequests({ config }: S3Client): void {
  const { requestHandler } = config;
  const handle = requestHandler.handle.bind(requestHandler);
  requestHandler.handle = async (request, options) => {
    const { onRequest } = (options ?? {}) as SendOptions;
    if (!onRequest) return handle(request, options);
    const answer = await handle(request, options).catch((error) => {
      onRequest(describeRequest(request));
      throw error;
    });
    const { statusCode, headers } = answer.response;
    const isContent = request.method === 'GET' && statusCode < 300 && !('list-type' in (request.query ?? {}));
    onRequest(describeRequest(request, isContent ? Number(headers['content-length'] ?? 0) : 0));
    return answer;
  };
}

type HttpRequest = Parameters<S3Client['config']['requestHandler']['handle']>[0];

function describeRequest({ method, query = {}, headers }: HttpRequest, bytesRead = 0): StoreRequest {
  const isListing = 'list-type' in query;
  const kind = method === 'POST' && 'delete' in query ? 'DELETE' : isListing ? 'LIST' : (method as RequestKind);
  const length = headers['x-amz-decoded-content-length'] ?? headers['content-length'];
  return {
    kind,
    bytesRead,
    bytesWritten: method === 'PUT' ? Number(length ?? 0) : 0,
    isRetry: !(headers['amz-sdk-request'] ?? 'attempt=1').startsWith('attempt=1'),
  };
}
