// A process that decodes a file of bars, and prints what came of it and its peak memory.
import { readFile } from 'node:fs/promises';
import { BatchLayerError } from '../../src/errors.ts';
import { BRONZE_SCHEMA } from '../../src/lake/bronze.ts';
import { decodeTable } from '../../src/lake/parquet-decode.ts';

const file = await readFile(process.argv[2] as string);
function decode(): object {
  try {
    return { rows: decodeTable(BRONZE_SCHEMA, file, 'forged').columns.length };
  } catch (error) {
    if (error instanceof BatchLayerError) return { code: error.code };
    throw error;
  }
}
console.log(JSON.stringify({ ...decode(), peakBytes: process.resourceUsage().maxRSS * 1024 }));
