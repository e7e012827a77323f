import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import type { Variables } from './run-command.ts';

/**
 * Secrets Manager, as far as one call of it, a POST with the ARN in JSON; ends with the test.
 *
 * @returns what the environment has to have, `RDS_SECRET_ARN` of the secret that is named among it
 */
export async function startSecretsManager(
  secrets: Readonly<Record<string, string>>,
): Promise<(name: string) => Variables> {
  const server = createServer(async (request, response) => {
    const { SecretId } = JSON.parse(Buffer.concat(await Array.fromAsync(request)).toString());
    const secret = secrets[SecretId.split(':').at(-1)];
    response.setHeader('content-type', 'application/x-amz-json-1.1');
    response.statusCode = secret === undefined ? 400 : 200;
    const error = { __type: 'ResourceNotFoundException', message: "Secrets Manager can't find the specified secret." };
    response.end(JSON.stringify(secret === undefined ? error : { SecretString: secret }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return (name) => ({
    RDS_SECRET_ARN: `arn:aws:secretsmanager:ca-west-1:123456789012:secret:${name}`,
    AWS_ENDPOINT_URL_SECRETS_MANAGER: `http://127.0.0.1:${port}`,
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
  });
}
