// A process that runs `ingestDms` on a lake of files, and ends with 0 where all of it landed.
import { ingestDms } from '../../../src/ingest/dms/ingest-dms.ts';
import { fileStore } from '../../../src/lake/file-store.ts';

const { failed, rejected } = await ingestDms(fileStore(process.argv[2] as string), { maxBytes: 1 });
process.exitCode = failed.length + rejected;
