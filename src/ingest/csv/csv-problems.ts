import type { ProblemLog } from '../problem-log.ts';
import type { CsvProblemKind } from './csv-rows.ts';

/** A line that did not land, or (`unsorted`) a notice about one that did. */
export interface CsvProblem {
  readonly kind: CsvProblemKind;
  readonly file: string;
  /** Counted from 1, the header included. */
  readonly line: number;
  readonly message: string;
}

/** The problems of CSV files. */
export type CsvProblemLog = ProblemLog<CsvProblem>;
