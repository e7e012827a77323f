import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import type { S3Server } from './server.ts';

/** A Ceph RADOS Gateway of this process's own; installs it where it is not there yet. */
export async function startRgw(): Promise<Required<S3Server>> {
  const prefix = await installedRgw();
  const folder = await mkdtemp(join(await dataFolder(), 'batch-layer-rgw-'));
  const port = await freePort();
  // Detached, so that Ctrl-C does not reach it: it ends by itself, and cleans up, when its stdin closes.
  const child = spawn('bash', [script('rgw.sh'), prefix, folder, String(port), String(await freePort())], {
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  child.stdin.on('error', () => undefined); // An end before its time is told by what it wrote last.
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();

  const answer = async (expected: string): Promise<void> => {
    const { value } = await lines.next();
    if (value === expected) return;
    const said = [value ?? 'nothing'];
    for (let line = await lines.next(); !line.done; line = await lines.next()) said.push(line.value);
    throw new Error(`rgw.sh was to answer ${expected}, but said ${said.join('\n')}`);
  };
  const order = (command: string, expected: string): Promise<void> => {
    child.stdin.write(`${command}\n`);
    return answer(expected);
  };
  await answer('ready');
  return {
    endpoint: `http://127.0.0.1:${port}`,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'testsecret' },
    killGateway: () => order('kill', 'killed'),
    restartGateway: () => order('restart', 'ready'),
    stop: () => {
      child.stdin.end();
      return closed;
    },
  };
}

async function installedRgw(): Promise<string> {
  const prefix = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'batch-layer', 'rgw-20');
  if (existsSync(prefix)) return prefix;
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Error(`it runs on Linux x64, this is ${process.platform} ${process.arch}`);
  console.error(`Installing Ceph's S3 server for the tests into ${prefix} (once, about 20 s, 400 MB).`);
  const child = spawn('bash', [script('install-rgw.sh'), prefix], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise((resolve, reject) => child.once('close', resolve).once('error', reject));
  const [code, out, err] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  if (code !== 0) throw new Error(`install-rgw.sh ended with ${code}:\n${`${out}${err}`.slice(-2000)}`);
  return prefix;
}

async function dataFolder(): Promise<string> {
  const room = await statfs('/dev/shm').then(
    ({ bavail, bsize }) => bavail * bsize,
    () => 0,
  );
  return room > 2 ** 30 ? '/dev/shm' : tmpdir();
}

/** Below the ports that the system gives to connections, so that none takes it while the gateway is down. */
function freePort(): Promise<number> {
  const port = randomInt(20_000, 32_000);
  return new Promise((resolve) => {
    const probe = createServer()
      .once('error', () => resolve(freePort()))
      .listen(port, '127.0.0.1', () => probe.close(() => resolve(port)));
  });
}

function script(name: string): string {
  return new URL(name, import.meta.url).pathname;
}
