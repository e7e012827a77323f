import { BatchLayerError, type ErrorCode, messageOf } from '../errors.ts';

/** What the SDK throws, as far as it is known: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
interface SdkError {
  readonly name?: string;
  readonly code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

const NO_URL = ['BadInput', 'the endpoint is no URL such as http://host:port; check AWS_ENDPOINT_URL_S3'] as const;

// Names and codes that tell more than their status.
const BY_NAME: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  NoSuchBucket: ['BadInput', 'no such bucket; check the URL of the lake'],
  NoSuchUpload: ['Conflict', 'its upload was ended by somebody else; read it again and plan again'],
  PermanentRedirect: ['BadInput', 'the bucket is in another region; set AWS_REGION to it'],
  AuthorizationHeaderMalformed: ['BadInput', 'the bucket is in another region; set AWS_REGION to it'],
  RequestTimeTooSkewed: ['BadInput', "the machine's clock is off by more than 15 minutes; set it right"],
  RequestTimeout: ['Unavailable', 'the store gave up waiting; try again later'],
  EndpointError: NO_URL,
  ERR_INVALID_URL: NO_URL,
  IncompleteBody: ['Unavailable', 'it was cut on the way; try again later'],
  BadDigest: ['Unavailable', 'it was damaged on the way; try again later'],
  NotImplemented: [
    'BadInput',
    'the store cannot do what is asked; use one that honours conditional writes, as AWS S3 does',
  ],
  ExpiredToken: ['BadInput', 'the credentials have expired; get new ones'],
  CredentialsProviderError: ['BadInput', 'found no AWS credentials; set AWS_PROFILE, AWS_ACCESS_KEY_ID or a role'],
};
const CERTIFICATE = /CERT|SELF_SIGNED|^UNABLE_TO_|^ERR_TLS_/;
const NETWORK =
  /^(E(?!RR_)[A-Z_]+|HPE_[A-Z_]+|TimeoutError|ABORT_ERR|ERR_(STREAM|SOCKET|SSL)_[A-Z_]+|NetworkingError)$/;

/**
 * A failure of the SDK in the library's terms, or as it is where it is none of the store's.
 *
 * @param place key, or what else the request was about
 */
export function s3Error(error: unknown, place: string): unknown {
  if (error instanceof BatchLayerError || !(error instanceof Error)) return error;
  const { name = '', code = '', $metadata } = error as SdkError;
  const status = $metadata?.httpStatusCode;
  const [kind, advice] = BY_NAME[name] ?? BY_NAME[code] ?? byStatus(status) ?? byMessage(error, [name, code]) ?? [];
  if (kind === undefined) return error;
  const what = [status, name, messageOf(error)].filter((part) => part !== undefined && part !== '').join(' ');
  return new BatchLayerError(kind, `${place}: ${advice} (${what})`, { cause: error });
}

/** An answer without the version it is about is none: what was written may not be there. */
export function etagOf({ ETag }: { readonly ETag?: string | undefined }, key: string): string {
  if (ETag) return ETag;
  throw noAnswer(key, 'an ETag');
}

/** The error of an answer that is not what was asked for. */
export function noAnswer(place: string, expected: string): BatchLayerError {
  return new BatchLayerError('Unavailable', `${place}: the answer is not ${expected}; try again later`);
}

function byStatus(status: number | undefined): readonly [ErrorCode, string] | undefined {
  switch (status) {
    case undefined:
    case 200:
      return undefined;
    case 301:
    case 307:
      return BY_NAME.PermanentRedirect;
    case 403:
      return ['BadInput', 'access denied; check the credentials and what they are allowed'];
    case 404:
      return ['NotFound', 'no such object'];
    case 412:
      return ['Conflict', 'another writer was faster; read it again and plan again'];
    // Conflicting requests at the same time: neither may have won, so the same one is sent again.
    case 409:
    case 429:
      return ['Unavailable', 'the store is busy; try again later'];
    default:
      return status >= 500
        ? ['Unavailable', 'the store failed; try again later']
        : ['BadInput', 'the store refuses the request'];
  }
}

function byMessage(error: Error, names: readonly string[]): readonly [ErrorCode, string] | undefined {
  if (names.some((name) => NETWORK.test(name)) || /aborted|socket hang up|connection lost/i.test(error.message)) {
    return ['Unavailable', 'the connection failed; try again later'];
  }
  if (/XML parse error|Deserialization error/i.test(error.message)) {
    return ['Unavailable', 'the answer cannot be read; try again later'];
  }
  if (names.some((name) => CERTIFICATE.test(name))) {
    return [
      'BadInput',
      "the server's certificate is not trusted; check the endpoint, or name its authority in NODE_EXTRA_CA_CERTS",
    ];
  }
  if (/region is missing/i.test(error.message)) return ['BadInput', 'the region is not known; set AWS_REGION'];
  if (/credential/i.test(error.message)) return BY_NAME.CredentialsProviderError;
  return undefined;
}
