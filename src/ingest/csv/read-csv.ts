import { createReadStream } from 'node:fs';
import { pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { parse } from 'csv-parse/sync';
import { BatchLayerError, messageOf } from '../../errors.ts';

/** A line of a CSV file: its fields, or why it cannot be taken apart. */
export interface CsvLine {
  /** Counted from 1, the header included. */
  readonly line: number;
  readonly fields: readonly string[];
  readonly problem?: string;
}

const MAX_LINE_LENGTH = 65_536;
const READ_BYTES = 1 << 20;

/**
 * Reads a CSV file in batches of lines; `.gz` is unpacked on the way, a byte-order mark and empty lines are left out.
 *
 * A record is a line: a quoted field may hold commas and quotes, but no line break, so that a stray quote costs its own
 * line and no other.
 *
 * @throws BatchLayerError `BadInput` for a file that cannot be opened or unpacked to its end; what came before has been
 *   handed out
 */
export async function* readCsv(path: string, signal?: AbortSignal): AsyncGenerator<readonly CsvLine[]> {
  try {
    yield* takeLinesApart(openText(path, signal));
  } catch (error) {
    signal?.throwIfAborted();
    throw new BatchLayerError('BadInput', `${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** {@link readCsv} of text that comes in pieces, wherever it is cut. */
export async function* takeLinesApart(text: AsyncIterable<string>): AsyncGenerator<readonly CsvLine[]> {
  let [line, rest] = [0, ''];
  for await (const chunk of text) {
    const lines = (rest + chunk).split('\n');
    // Of a line that is too long no more is kept than tells that it is.
    rest = (lines.pop() ?? '').slice(0, MAX_LINE_LENGTH + 2);
    yield takeApart(lines, line);
    line += lines.length;
  }
  if (rest !== '') yield takeApart([rest], line);
}

function openText(path: string, signal?: AbortSignal): Readable {
  const file = createReadStream(path, { highWaterMark: READ_BYTES, ...(signal ? { signal } : {}) });
  if (!path.endsWith('.gz')) return file.setEncoding('utf8');
  // An error on either side comes out of the stream that is read.
  return pipeline(file, createGunzip({ chunkSize: READ_BYTES }), () => undefined).setEncoding('utf8');
}

function takeApart(lines: readonly string[], before: number): CsvLine[] {
  const taken: CsvLine[] = [];
  for (const [i, line] of lines.entries()) {
    const start = before + i === 0 && line.charCodeAt(0) === 0xfeff ? 1 : 0;
    const content = line.slice(start, line.endsWith('\r') ? -1 : undefined);
    if (content !== '') taken.push({ line: before + i + 1, ...split(content) });
  }
  return taken;
}

function split(content: string): Pick<CsvLine, 'fields' | 'problem'> {
  if (content.length > MAX_LINE_LENGTH) return { fields: [], problem: `longer than ${MAX_LINE_LENGTH} characters` };
  if (!content.includes('"')) return { fields: content.split(',') };
  try {
    return { fields: (parse(content, { relax_column_count: true, record_delimiter: '\n' }) as string[][])[0] ?? [] };
  } catch {
    return { fields: [], problem: 'a quote is not closed, or stands inside a field' };
  }
}
