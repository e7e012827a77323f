import { z } from 'zod';
import type { DatabaseLogin } from '../database/index.ts';
import { BatchLayerError, messageOf } from '../errors.ts';
import { parseJson } from '../json.ts';

/** Names under which a secret that is a JSON object may hold the key. */
const FIELDS = ['POLYGON_API_KEY', 'polygon_api_key', 'api_key', 'apiKey', 'key'];

/**
 * The key of the market data API: `POLYGON_API_KEY`, or the secret that `POLYGON_API_KEY_SECRET_ARN` names in AWS Secrets
 * Manager, as plain text or as a JSON object with the key in it.
 *
 * @throws BatchLayerError `BadInput` where there is none; never with anything of the secret in its message
 */
export async function marketApiKey(env: NodeJS.ProcessEnv, signal?: AbortSignal): Promise<string> {
  if (env.POLYGON_API_KEY) return env.POLYGON_API_KEY;
  const arn = env.POLYGON_API_KEY_SECRET_ARN;
  if (!arn) {
    throw new BatchLayerError(
      'BadInput',
      'no key for the market data API: set POLYGON_API_KEY, or POLYGON_API_KEY_SECRET_ARN to a secret in AWS Secrets Manager',
    );
  }
  const key = keyIn(await readSecret(arn, signal));
  if (key) return key;
  throw new BatchLayerError(
    'BadInput',
    `${arn}: holds no key: expected it as plain text, or as a JSON object with one of ${FIELDS.join(', ')}`,
  );
}

// As RDS writes it; what RDS manages itself has user and password only.
const RDS_SECRET = z.object({
  username: z.string().min(1),
  password: z.string().min(1),
  host: z.string().optional(),
  port: z.coerce.number().int().min(1).max(65_535).optional(),
  dbname: z.string().optional(),
});

/**
 * User and password of the database, and where it is, from the secret that `RDS_SECRET_ARN` names in AWS Secrets Manager;
 * `undefined` where none is named.
 *
 * @throws BatchLayerError `BadInput` where it cannot be read or is none; never with anything of the secret in its message
 */
export async function databaseLogin(env: NodeJS.ProcessEnv, signal?: AbortSignal): Promise<DatabaseLogin | undefined> {
  const arn = env.RDS_SECRET_ARN;
  if (!arn) return undefined;
  const { success, data } = RDS_SECRET.safeParse(fieldsOf(await readSecret(arn, signal)));
  if (!success) {
    const expected = 'a JSON object with username and password, and perhaps host, port and dbname';
    throw new BatchLayerError('BadInput', `${arn}: holds no login of a database: expected ${expected}`);
  }
  const { username: user, password, host, port, dbname: database } = data;
  return { user, password, host, port, database };
}

async function readSecret(arn: string, signal: AbortSignal | undefined): Promise<string> {
  const { SecretsManagerClient, GetSecretValueCommand } = await import('@aws-sdk/client-secrets-manager');
  // arn:aws:secretsmanager:REGION:…
  const region = arn.split(':')[3];
  const client = new SecretsManagerClient(region ? { region } : {});
  try {
    const { SecretString } = await client.send(
      new GetSecretValueCommand({ SecretId: arn }),
      signal ? { abortSignal: signal } : {},
    );
    return SecretString ?? '';
  } catch (error) {
    signal?.throwIfAborted();
    const status = (error as { readonly $metadata?: { readonly httpStatusCode?: number } }).$metadata?.httpStatusCode;
    const isThrottled = (error as { readonly $retryable?: { readonly throttling?: boolean } }).$retryable?.throttling;
    const isRefused =
      !isThrottled && ((status !== undefined && status < 500) || (error as Error).name === 'CredentialsProviderError');
    const advice = isRefused ? 'check the ARN, the credentials and what they are allowed' : 'try again later';
    throw new BatchLayerError(
      isRefused ? 'BadInput' : 'Unavailable',
      `${arn}: cannot be read: ${messageOf(error)}; ${advice}`,
      { cause: error },
    );
  } finally {
    client.destroy();
  }
}

function keyIn(secret: string): string | undefined {
  if (!secret.trimStart().startsWith('{')) return secret.trim();
  const fields = fieldsOf(secret);
  const name = FIELDS.find((field) => typeof fields?.[field] === 'string');
  return name === undefined ? undefined : (fields![name] as string).trim();
}

function fieldsOf(secret: string): Record<string, unknown> | undefined {
  try {
    return parseJson(secret) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
