import { startRgw } from './rgw.ts';

/** How a client reaches an S3 server. */
export interface S3Connection {
  readonly endpoint: string;
  readonly region: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

export interface S3Server extends S3Connection {
  /** SIGKILL of the process that serves the requests; absent for a server that the tests did not start. */
  readonly killGateway?: () => Promise<void>;
  /** The same, and starts it again with its data. */
  readonly restartGateway?: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** The S3 server of `S3_TEST_ENDPOINT`, else one that is started, and ends at the latest with this process. */
export async function startS3(): Promise<S3Server> {
  const endpoint = process.env.S3_TEST_ENDPOINT;
  if (endpoint) return { endpoint, ...namedConnection(), stop: async () => undefined };
  try {
    return await startRgw();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(
      `There is no S3 server for the tests: S3_TEST_ENDPOINT is not set, and Ceph's, out of Debian's packages, did not ` +
        `start (${reason}). Set S3_TEST_ENDPOINT=http://host:port to a server that honours conditional writes, with ` +
        'S3_TEST_ACCESS_KEY_ID, S3_TEST_SECRET_ACCESS_KEY and S3_TEST_REGION.',
      { cause },
    );
  }
}

function namedConnection(env = process.env): Omit<S3Connection, 'endpoint'> {
  return {
    region: env.S3_TEST_REGION || 'us-east-1',
    credentials: {
      accessKeyId: env.S3_TEST_ACCESS_KEY_ID || env.AWS_ACCESS_KEY_ID || 'test',
      secretAccessKey: env.S3_TEST_SECRET_ACCESS_KEY || env.AWS_SECRET_ACCESS_KEY || 'testsecret',
    },
  };
}
