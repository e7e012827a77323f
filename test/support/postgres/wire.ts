// What a client sends in version 3 of the PostgreSQL protocol (documentation, chapter 54.7): a message is a byte for its
// kind, the length of what follows as an int32 that counts itself, and its content; the first one has no such byte.

/** A message as it came. */
export interface FrontendMessage {
  /** `Startup`, `Password`, `Bind`, `Execute`, `CopyData` and so on; `Query BEGIN` and `Parse SELECT 1` with their SQL. */
  readonly name: string;
  readonly bytes: Buffer;
}

const NAMES: Readonly<Record<string, string>> = {
  B: 'Bind',
  C: 'Close',
  D: 'Describe',
  E: 'Execute',
  F: 'FunctionCall',
  H: 'Flush',
  P: 'Parse',
  Q: 'Query',
  S: 'Sync',
  X: 'Terminate',
  c: 'CopyDone',
  d: 'CopyData',
  f: 'CopyFail',
  p: 'Password',
};

const STARTUP_NAMES: Readonly<Record<number, string>> = {
  80877102: 'CancelRequest',
  80877103: 'SSLRequest',
  80877104: 'GSSENCRequest',
};

const HEADER_BYTES = 5;

/** Takes what comes from a client, and gives the messages that are complete with it. */
export function frontendReader(): (chunk: Buffer) => readonly FrontendMessage[] {
  let rest: Buffer = Buffer.alloc(0);
  let isStarted = false;
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    const messages: FrontendMessage[] = [];
    for (;;) {
      const size = sizeOf(rest, isStarted ? 1 : 0);
      if (size === undefined || rest.length < size) return messages;
      const bytes = rest.subarray(0, size);
      rest = rest.subarray(size);
      const name = isStarted ? nameOf(bytes) : (STARTUP_NAMES[bytes.readInt32BE(4)] ?? 'Startup');
      if (name === 'Startup') isStarted = true;
      messages.push({ name, bytes });
    }
  };
}

/** Takes what comes from a server until it has told the process of the connection (BackendKeyData), and then gives that. */
export function backendPidReader(): (chunk: Buffer) => number | undefined {
  let rest: Buffer = Buffer.alloc(0);
  let pid: number | undefined;
  return (chunk) => {
    if (pid !== undefined) return pid;
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const size = sizeOf(rest, 1);
      if (size === undefined || rest.length < size) return undefined;
      if (rest[0] === 'K'.charCodeAt(0)) {
        pid = rest.readInt32BE(HEADER_BYTES);
        return pid;
      }
      rest = rest.subarray(size);
    }
  };
}

/** The size of what a message carries. */
export function contentBytes({ bytes }: FrontendMessage): number {
  return bytes.length - HEADER_BYTES;
}

/** Whether a statement runs when the server has this message: Query, Execute for those with parameters, CopyDone. */
export function runsStatement(name: string): boolean {
  return /^(?:Query|Execute|CopyDone)\b/.test(name);
}

function sizeOf(bytes: Buffer, kindBytes: 0 | 1): number | undefined {
  return bytes.length < kindBytes + 4 ? undefined : kindBytes + bytes.readInt32BE(kindBytes);
}

function nameOf(bytes: Buffer): string {
  const kind = String.fromCharCode(bytes[0] ?? 0);
  const name = NAMES[kind] ?? kind;
  if (kind !== 'Q' && kind !== 'P') return name;
  // Parse has the statement's name in front of its SQL.
  const from = kind === 'Q' ? HEADER_BYTES : bytes.indexOf(0, HEADER_BYTES) + 1;
  const sql = bytes.toString('utf8', from, bytes.indexOf(0, from));
  return `${name} ${sql.replace(/\s+/g, ' ').trim()}`;
}
