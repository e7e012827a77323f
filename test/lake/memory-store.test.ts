import { describe } from 'vitest';
import { memoryStore } from '../../src/lake/memory-store.ts';
import { describeStoreContract } from '../support/store-contract.ts';

describe('memoryStore', () => {
  describeStoreContract(async (count) => {
    const store = memoryStore();
    return Array.from({ length: count }, () => store);
  });
});
