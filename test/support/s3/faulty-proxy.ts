import {
  Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as openRequest,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';

/** A request as it came. */
export interface SeenRequest {
  readonly method: string;
  /** What follows the bucket. */
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** What a fault has in hand. */
export interface Exchange {
  readonly seen: SeenRequest;
  /** Has the server do it. */
  readonly forward: () => Promise<Answer>;
  readonly reply: (answer: Answer) => void;
  /** Sends the head of an answer and the first bytes of its body, and leaves it at that. */
  readonly begin: (answer: Answer, bytes: number) => Promise<void>;
  /** Cuts the connection to the client. */
  readonly cut: () => void;
}

export type Fault = (exchange: Exchange) => Promise<void> | void;

export type Matcher = (seen: SeenRequest) => boolean;

export interface FaultyProxy {
  readonly endpoint: string;
  /** All requests since it was opened, or since this was emptied. */
  readonly seen: SeenRequest[];
  /** Has the next requests that match end in a fault. */
  readonly arm: (matches: Matcher, fault: Fault, times?: number) => { readonly hits: number };
  readonly disarm: () => void;
  /** Closes connections that have no request. */
  readonly closeIdle: () => void;
  readonly connections: () => number;
}

/** Passes requests on to an S3 server, but for those it is told to fail; ends with the test. */
export async function openFaultyProxy(target: string): Promise<FaultyProxy> {
  const agent = new Agent({ keepAlive: true });
  const sockets = new Set<Socket>();
  const seen: SeenRequest[] = [];
  let rules: { matches: Matcher; fault: Fault; left: number; count: { hits: number } }[] = [];

  const handle = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const exchange = await openExchange(target, agent, incoming, response);
    seen.push(exchange.seen);
    const rule = rules.find(({ left, matches }) => left > 0 && matches(exchange.seen));
    if (!rule) return exchange.reply(await exchange.forward());
    rule.left--;
    rule.count.hits++;
    await rule.fault(exchange);
  };
  // Where the server is gone, so is the client's connection.
  const server = createServer((incoming, response) => {
    handle(incoming, response).catch(() => incoming.socket.destroy());
  });
  // None is closed just as the client uses it again.
  server.keepAliveTimeout = 600_000;
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
    agent.destroy();
  });
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    arm(matches, fault, times = 1) {
      const count = { hits: 0 };
      rules.push({ matches, fault, left: times, count });
      return count;
    },
    disarm() {
      rules = [];
    },
    closeIdle: () => server.closeIdleConnections(),
    connections: () => sockets.size,
  };
}

/** The server does not get it; the client gets an error. */
export function refuse(status: number, code = 'SlowDown'): Fault {
  return ({ reply }) => reply(errorAnswer(status, code));
}

/** The server does it; the client gets an error all the same. */
export function refuseAfter(status: number, code = 'InternalError'): Fault {
  return async ({ forward, reply }) => {
    await forward();
    reply(errorAnswer(status, code));
  };
}

/** The connection breaks before the server gets it. */
export const cutBefore: Fault = ({ cut }) => cut();

/** The server does it, and the connection breaks before the answer. */
export const loseAnswer: Fault = async ({ forward, cut }) => {
  await forward();
  cut();
};

/** The connection breaks in the answer's body. */
export function truncate(bytes: number): Fault {
  return async ({ forward, begin, cut }) => {
    await begin(await forward(), bytes);
    cut();
  };
}

/** One bit of the answer's body is another. */
export function flip(at: number): Fault {
  return async ({ forward, reply }) => {
    const answer = await forward();
    answer.body[at]! ^= 1;
    reply(answer);
  };
}

/** No answer ever, and the server does not get it. */
export const hang: Fault = () => undefined;

/** No answer ever, though the server does it. */
export const hangAfter: Fault = async ({ forward }) => {
  await forward();
};

/** The answer's body goes on for some bytes and then no further. */
export function stall(bytes: number): Fault {
  return async ({ forward, begin }) => begin(await forward(), bytes);
}

/** The error's document of S3, whatever the status. */
export function errorAnswer(status: number, code: string): Answer {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>by the test</Message></Error>`;
  return { status, headers: { 'content-type': 'application/xml' }, body: Buffer.from(body) };
}

async function openExchange(
  target: string,
  agent: Agent,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<Exchange> {
  const { method = '', url = '', headers, socket } = incoming;
  const { pathname, searchParams } = new URL(url, target);
  const key = decodeURIComponent(pathname.split('/').slice(2).join('/'));
  const body = await buffer(incoming);
  const head = (answer: Answer) => {
    const { connection: _, 'keep-alive': __, 'transfer-encoding': ___, ...kept } = answer.headers;
    const length = method === 'HEAD' ? {} : { 'content-length': String(answer.body.length) };
    response.writeHead(answer.status, { ...kept, ...length });
  };
  return {
    seen: { method, key, query: searchParams, headers, body },
    forward: () => send(target, agent, { method, url, headers, body }),
    reply(answer) {
      head(answer);
      response.end(answer.body);
    },
    async begin(answer, bytes) {
      head(answer);
      response.flushHeaders();
      await new Promise<void>((resolve) => {
        response.write(answer.body.subarray(0, bytes), () => resolve());
      });
    },
    cut: () => socket.destroy(),
  };
}

// The host's name stays the one that the client signed; what it expects of the connection is not the server's.
function send(
  target: string,
  agent: Agent,
  { method, url, headers, body }: Pick<SeenRequest, 'method' | 'headers' | 'body'> & { readonly url: string },
): Promise<Answer> {
  const { hostname, port } = new URL(target);
  const { expect: _, connection: __, ...kept } = headers;
  return new Promise((resolve, reject) => {
    const outgoing = openRequest({ hostname, port, agent, method, path: url, headers: kept }, (answer) => {
      buffer(answer).then(
        (received) => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: received }),
        reject,
      );
    });
    outgoing.once('error', reject);
    outgoing.end(body);
  });
}
