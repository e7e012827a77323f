import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { backendPidReader, type FrontendMessage, frontendReader } from './wire.ts';

/** A client's connection through a proxy. */
export interface Connection {
  readonly client: Socket;
  readonly server: Socket;
  /** The backend's process, once the server told it. */
  pid: number | undefined;
  /** Nothing is passed on, either way, until it is resolved. */
  gate: Promise<void> | undefined;
  /** What the server still says is dropped. */
  isCut: boolean;
}

/** A backend that waits for a lock does not see that its client is gone. */
const MAX_END_MS = 1000;

/** Opens the way to the server; its answers are passed on from then on. */
export function openConnection(client: Socket, url: string): Connection {
  const { hostname, port } = new URL(url);
  const server = connect({ host: hostname, port: Number(port || 5432), noDelay: true });
  const connection: Connection = { client, server, pid: undefined, gate: undefined, isCut: false };
  // Either end may be lost at any time; the other one learns it by its end.
  client.on('error', () => undefined);
  server.on('error', () => undefined);
  passAnswers(connection).then(
    () => client.end(),
    () => client.destroy(),
  );
  return connection;
}

/** Hands over the client's messages, one after the other, until either end is closed. */
export async function relay(
  connection: Connection,
  onMessage: (message: FrontendMessage) => Promise<void>,
): Promise<void> {
  const { client, server } = connection;
  const read = frontendReader();
  try {
    for await (const chunk of client) {
      for (const message of read(chunk)) if (!connection.isCut) await onMessage(message);
    }
    server.end();
  } catch {
    server.destroy();
  }
}

/** Sends on to the server, and waits until this is out of the process. */
export async function pass(connection: Connection, bytes: Buffer): Promise<void> {
  await connection.gate;
  await write(connection.server, bytes);
}

/**
 * Cuts the connection to the client when the server has done all it was sent, and its backend, with its locks, is gone: what the
 * client does next comes to the same each time.
 */
export async function cut(connection: Connection): Promise<void> {
  const { client, server } = connection;
  connection.isCut = true;
  const ended = new Promise<void>((resolve) => server.once('close', () => resolve()));
  server.end();
  if (!server.closed) await Promise.race([ended, sleep(MAX_END_MS, undefined, { ref: false })]);
  client.destroy();
  server.destroy();
}

export function write(socket: Socket, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => socket.write(bytes, () => resolve()));
}

async function passAnswers(connection: Connection): Promise<void> {
  const { client, server } = connection;
  const readPid = backendPidReader();
  for await (const chunk of server) {
    connection.pid = readPid(chunk);
    await connection.gate;
    if (!connection.isCut) await write(client, chunk);
  }
}
