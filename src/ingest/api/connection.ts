import type { Socket } from 'node:net';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { buildConnector, Pool } from 'undici';
import { BatchLayerError } from '../../errors.ts';
import { untilAborted } from '../../lake/abortable.ts';

/** An answer as it came, its body unpacked. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Empty where it is that of an error and did not come whole. */
  readonly text: string;
}

export interface HttpCall {
  /** What the call is about, for its errors. */
  readonly place: string;
  readonly signal: AbortSignal;
  /** The head of the answer has come. */
  readonly onHead: () => void;
}

export interface Connection {
  /** Sends a GET once. */
  send(target: string, call: HttpCall): Promise<HttpAnswer>;
  /** Bytes of bodies so far, as they came. */
  bytesRead(): number;
  /** Ends what is under way. */
  close(): Promise<void>;
}

const MAX_BODY_BYTES = 64 * 2 ** 20;
/** What an error has to say is short. */
const MAX_ERROR_BYTES = 64 * 1024;
const MAX_CONNECT_MS = 10_000;

const unzip = promisify(gunzip);

/**
 * Connections to one origin, which are kept alive. Redirects are answers like any other.
 *
 * Each request has a connection of its own while it is under way (HTTP/1.1): one that stalls does not hold up the others.
 *
 * @param key goes with each request as `Authorization: Bearer`, and nowhere else
 */
export function openConnection(
  origin: string,
  { key, attemptTimeoutMs }: { readonly key: string; readonly attemptTimeoutMs: number },
): Connection {
  const connecting = new Set<Socket>();
  // The time of an attempt is kept by who makes it.
  const pool = new Pool(origin, {
    connect: trackSockets(connecting, Math.min(attemptTimeoutMs, MAX_CONNECT_MS)),
    allowH2: false,
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  const headers = {
    authorization: `Bearer ${key}`,
    accept: 'application/json',
    'accept-encoding': 'gzip',
    'user-agent': 'batch-layer',
  };
  let bytesRead = 0;

  async function readBytes(body: AsyncIterable<Uint8Array>, maxBytes: number, place: string): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of body) {
      bytesRead += chunk.length;
      length += chunk.length;
      if (length > maxBytes) throw tooLarge(place, maxBytes);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  return {
    async send(target, { place, signal, onHead }) {
      // The client takes no notice of the signal before it is connected.
      const answer = await untilAborted(pool.request({ path: target, method: 'GET', headers, signal }), signal);
      onHead();
      const { statusCode: status } = answer;
      const maxBytes = status === 200 ? MAX_BODY_BYTES : MAX_ERROR_BYTES;
      try {
        const body = await readBytes(answer.body, maxBytes, place);
        const text = await decodeBody(body, answer.headers['content-encoding'], maxBytes, place);
        return { status, headers: answer.headers, text };
      } catch (error) {
        // The status of an error says enough by itself, but for a 403, which may be one for today only.
        if (status === 200 || status === 403) throw error;
        return { status, headers: answer.headers, text: '' };
      }
    },
    bytesRead: () => bytesRead,
    async close() {
      for (const socket of connecting) socket.destroy(new Error('closed'));
      await pool.destroy();
    },
  };
}

// Those that are not connected yet are left by undici to their time-out, also where it is told to end.
function trackSockets(connecting: Set<Socket>, timeout: number): buildConnector.connector {
  // Its documentation says what it returns, its types do not.
  const connect = buildConnector({ timeout, allowH2: false }) as (
    ...args: Parameters<buildConnector.connector>
  ) => Socket;
  return (options, callback) => {
    const socket = connect(options, callback);
    connecting.add(socket);
    const settle = (): void => {
      connecting.delete(socket);
    };
    socket.once(options.protocol === 'https:' ? 'secureConnect' : 'connect', settle).once('close', settle);
  };
}

async function decodeBody(
  body: Uint8Array,
  encoding: string | readonly string[] | undefined,
  maxBytes: number,
  place: string,
): Promise<string> {
  const isPacked = /^(x-)?gzip$/i.test(String(encoding));
  if (!isPacked && encoding) throw damaged(place, 'is in an encoding that was not asked for');
  try {
    const unpacked = isPacked ? await unzip(body, { maxOutputLength: maxBytes }) : body;
    return new TextDecoder('utf-8', { fatal: true }).decode(unpacked);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(place, maxBytes);
    throw damaged(place, 'cannot be unpacked');
  }
}

function damaged(place: string, what: string): BatchLayerError {
  return new BatchLayerError('Unavailable', `${place}: the answer ${what}; try again later`);
}

function tooLarge(place: string, maxBytes: number): BatchLayerError {
  return new BatchLayerError('BadInput', `${place}: the answer has more than ${maxBytes} bytes; ask for less`);
}
