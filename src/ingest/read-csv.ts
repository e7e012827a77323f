import { createReadStream } from 'node:fs';
import { pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { parse } from 'csv-parse/sync';
import { BatchLayerError, messageOf } from '../errors.ts';

/** A line of a CSV file: its fields, or why it has none. */
export interface CsvLine {
  /** Counted from 1, the header included. */
  readonly line: number;
  /** Empty where the line cannot be taken apart (a quote that is not closed). */
  readonly fields: readonly string[];
}

const MAX_LINE_LENGTH = 65_536;
const READ_BYTES = 1 << 20;

/**
 * Reads a CSV file in batches of lines; `.gz` is unpacked on the way, a byte-order mark and empty lines are left out.
 *
 * A record is a line: a quoted field may hold commas and quotes, but no line break, so that a stray quote costs its own
 * line and no other.
 *
 * @throws BatchLayerError `BadInput` for a file that cannot be opened or unpacked to its end, and for a line of more than
 *   64 KB; what came before it has been handed out
 */
export async function* readCsv(path: string, signal?: AbortSignal): AsyncGenerator<readonly CsvLine[]> {
  let [line, rest] = [0, ''];
  try {
    for await (const chunk of openText(path, signal)) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > MAX_LINE_LENGTH) throw new Error(`line is longer than ${MAX_LINE_LENGTH} characters`);
      yield takeApart(lines, line);
      line += lines.length;
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw new BatchLayerError('BadInput', `${path}: ${messageOf(error)}`, { cause: error });
  }
  if (rest !== '') yield takeApart([rest], line);
}

function openText(path: string, signal?: AbortSignal): Readable {
  const options = signal ? { signal } : {};
  const file = createReadStream(path, { highWaterMark: READ_BYTES, ...options });
  if (!path.endsWith('.gz')) return file.setEncoding('utf8');
  // An error on either side comes out of the stream that is read.
  return pipeline(file, createGunzip({ chunkSize: READ_BYTES }), () => undefined).setEncoding('utf8');
}

function takeApart(lines: readonly string[], before: number): CsvLine[] {
  const taken: CsvLine[] = [];
  for (const [i, line] of lines.entries()) {
    const start = before + i === 0 && line.charCodeAt(0) === 0xfeff ? 1 : 0;
    const end = line.endsWith('\r') ? line.length - 1 : line.length;
    const content = line.slice(start, end);
    if (content !== '') taken.push({ line: before + i + 1, fields: split(content) });
  }
  return taken;
}

function split(content: string): readonly string[] {
  if (!content.includes('"')) return content.split(',');
  try {
    return (parse(content, { relax_column_count: true }) as string[][])[0] ?? [];
  } catch {
    return [];
  }
}
