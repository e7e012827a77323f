// A process that increments the object `counter` of a file store by compare-and-swap, and prints a dot for each.
import { writeSync } from 'node:fs';
import { hasCode } from '../../src/errors.ts';
import { fileStore } from '../../src/lake/file-store.ts';

const store = fileStore(process.argv[2]!);
for (let done = 0; done < Number(process.argv[3]); ) {
  const { body, etag } = await store.get('counter');
  try {
    await store.put('counter', Buffer.from(String(Number(Buffer.from(body).toString()) + 1)), { ifMatch: etag });
    writeSync(1, '.');
    done++;
  } catch (error) {
    if (!hasCode(error, 'Conflict')) throw error;
  }
}
