import { hasCode, messageOf } from '../../errors.ts';
import type { Spill } from '../../lake/spill.ts';
import type { OnProgress } from '../../progress.ts';
import { createRowPacker } from '../packed-rows.ts';
import type { CsvProblemLog } from './csv-problems.ts';
import { type Header, type ParsedRow, parseHeader, parseRow, type RowProblem } from './csv-rows.ts';
import { type CsvLine, readCsv } from './read-csv.ts';

interface LoadOptions {
  readonly spill: Spill;
  readonly partitions: number;
  readonly problems: CsvProblemLog;
  /** The symbol of all rows, for files without a column for it. */
  readonly symbol: string | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Reads all files into the spill, each symbol's rows in one partition. */
export async function loadRows(
  paths: readonly string[],
  { spill, partitions, problems, symbol, onProgress, signal }: LoadOptions,
): Promise<{ readonly symbols: readonly string[]; readonly rows: number }> {
  const symbolIds = new Map<string, number>();
  const packer = createRowPacker();
  const parsed = { symbol: symbol ?? '' } as ParsedRow;
  let rows = 0;

  const addRow = (file: number, { line, fields, problem: malformed }: CsvLine, header: Header): void => {
    const problem: RowProblem | undefined = malformed
      ? { kind: 'malformed', message: malformed }
      : parseRow(fields, header, parsed);
    if (problem) {
      problems.add({ ...problem, file: paths[file]!, line });
      return;
    }
    let id = symbolIds.get(parsed.symbol);
    if (id === undefined) {
      id = symbolIds.size;
      // A copy: a field is a slice that would keep its whole chunk of text alive.
      symbolIds.set(Buffer.from(parsed.symbol).toString(), id);
    }
    packer.pack(id, parsed, { file, line });
    spill.append(id % partitions, packer.row);
  };

  let at = 0;
  const loadFile = async (path: string, file: number): Promise<void> => {
    let header: Header | undefined;
    const before = rows;
    for await (const lines of readCsv(path, signal)) {
      for (const line of lines) {
        at = line.line;
        if (header) {
          rows++;
          addRow(file, line, header);
          continue;
        }
        const found = parseHeader(line.fields, symbol !== undefined);
        if ('kind' in found) {
          problems.add({ ...found, file: path, line: at });
          return;
        }
        header = found;
      }
      if (spill.isFull()) await spill.flush();
      onProgress?.({ step: 'read', done: rows });
    }
    if (rows === before) problems.add({ kind: 'no_rows', file: path, line: 1, message: 'has no rows' });
  };

  for (const [file, path] of paths.entries()) {
    at = 0;
    try {
      await loadFile(path, file);
    } catch (error) {
      signal?.throwIfAborted();
      if (!hasCode(error, 'BadInput')) throw error;
      problems.add({ kind: 'unreadable', file: path, line: at + 1, message: messageOf(error.cause) });
    }
  }
  return { symbols: [...symbolIds.keys()], rows };
}
