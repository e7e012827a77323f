import { describe } from 'vitest';
import { s3Store } from '../../src/lake/s3-store.ts';
import { openBucket } from '../support/s3/bucket.ts';
import { describeStoreContract } from '../support/store-contract.ts';

describe('s3Store', () => {
  describeStoreContract(async (count) => {
    const { bucket, options } = await openBucket();
    return Array.from({ length: count }, () => s3Store({ ...options, bucket, prefix: 'lake' }));
  });
});
