import { setTimeout as sleep } from 'node:timers/promises';
import { type Connection, cut, pass, write } from './relay.ts';
import { contentBytes, type FrontendMessage, runsStatement } from './wire.ts';

/**
 * What happens once, at one message of the clients: `at` 1 is the first since the fault was armed.
 *
 * - `cut`: the connection is lost before the server has the message; or after it, when the server has done it but its
 *   answers are lost (one that waits for a lock goes on); or when the server has so many bytes of the content of CopyData
 * - `hang`: no more bytes either way, on sockets that stay open, before or after the server has the message
 * - `delay`: the message, and what follows it on its connection, comes so much later
 * - `kill`: the connection's backend is ended before it has the message; `at` counts only those that run a statement
 * - `refuse`: no new connections, from now on; those that are open go on
 */
export type Fault =
  | { readonly kind: 'cut'; readonly at: number; readonly when?: When }
  | { readonly kind: 'cut'; readonly afterCopyBytes: number }
  | { readonly kind: 'hang'; readonly at: number; readonly when?: When }
  | { readonly kind: 'delay'; readonly at: number; readonly ms: number }
  | { readonly kind: 'kill'; readonly at: number }
  | { readonly kind: 'refuse' };

/** `before` where it is not given. */
type When = 'before' | 'after';

/** How far the clients have come, the message at hand included. */
export interface Progress {
  readonly messages: number;
  readonly statements: number;
  readonly copyBytes: number;
}

export const NO_PROGRESS: Progress = { messages: 0, statements: 0, copyBytes: 0 };

/** The progress with one more message. */
export function advance(progress: Progress, message: FrontendMessage): Progress {
  return {
    messages: progress.messages + 1,
    statements: progress.statements + (runsStatement(message.name) ? 1 : 0),
    copyBytes: progress.copyBytes + (message.name === 'CopyData' ? contentBytes(message) : 0),
  };
}

/** Whether the fault happens at this message. */
export function isHit(fault: Fault, { name }: FrontendMessage, { messages, statements, copyBytes }: Progress): boolean {
  if (fault.kind === 'refuse') return false;
  if (fault.kind === 'kill') return runsStatement(name) && statements === fault.at;
  if ('afterCopyBytes' in fault) return name === 'CopyData' && copyBytes >= fault.afterCopyBytes;
  return messages === fault.at;
}

/** What a fault needs besides its connection. */
export interface Surroundings {
  readonly progress: Progress;
  /** Is resolved when what hangs is to go on. */
  readonly released: Promise<void>;
  readonly kill: (pid: number) => Promise<void>;
}

/** Makes the fault happen at the message it is for. */
export async function happen(
  fault: Fault,
  connection: Connection,
  { bytes }: FrontendMessage,
  { progress, released, kill }: Surroundings,
): Promise<void> {
  switch (fault.kind) {
    case 'cut': {
      const surplus = 'afterCopyBytes' in fault ? progress.copyBytes - fault.afterCopyBytes : 0;
      if (!('at' in fault) || fault.when === 'after') await pass(connection, bytes.subarray(0, bytes.length - surplus));
      return cut(connection);
    }
    case 'hang':
      connection.gate = released;
      return fault.when === 'after' ? write(connection.server, bytes) : pass(connection, bytes);
    case 'delay':
      await sleep(fault.ms);
      return pass(connection, bytes);
    case 'kill':
      if (connection.pid !== undefined) await kill(connection.pid);
      return pass(connection, bytes);
  }
}
