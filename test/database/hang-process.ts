// A process that asks a database for something, prints what became of it and after how many milliseconds, and has nothing more to
// do: it closes nothing. Arguments: the URL, timeoutMs, and after how long it is aborted, if it is.
import { openDatabase } from '../../src/database/connection.ts';

const [url = '', timeoutMs, abortMs] = process.argv.slice(2);
const database = openDatabase(url, { timeoutMs: Number(timeoutMs) });
const signal = abortMs ? AbortSignal.timeout(Number(abortMs)) : undefined;
const start = performance.now();
try {
  await database.transaction((client) => client.query('SELECT 1'), { signal });
  console.log('done');
} catch (error) {
  const { code, name, message } = error as Error & { readonly code?: string };
  console.log(`${name} ${code}: ${message}`);
}
process.on('exit', () => console.log(Math.round(performance.now() - start)));
