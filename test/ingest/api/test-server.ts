import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import { type MarketApi, type MarketApiOptions, openMarketApi } from '../../../src/ingest/api/market-api.ts';

export interface Received {
  /** Milliseconds of `performance.now`. */
  readonly at: number;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly port: number | undefined;
}

export type Answer = (response: ServerResponse, request: IncomingMessage, count: number) => unknown;

export interface TestServer {
  readonly baseUrl: string;
  readonly received: readonly Received[];
}

export const API_KEY = 'test-key';

/** A server on this machine until the test is over; `answer` is told the how-manieth request it is, from 1. */
export async function startServer(answer: Answer): Promise<TestServer> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const { url = '', headers, socket } = request;
    received.push({ at: performance.now(), url, headers, port: socket.remotePort });
    answer(response, request, received.length);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

/** A server that does with its connections what it likes. */
export async function startTcpServer(onConnection: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** An API that waits no time between attempts, closed when the test is over. */
export function openTestApi(baseUrl: string, options: Partial<MarketApiOptions> = {}): MarketApi {
  const api = openMarketApi({
    apiKey: API_KEY,
    baseUrl,
    rateLimit: { calls: 1000, perMs: 1 },
    random: () => 0,
    ...options,
  });
  onTestFinished(() => api.close());
  return api;
}

export function sendJson(response: ServerResponse, answer: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
}
