import { join } from 'node:path';
import { generate } from 'selfsigned';
import { startEmbedded } from '../../../src/runtime/embedded-postgres.ts';
import type { PostgresServer } from './server.ts';

export interface TlsServer extends PostgresServer {
  /** The file of the authority that vouches for the server as `localhost` and 127.0.0.1. */
  readonly ca: string;
  /** The file of another authority of the same name. */
  readonly otherCa: string;
}

interface Certificate {
  readonly cert: string;
  readonly private: string;
}

/** A PostgreSQL that takes no connection without TLS. */
export async function startTlsServer(): Promise<TlsServer> {
  const [ca, otherCa] = [await makeAuthority(), await makeAuthority()];
  const server = await makeServerCertificate(ca);
  const { url, dataFolder, stop } = await startEmbedded({
    files: {
      'server.crt': server.cert,
      'server.key': server.private,
      'ca.pem': ca.cert,
      'other-ca.pem': otherCa.cert,
      'pg_hba.conf': 'hostssl all all 127.0.0.1/32 scram-sha-256\n',
    },
    settings: { ssl: 'on' },
  });
  return { url, stop, ca: join(dataFolder, 'ca.pem'), otherCa: join(dataFolder, 'other-ca.pem') };
}

function makeAuthority(): Promise<Certificate> {
  return generate([{ name: 'commonName', value: 'batch-layer tests' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, critical: true },
    ],
  });
}

function makeServerCertificate(ca: Certificate): Promise<Certificate> {
  return generate([{ name: 'commonName', value: 'batch-layer test server' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    ca: { key: ca.private, cert: ca.cert },
    extensions: [
      {
        name: 'subjectAltName',
        altNames: [
          { type: 2, value: 'localhost' },
          { type: 7, ip: '127.0.0.1' },
        ],
      },
    ],
  });
}
