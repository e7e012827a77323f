import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import type { Variables } from './run-command.ts';

/**
 * Secrets Manager, as far as one call of it, a POST with the ARN in JSON; ends with the test.
 *
 * @param secrets their texts by name; a number is the status that is answered in the place of one
 * @returns what the environment has to have, `RDS_SECRET_ARN` of the secret that is named among it
 */
export async function startSecretsManager(
  secrets: Readonly<Record<string, string | number>>,
): Promise<((name: string) => Variables) & { readonly asked: string[] }> {
  const asked: string[] = [];
  const server = createServer(async (request, response) => {
    const { SecretId } = JSON.parse(Buffer.concat(await Array.fromAsync(request)).toString());
    const name = SecretId.split(':').at(-1);
    asked.push(name);
    const secret = secrets[name];
    response.setHeader('content-type', 'application/x-amz-json-1.1');
    if (typeof secret === 'string') {
      response.end(JSON.stringify({ SecretString: secret }));
      return;
    }
    response.statusCode = secret ?? 400;
    const notFound = {
      __type: 'ResourceNotFoundException',
      message: "Secrets Manager can't find the specified secret.",
    };
    response.end(JSON.stringify(secret === undefined ? notFound : { __type: 'InternalServiceError', message: 'busy' }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const variables = (name: string) => ({
    RDS_SECRET_ARN: `arn:aws:secretsmanager:ca-west-1:123456789012:secret:${name}`,
    AWS_ENDPOINT_URL_SECRETS_MANAGER: `http://127.0.0.1:${port}`,
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
  });
  return Object.assign(variables, { asked });
}
