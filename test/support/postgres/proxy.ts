import { createServer } from 'node:net';
import { onTestFinished } from 'vitest';
import { freePort } from '../../../src/runtime/embedded-postgres.ts';
import { killBackend } from './client.ts';
import { advance, type Fault, happen, isHit, NO_PROGRESS } from './faults.ts';
import { type Connection, openConnection, pass, relay, write } from './relay.ts';
import { type FrontendMessage, runsStatement } from './wire.ts';

export interface PostgresProxy {
  readonly url: string;
  /** Names of the clients' messages since it was started, or since a fault was armed: that of `at` 1 is the first. */
  readonly messages: () => readonly string[];
  /** Those of them that run a statement: Query, Execute, CopyDone. */
  readonly statements: () => readonly string[];
  /** Has a fault happen once, in the place of one that did not happen yet. */
  readonly arm: (fault: Fault) => { readonly hits: number };
  /** Arms `kill`: ends the backend that is about to run the k-th statement from now on. */
  readonly killAt: (k: number) => { readonly hits: number };
  /** No more faults; what hangs goes on, and new connections are accepted. */
  readonly disarm: () => Promise<void>;
  /** How many clients are connected; one that gave up while it hung may count until `disarm`. */
  readonly connections: () => number;
  readonly close: () => void;
}

/** Passes connections, without TLS, on to a PostgreSQL server, but for a fault it is told to make; ends with the test. */
export async function startProxy(url: string): Promise<PostgresProxy> {
  const open = new Set<Connection>();
  let armed: { readonly fault: Fault; readonly count: { hits: number } } | undefined;
  let hung = Promise.withResolvers<void>();
  let seen: string[] = [];
  let progress = NO_PROGRESS;

  const onMessage = async (connection: Connection, message: FrontendMessage): Promise<void> => {
    seen.push(message.name);
    progress = advance(progress, message);
    if (armed && isHit(armed.fault, message, progress)) {
      const { fault, count } = armed;
      armed = undefined;
      count.hits++;
      const kill = (pid: number) => killBackend(url, pid);
      await happen(fault, connection, message, { progress, released: hung.promise, kill });
    } else if (/^(?:SSL|GSSENC)Request$/.test(message.name)) {
      // No: what is encrypted could not be read here.
      await write(connection.client, Buffer.from('N'));
    } else await pass(connection, message.bytes);
  };
  const server = createServer({ noDelay: true }, (client) => {
    const connection = openConnection(client, url);
    open.add(connection);
    client.once('close', () => open.delete(connection));
    relay(connection, (message) => onMessage(connection, message));
  });
  const port = await freePort();
  const listen = () => new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  await listen();

  const arm = (fault: Fault) => {
    const count = { hits: 0 };
    armed = { fault, count };
    seen = [];
    progress = NO_PROGRESS;
    if (fault.kind === 'refuse') server.close();
    return count;
  };
  const disarm = async () => {
    armed = undefined;
    hung.resolve();
    hung = Promise.withResolvers();
    if (!server.listening) await listen();
  };
  const close = () => {
    hung.resolve();
    for (const { client, server: target } of open) {
      client.destroy();
      target.destroy();
    }
    server.close();
  };
  onTestFinished(close);
  return {
    url: Object.assign(new URL(url), { host: `127.0.0.1:${port}` }).href,
    messages: () => seen,
    statements: () => seen.filter(runsStatement),
    arm,
    killAt: (at) => arm({ kind: 'kill', at }),
    disarm,
    connections: () => open.size,
    close,
  };
}
