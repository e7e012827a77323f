import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';

/** Conditions that a server may honour. */
export type Condition = 'create' | 'replace' | 'delete' | 'delete many';

export interface FakeS3 {
  readonly endpoint: string;
  readonly seen: { readonly method: string; readonly path: string; readonly headers: IncomingHttpHeaders }[];
  /** Content by path. */
  readonly objects: ReadonlyMap<string, string>;
}

/** A server that keeps objects and takes no notice of conditions but for those given; ends with the test. */
export async function openFakeS3(honoured: readonly Condition[] = []): Promise<FakeS3> {
  const objects = new Map<string, string>();
  const seen: FakeS3['seen'] = [];

  const isRefused = (condition: Condition, path: string, headers: IncomingHttpHeaders): boolean => {
    if (!honoured.includes(condition)) return false;
    if (headers['if-none-match'] === '*' && objects.has(path)) return true;
    return headers['if-match'] !== undefined && headers['if-match'] !== etagOf(objects.get(path));
  };
  const deleteMany = (bucket: string, body: string): string => {
    const [failed, deleted]: [string[], string[]] = [[], []];
    for (const [, object = ''] of body.matchAll(/<Object>(.*?)<\/Object>/gs)) {
      const key = /<Key>(.*?)<\/Key>/.exec(object)?.[1] ?? '';
      const etag = /<ETag>(.*?)<\/ETag>/.exec(object)?.[1]?.replaceAll('&quot;', '"');
      const headers = etag === undefined ? {} : { 'if-match': etag };
      if (isRefused('delete many', `${bucket}/${key}`, headers)) failed.push(key);
      else {
        objects.delete(`${bucket}/${key}`);
        deleted.push(key);
      }
    }
    const done = deleted.map((key) => `<Deleted><Key>${key}</Key></Deleted>`);
    const errors = failed.map((key) => `<Error><Key>${key}</Key><Code>PreconditionFailed</Code></Error>`);
    return `<?xml version="1.0"?>\n<DeleteResult>${done.join('')}${errors.join('')}</DeleteResult>`;
  };

  const server = createServer(async (incoming, response) => {
    const { method = '', url = '', headers } = incoming;
    const path = decodeURIComponent(new URL(url, 'http://fake').pathname);
    seen.push({ method, path, headers });
    const body = await text(incoming);
    const answer = (status: number, etag?: string, content = '') =>
      response.writeHead(status, etag === undefined ? {} : { etag }).end(method === 'HEAD' ? undefined : content);
    if (method === 'POST') answer(200, undefined, deleteMany(path.replace(/\/$/, ''), body));
    else if (method === 'PUT') {
      if (isRefused(headers['if-match'] ? 'replace' : 'create', path, headers)) answer(412);
      else {
        objects.set(path, body);
        answer(200, etagOf(body));
      }
    } else if (method === 'DELETE') {
      if (isRefused('delete', path, headers)) answer(412);
      else {
        objects.delete(path);
        answer(204);
      }
    } else if (objects.has(path)) answer(200, etagOf(objects.get(path)), objects.get(path));
    else answer(404);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen, objects };
}

function etagOf(content: string | undefined): string {
  return `"${Buffer.from(content ?? '').toString('hex')}"`;
}
